/** What commands write, whatever it is that they write to. */

import { expect, test } from "bun:test";
import { closeSync, constants, openSync, readSync } from "node:fs";
import { join } from "node:path";
import { printable } from "../../src/cli/output.ts";
import { pattern } from "../kit/random.ts";
import { Scratch } from "../kit/scratch.ts";
import { within } from "../kit/until.ts";

test("control characters are shown, and all else is left as it is", () => {
  expect(printable("a\nb\r\u001b[1m\u007f\u009b")).toBe(String.raw`a\x0ab\x0d\x1b[1m\x7f\x9b`);
  expect(printable('çé 😀 "quoted" \\x0a')).toBe('çé 😀 "quoted" \\x0a');
});

test("a pipe that is full and does not block is waited for", async () => {
  using scratch = new Scratch();
  const path = scratch.join("pipe");
  expect(await Bun.spawn(["mkfifo", path]).exited).toBe(0);
  const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const bytes = pattern(1_000_000);
  const program = `
    import { writeAll } from ${JSON.stringify(join(import.meta.dir, "../../src/cli/output.ts"))};
    import { pattern } from ${JSON.stringify(join(import.meta.dir, "../kit/random.ts"))};
    import { constants, openSync } from "node:fs";
    const pipe = openSync(${JSON.stringify(path)}, constants.O_WRONLY | constants.O_NONBLOCK);
    writeAll(pipe, pattern(${bytes.length}));`;
  const child = Bun.spawn([process.execPath, "-e", program]);
  let isOver = false;
  void child.exited.then(() => {
    isOver = true;
  });
  const received: Uint8Array[] = [];
  const buffer = new Uint8Array(8192);
  // Slowly, so that the pipe fills.
  const read = async () => {
    while (true) {
      const [wasOver, count] = [isOver, readSome(reader, buffer)];
      if (count > 0) received.push(buffer.slice(0, count));
      else if (wasOver) return;
      await Bun.sleep(0);
    }
  };
  await within("all bytes", read());
  closeSync(reader);
  expect(await child.exited).toBe(0);
  expect(Buffer.concat(received).equals(bytes)).toBe(true);
});

function readSome(descriptor: number, buffer: Uint8Array): number {
  try {
    return readSync(descriptor, buffer);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EAGAIN") return 0;
    throw error;
  }
}
