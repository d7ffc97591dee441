/** However the bytes of messages are cut and joined on their way, every message arrives whole and in order. */

import { expect, test } from "bun:test";
import type { Statistics } from "../../src/index.ts";
import { frame, headerBytes, join } from "../kit/frames.ts";
import { leaveNoTrace } from "../kit/no-trace.ts";
import type { RawPeer } from "../kit/raw-peer.ts";
import { until } from "../kit/until.ts";
import type { Stage } from "./stage.ts";
import { onStage } from "./stage.ts";

leaveNoTrace();

const numbered = (count: number) => Array.from({ length: count }, (_, index) => `message ${index}`);

/** A peer that has had an answer, so that the service knows it as its newest. */
async function acquaintance(stage: Stage): Promise<RawPeer> {
  const peer = await stage.peer();
  peer.write(frame("first"));
  await peer.received(1);
  return peer;
}

/** Writes the parts so that each is read before the next is there. */
async function writeApart(stage: Stage, peer: RawPeer, parts: Uint8Array[]): Promise<void> {
  const received = async () => (await stage.service.ask<Statistics>("newest")).bytesReceived;
  let total = await received();
  for (const part of parts) {
    peer.write(part);
    total += part.length;
    await until(`the service has read ${total} bytes`, async () => (await received()) === total);
  }
}

test.each([2, 10_000])("%d messages in one write", async (count) => {
  await onStage({}, async (stage) => {
    const peer = await stage.peer();
    const texts = numbered(count);
    peer.write(join(texts.map(frame)));
    await peer.received(count);
    expect(peer.texts).toEqual(texts);
  });
});

test("messages one byte at a time", async () => {
  await onStage({}, async (stage) => {
    const peer = await acquaintance(stage);
    const texts = ["hello", "", "there"];
    const bytes = join(texts.map(frame));
    await writeApart(
      stage,
      peer,
      Array.from(bytes, (_, at) => bytes.subarray(at, at + 1)),
    );
    await peer.received(1 + texts.length);
    expect(peer.texts).toEqual(["first", ...texts]);
  });
});

test("a header cut at each byte, with a message before and one behind", async () => {
  await onStage({}, async (stage) => {
    const peer = await acquaintance(stage);
    const expected = ["first"];
    for (let cut = 0; cut <= headerBytes; cut++) {
      const texts = [`before ${cut}`, `cut at ${cut}`, `behind ${cut}`];
      const bytes = join(texts.map(frame));
      const at = frame(texts[0]!).length + cut;
      await writeApart(stage, peer, [bytes.subarray(0, at), bytes.subarray(at)]);
      expected.push(...texts);
      await peer.received(expected.length);
    }
    expect(peer.texts).toEqual(expected);
  });
});
