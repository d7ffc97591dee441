/** What websocketd makes of all that a WebSocket may do and may not, over a socket by hand. */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { inflateRawSync, constants as zlib } from "node:zlib";
import type { Command } from "../kit/command.ts";
import { leaveNoCommand, startService } from "../kit/command.ts";
import { join } from "../kit/frames.ts";
import { leaveNoTrace } from "../kit/no-trace.ts";
import type { Frame } from "../kit/raw-websocket.ts";
import { opcodes, RawWebSocket } from "../kit/raw-websocket.ts";
import { Scratch } from "../kit/scratch.ts";
import type { Daemon } from "../kit/websocketd.ts";
import { startWebsocketd } from "../kit/websocketd.ts";
import type { Case } from "./websocketd-cases.ts";
import { cases } from "./websocketd-cases.ts";

// First, since what comes later looks whether anything was left.
afterAll(async () => {
  bystander.close();
  await daemon[Symbol.asyncDispose]();
  await pong[Symbol.asyncDispose]();
  scratch[Symbol.dispose]();
});

leaveNoTrace();
leaveNoCommand();

let scratch: Scratch;
let pong: Command;
let daemon: Daemon;
/** Who has to be served all the while. */
let bystander: RawWebSocket;

beforeAll(async () => {
  scratch = new Scratch();
  pong = await startService(["pong"], { rundir: scratch.path });
  daemon = await startWebsocketd(scratch.path, ["--allow", "pong", "--deflate"]);
  bystander = await RawWebSocket.open(daemon.port, "/pong");
});

/** The message that a compressed frame has. */
function inflated({ payload }: Frame): Uint8Array {
  const tail = Uint8Array.of(0x00, 0x00, 0xff, 0xff);
  return inflateRawSync(join([payload, tail]), { finishFlush: zlib.Z_SYNC_FLUSH });
}

async function play({ speech, deflate, steps }: Case): Promise<void> {
  using remote = await RawWebSocket.open(daemon.port, "/pong", {
    headers: { "Sec-WebSocket-Protocol": speech, "Sec-WebSocket-Extensions": deflate },
  });
  const agreed = remote.header("Sec-WebSocket-Extensions");
  expect(agreed === undefined).toBe(deflate === undefined);
  let seen = 0;
  for (const step of steps) {
    if (step.do === "send") {
      for (const bytes of step.writes) {
        remote.write(bytes);
        // A piece of its own: without this the kernel gets them joined.
        if (step.writes.length > 1) await new Promise(setImmediate);
      }
    } else if (step.do === "expect") {
      const frame = (await remote.received(seen + 1))[seen]!;
      seen += 1;
      const isCompressed = frame.rsv === 4;
      if (step.compression !== "perhaps") expect(isCompressed).toBe(step.compression === "always");
      const payload = isCompressed ? inflated(frame) : frame.payload;
      const rsv = isCompressed ? 4 : 0;
      expect({ ...frame, payload: undefined }).toEqual({
        fin: true,
        rsv,
        opcode: step.opcode,
        payload: undefined,
      });
      expect(Buffer.compare(payload, step.payload)).toBe(0);
    } else {
      await remote.gone();
      expect(remote.frames.slice(seen).map(({ opcode }) => opcode)).toEqual([opcodes.close]);
      expect(remote.closed).toEqual({
        code: step.code,
        reason: step.reason ?? remote.closed!.reason,
      });
      if (step.isViolation) expect(remote.closed!.reason).toMatch(/^Received \S/);
    }
  }
}

async function bystanderIsServed(): Promise<void> {
  const before = bystander.frames.length;
  bystander.send(opcodes.text, "still here");
  const frame = (await bystander.received(before + 1))[before]!;
  expect(new TextDecoder().decode(frame.payload)).toBe("still here");
}

describe("RFC 6455 and RFC 7692", () => {
  test.each(cases.map((each) => [each.id, each.what, each] as const))(
    "%s: %s",
    async (_, _what, each) => {
      await play(each);
      await bystanderIsServed();
    },
  );

  test("each case has a number of its own", () => {
    const ids = cases.map(({ id }) => id);
    expect(ids).toEqual([...new Set(ids)]);
  });

  test("each violation was counted, and nothing else as one", async () => {
    const violations = cases.filter(({ steps }) =>
      steps.some((step) => step.do === "end" && step.isViolation),
    );
    await daemon.counts({ violations: violations.length, open: 1, accepted: cases.length + 1 });
  });
});
