/** Bytes that are no messages end their own connection, with a reason, and nobody else's. */

import { describe, expect, test } from "bun:test";
import type { Reason } from "../../src/index.ts";
import { frame, header, headerBytes, join } from "../kit/frames.ts";
import { MemoryPeer } from "../kit/memory-peer.ts";
import { leaveNoTrace } from "../kit/no-trace.ts";
import { Random } from "../kit/random.ts";
import { RawPeer } from "../kit/raw-peer.ts";
import { within } from "../kit/until.ts";
import rings from "../vectors/rings.json" with { type: "json" };
import type { Stage } from "./stage.ts";
import { onStage } from "./stage.ts";

leaveNoTrace();

const { words } = rings;
const defaultLimit = 16 * 1024 * 1024;

describe("is dropped, and what it had said before is heard", () => {
  test.each([
    ["a length over the limit", header(defaultLimit + 1)],
    ["the greatest length", header(0xffff_ffff)],
    ["the greatest length that has a sign", header(0x8000_0000)],
    ["an HTTP request", Buffer.from("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")],
    ["a greeting of TLS", Buffer.from("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "latin1")],
    ["lines of text", Buffer.from("hello\nis anybody there?\n")],
  ])("who sends %s", async (_, bytes) => {
    await onStage({}, async (stage) => {
      const stranger = await stage.peer();
      stranger.write(bytes);
      await stranger.gone();
      const turncoat = await stage.peer();
      turncoat.write(frame("hello"));
      await turncoat.received(1);
      turncoat.write(bytes);
      await turncoat.gone();
      expect(turncoat.texts).toEqual(["hello"]);
      expect(await stage.ended(2)).toMatchObject([
        { reason: "message_too_long", messages: 0 },
        { reason: "message_too_long", messages: 1 },
      ]);
      stage.goesWrong("message_too_long", 2);
    });
  });
});

test("who announces the limit and sends nothing costs next to no memory", async () => {
  await onStage({ limits: { stallTimeout: 0 } }, async (stage) => {
    const before = await stage.memory();
    const count = 100;
    for (let number = 0; number < count; number++) {
      const peer = await stage.peer();
      peer.write(header(defaultLimit));
      await peer.written();
    }
    await stage.othersAreServed();
    // A tenth of what was announced would be 160 MiB.
    expect((await stage.memory()) - before).toBeLessThan(64 * 1024 * 1024);
    stage.goesWrong("truncated", count);
  });
});

/** Says what a reader must make of the bytes of a stream that then ends. */
function judge(bytes: Uint8Array, limit: number) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let at = 0;
  let hash = 0n;
  let messages = 0;
  const verdict = (reason: Reason) => ({ reason, messages, hash: hash.toString(16) });
  while (at + headerBytes <= bytes.length) {
    const length = view.getUint32(at);
    if (length > limit) return verdict("message_too_long");
    if (at + headerBytes + length > bytes.length) break;
    at += headerBytes;
    hash = Bun.hash.wyhash(bytes.subarray(at, at + length), hash);
    messages += 1;
    at += length;
  }
  return verdict(at === bytes.length ? "peer_closed" : "truncated");
}

const limit = 5000;

/** Some messages, and then an end: in order, in mid-frame, or with anything at all. */
function speech(random: Random): Uint8Array {
  const frames = Array.from({ length: random.below(50) }, () =>
    frame(random.bytes(random.below(random.below(8) === 0 ? limit + 1 : 40))),
  );
  const whole = frame(random.bytes(1 + random.below(limit)));
  const endings = [
    () => new Uint8Array(),
    () => whole.subarray(0, 1 + random.below(whole.length - 1)),
    () => random.bytes(1 + random.below(10_000)),
    // Often enough a length within the limit, so that anything is taken for a message.
    () => join([new Uint8Array(2), random.bytes(1 + random.below(10_000))]),
    () => join([header(limit + 1), random.bytes(random.below(100))]),
  ];
  return join([...frames, endings[random.below(endings.length)]!()]);
}

function cut(bytes: Uint8Array, random: Random): Uint8Array[] {
  const parts: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; ) {
    const end = at + 1 + random.below(random.below(4) === 0 ? bytes.length : 200);
    parts.push(bytes.subarray(at, end));
    at = end;
  }
  return parts;
}

const seeds = Array.from({ length: 100 }, (_, index) => 20_261_121 + index);

/** Has a peer write the parts and leave; the service must have made of them what `judge` does. */
async function expectJudged(
  stage: Stage,
  seed: number,
  bytes: Uint8Array,
  given: { parts: Uint8Array[]; limit: number },
): Promise<void> {
  const peer = await stage.peer();
  for (const part of given.parts) peer.write(part);
  await peer.written();
  peer.endWriting();
  const [ended] = await stage.ended(1).catch((error: unknown) => {
    throw new Error(`with seed ${seed}`, { cause: error });
  });
  const expected = judge(bytes, given.limit);
  expect({ seed, ...ended }).toEqual({ seed, ...expected });
  stage.goesWrong(expected.reason);
  peer.close();
}

test("of random bytes every whole message is heard up to the first that breaks a rule", async () => {
  await onStage({ limits: { messageBytesMax: limit } }, async (stage) => {
    for (const seed of seeds) {
      const random = new Random(seed);
      const bytes = speech(random);
      await expectJudged(stage, seed, bytes, { parts: cut(bytes, random), limit });
    }
  });
});

test("of nothing but random bytes hardly any is taken for a message", async () => {
  await onStage({}, async (stage) => {
    for (const seed of seeds.slice(0, 20)) {
      const bytes = new Random(seed).bytes(100_000);
      await expectJudged(stage, seed, bytes, { parts: [bytes], limit: defaultLimit });
    }
  });
});

/** Writes anything at all into its rings and beside them, so that the service sees it. */
function scribble(peer: MemoryPeer, random: Random): void {
  const { out } = peer;
  const anywhere = () => words.records + 8 * random.below(out.ringBytes / 8);
  const scribbles = [
    // Lengths and kinds of records that it says there are.
    () => out.bytes.set(random.bytes(4096), anywhere()),
    () => peer.writer.commit(random.below(2 ** 31), 0),
    () => peer.writer.commit(8, 4 + random.below(2 ** 20)),
  ];
  for (let count = 0; count < 3; count++) scribbles[random.below(scribbles.length)]!();
  const tails = [
    () => random.below(2 ** 32),
    () => peer.writer.at + 4,
    () => peer.writer.at + out.ringBytes + 8,
    () => peer.writer.at - 8,
  ];
  Atomics.store(out.words, words.tail / 4, tails[random.below(tails.length)]!() | 0);
  peer.say("");
}

test("through memory, what was whole is heard up to what no ring holds", async () => {
  await onStage({ transport: "memory" }, async (stage) => {
    for (const seed of seeds.slice(0, 50)) {
      const random = new Random(seed);
      await using peer = await MemoryPeer.begin("pong", stage.rundir);
      const count = random.below(20);
      for (let k = 0; k < count; k++) peer.write(random.bytes(random.below(200)));
      for (let answers = 0; answers < count; answers++) {
        await peer.answered(`it has its answers, with seed ${seed}`);
      }
      scribble(peer, random);
      await within(`its end, with seed ${seed}`, peer.link.ended);
      const [ended] = await stage.ended(1);
      expect({ seed, reason: ended!.reason }).toEqual({ seed, reason: "malformed" });
      expect(ended!.messages).toBeGreaterThanOrEqual(count);
      stage.goesWrong("malformed");
    }
  });
});

test.each([
  ["an HTTP request", "message_too_long", Buffer.from("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")],
  [
    "a greeting of TLS",
    "message_too_long",
    Buffer.from("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "latin1"),
  ],
  ["the greatest length", "message_too_long", header(0xffff_ffff)],
  ["a frame that is no hello", "malformed", frame("hello?")],
] as const)(
  "through memory, who says %s instead of a hello is not let in",
  async (_, reason, bytes) => {
    await onStage({ transport: "memory" }, async (stage) => {
      using stranger = await RawPeer.connect(`${stage.path}.memory`);
      stranger.write(bytes);
      await stranger.gone();
      stage.goesWrong(reason);
      await stage.othersAreServed();
    });
  },
);
