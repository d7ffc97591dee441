/** A client that writes one message step by step, and stops behind each as it is told, for whoever kills it there. */

import { kinds } from "../../../src/native/memory-layout.ts";
import { value } from "../../../src/native/shared-memory.ts";
import { answer, settings } from "../../kit/answer.ts";
import { MemoryPeer } from "../../kit/memory-peer.ts";
import vectors from "../../vectors/rings.json" with { type: "json" };

const { rundir } = settings<{ rundir: string }>();
const peer = await MemoryPeer.begin("pong", rundir);
const payload = new Uint8Array(1000).fill(7);
const length = new Uint8Array(BigUint64Array.of(100_000n).buffer);

/** What writing a message comes to, in order. */
const message = [
  () => peer.out.bytes.set(payload.subarray(0, 500), peer.writer.place),
  () => peer.out.bytes.set(payload, peer.writer.place),
  () => peer.writer.commit(payload.length, kinds.message),
  () => peer.writer.publish(),
  () => peer.say(""),
];

/** And one that is passed. */
const passed = [
  () => peer.say("value", [value.create(new Uint8Array(100_000).fill(7))]),
  () => peer.out.bytes.set(length, peer.writer.place),
  () => peer.writer.commit(length.length, kinds.passed),
  () => peer.writer.publish(),
  () => peer.say(""),
];

await answer({
  /** One that comes to its end. */
  whole: () => {
    peer.write("whole");
  },
  /** Leaves, and goes on writing for as long as it lives: a ring full of empty messages, again and again. */
  leaveAndWrite: async () => {
    await peer.link.close({ now: true });
    const { words, ringBytes } = peer.out;
    const tail = vectors.words.tail / 4;
    const head = vectors.words.head / 4;
    setImmediate(() => {
      for (;;) Atomics.store(words, tail, Atomics.load(words, head) + ringBytes);
    });
  },
  steps: async ({ kind, count }: { kind: "message" | "passed"; count: number }) => {
    for (const step of (kind === "message" ? message : passed).slice(0, count)) {
      step();
      // What was said is with the kernel then.
      await Bun.sleep(2);
    }
  },
});
