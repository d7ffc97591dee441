/** Frames over a pipe each way: whole messages of every length, ends and bounds told apart, and nothing left in buffers. */

import { expect, test } from "bun:test";
import { closeSync, writeSync } from "node:fs";
import type { Descriptor } from "../../src/index.ts";
import { IpcError } from "../../src/index.ts";
import { Pipes, pipe } from "../../src/ipc/pipes.ts";
import { frame, header } from "../kit/frames.ts";
import { leaveNoTrace } from "../kit/no-trace.ts";
import { pattern } from "../kit/random.ts";

leaveNoTrace();

const frameBytesMax = 4 * 1024 * 1024;

/** Both ends in this process, so no more than a pipe holds may be on its way. */
function both(options: { life?: Descriptor; timeout?: number } = {}) {
  const [fromOne, toOther] = pipe();
  const [fromOther, toOne] = pipe();
  const one = new Pipes(fromOther, toOther, { frameBytesMax, ...options });
  const other = new Pipes(fromOne, toOne, { frameBytesMax });
  return { one, other, toOther, fromOne };
}

function codeOf(act: () => unknown): string {
  try {
    act();
  } catch (error) {
    if (error instanceof IpcError) return error.code;
    throw error;
  }
  return "done";
}

test("messages come whole and in order, made of parts, empty ones too", () => {
  const { one, other } = both();
  one.send(Buffer.from("he"), Buffer.from("llo"));
  one.send();
  one.send(pattern(60_000));
  expect(Buffer.from(other.receive()!).toString()).toBe("hello");
  expect(other.receive()!.length).toBe(0);
  expect(Buffer.compare(other.receive()!, pattern(60_000))).toBe(0);
  one.close();
  expect(other.receive()).toBeUndefined();
  other.close();
});

test("messages longer than a pipe and all buffers pass between two processes", async () => {
  const [from, to] = pipe();
  const [back, answers] = pipe();
  const script = `
    const { Pipes } = await import("${import.meta.dir}/../../src/ipc/pipes.ts");
    const { Descriptor } = await import("${import.meta.dir}/../../src/index.ts");
    using echo = new Pipes(new Descriptor(3), new Descriptor(4), { frameBytesMax: ${frameBytesMax} });
    for (let said = echo.receive(); said !== undefined; said = echo.receive()) echo.send(said);
  `;
  const child = Bun.spawn({
    cmd: [process.execPath, "-e", script],
    stdio: ["ignore", "inherit", "inherit", from.number, answers.number],
  });
  from.close();
  answers.close();
  using near = new Pipes(back, to, { frameBytesMax, timeout: 20_000 });
  for (const length of [0, 1, 65_531, 65_532, 65_533, 65_536, 200_000, frameBytesMax]) {
    near.send(pattern(length, length));
    expect(Buffer.compare(near.receive()!, pattern(length, length))).toBe(0);
  }
  near.close();
  expect(await child.exited).toBe(0);
});

test("a message is gone when the next is asked for, and what was sent is not kept", () => {
  const { one, other } = both();
  const secret = Buffer.from("secret");
  one.send(secret);
  const view = other.receive()!;
  expect(Buffer.from(view).toString()).toBe("secret");
  one.send(Buffer.from("x"));
  other.receive();
  // A part of it may be in the place of the next, and the rest is zeros.
  expect(Buffer.from(view).toString()).not.toMatch(/[secrt]/);
  one.close();
  other.close();
});

test("an end between two messages is one, and in the middle of one is another", () => {
  const { one, other } = both();
  one.send(Buffer.from("whole"));
  one.close();
  expect(Buffer.from(other.receive()!).toString()).toBe("whole");
  expect(other.receive()).toBeUndefined();
  other.close();
  for (const part of [
    frame("whole").subarray(0, 2),
    frame("whole").subarray(0, 7),
    header(100_000),
  ]) {
    const cut = both();
    writeSync(cut.toOther.number, part);
    cut.one.close();
    expect(codeOf(() => cut.other.receive())).toBe("ECONNRESET");
    cut.other.close();
  }
});

test("nobody reads, nobody says anything in time, and who gave the pipes out has ended", () => {
  const { one, other } = both({ timeout: 1 });
  expect(codeOf(() => one.receive())).toBe("ETIMEDOUT");
  expect(codeOf(() => one.send(new Uint8Array(1024 * 1024)))).toBe("ETIMEDOUT");
  other.close();
  expect(codeOf(() => one.send(Buffer.from("?")))).toBe("ECLOSED");
  one.close();
  const [life, holder] = pipe();
  const bound = both({ life });
  bound.other.send(Buffer.from("last"));
  expect(Buffer.from(bound.one.receive()!).toString()).toBe("last");
  holder.close();
  expect(codeOf(() => bound.one.receive())).toBe("ECLOSED");
  // There is room for what is to be said about it.
  bound.one.send(Buffer.from("bye"));
  expect(Buffer.from(bound.other.receive()!).toString()).toBe("bye");
  bound.one.close();
  bound.other.close();
});

test("a message that is announced too long is not waited for", () => {
  const raw = both();
  writeSync(raw.toOther.number, header(frameBytesMax + 1));
  expect(codeOf(() => raw.other.receive())).toBe("EMSGSIZE");
  raw.one.close();
  raw.other.close();
});

test("closing twice is no error, and a descriptor that is gone is told", () => {
  const { one, other, fromOne } = both();
  closeSync(fromOne.take());
  expect(codeOf(() => other.receive())).toBe("ECLOSED");
  one.close();
  one.close();
  other.close();
});
