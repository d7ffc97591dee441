/** A peer that stops in the middle of a message is dropped after the time allowed, and holds up nobody until then. */

import { describe, expect, test } from "bun:test";
import { kinds } from "../../src/native/memory-layout.ts";
import { frame, header, join } from "../kit/frames.ts";
import { MemoryPeer } from "../kit/memory-peer.ts";
import { leaveNoTrace } from "../kit/no-trace.ts";
import { pattern } from "../kit/random.ts";
import { within } from "../kit/until.ts";
import { onStage } from "./stage.ts";

leaveNoTrace();

const message = frame(pattern(100_000));
/** Short, so that the tests are; bystanders have no pauses in mid-message at all. */
const stallTimeout = 100;

test.each([
  ["in the header", message.subarray(0, 2)],
  ["after the header", message.subarray(0, 4)],
  ["in the payload", message.subarray(0, 50_000)],
  ["one byte before the end", message.subarray(0, -1)],
  ["after messages that were whole", join([frame("one"), frame(""), header(1)])],
])("who stalls %s is dropped, and the others are not", async (_, bytes) => {
  await onStage({ limits: { stallTimeout } }, async (stage) => {
    const idle = await stage.peer();
    const peer = await stage.peer();
    peer.write(bytes);
    await peer.gone();
    expect(await stage.ended(1)).toMatchObject([{ reason: "stalled" }]);
    // Between messages there is all the time in the world.
    idle.write(frame("still here"));
    await idle.received(1);
    stage.goesWrong("stalled");
  });
});

test("while many stall the others are served, and who goes on in the end is heard", async () => {
  await onStage({ limits: { stallTimeout: 0 } }, async (stage) => {
    const peers = await Promise.all(Array.from({ length: 50 }, () => stage.peer()));
    for (const peer of peers) peer.write(message.subarray(0, 60_000));
    for (const peer of peers) await peer.written();
    await stage.othersAreServed();
    for (const peer of peers) peer.write(message.subarray(60_000));
    for (const peer of peers) await peer.received(1);
    const heard = peers.every(({ payloads }) => Buffer.compare(frame(payloads[0]!), message) === 0);
    expect(heard).toBe(true);
  });
});

test("who leaves in mid-message is told from who leaves in order", async () => {
  await onStage({}, async (stage) => {
    const [rude, polite] = [await stage.peer(), await stage.peer()];
    rude.write(message.subarray(0, 50_000));
    polite.write(frame("goodbye"));
    for (const peer of [rude, polite]) {
      await peer.written();
      peer.endWriting();
      await peer.gone();
    }
    expect(polite.texts).toEqual(["goodbye"]);
    expect(await stage.ended(2)).toMatchObject([
      { reason: "truncated", messages: 0 },
      { reason: "peer_closed", messages: 1 },
    ]);
    stage.goesWrong("truncated");
  });
});

describe("through memory, who promises", () => {
  test.each<[string, number]>([
    ["a message in memory of its own", kinds.passed],
    ["descriptors", kinds.attended],
    ["both", kinds.passed | kinds.attended],
  ])("%s and never brings it is dropped, and the others are not", async (_, kind) => {
    const limits = { stallTimeout, descriptors: { max: 1 } };
    await onStage({ transport: "memory", limits }, async (stage) => {
      await using idle = await MemoryPeer.begin("pong", stage.rundir);
      await using peer = await MemoryPeer.begin("pong", stage.rundir);
      peer.write("whole");
      peer.promise(kind, 100_000);
      await within("its end", peer.link.ended);
      expect(await stage.ended(1)).toMatchObject([{ reason: "stalled", messages: 1 }]);
      idle.write("still here");
      await idle.answered();
      stage.goesWrong("stalled");
    });
  });

  test("in the end is heard, however many do", async () => {
    await onStage({ transport: "memory", limits: { stallTimeout: 0 } }, async (stage) => {
      const peers = await Promise.all(
        Array.from({ length: 50 }, () => MemoryPeer.begin("pong", stage.rundir)),
      );
      for (const peer of peers) peer.promise(kinds.passed, 100_000);
      await stage.othersAreServed();
      for (const peer of peers) peer.bring(pattern(100_000));
      // The answers are too long for the rings as well.
      for (const peer of peers) await peer.answered();
      for (const peer of peers) await peer.leave();
    });
  });
});
