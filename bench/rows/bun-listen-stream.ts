/**
 * The peers `bun-listen-stream` and, with the option `batched`, `bun-listen-stream-batched`: frames
 * one way through Bun.listen. The first writes each frame as it comes, as code does that sends a
 * message when it has one. The second packs as many as the socket takes into one buffer, which is
 * what a user gets who writes the batching by hand.
 */

import { type BunFrames, connect, listen } from "./bun-frames.ts";
import { ready } from "./control.ts";
import { writeFrame } from "./frames.ts";
import { driveOneWay, type Outgoing, Tally } from "./one-way.ts";
import { readRole } from "./role.ts";

const packedBytes = 256 * 1024;
const headerBytes = 4;
const end = new Uint8Array(0);

async function sendEach(frames: BunFrames, outgoing: Outgoing): Promise<void> {
  while (!outgoing.over) {
    for (let index = 0; index < outgoing.batchMessages; index += 1) {
      if (!frames.send(outgoing.take())) await frames.drained();
    }
  }
}

async function sendPacked(frames: BunFrames, outgoing: Outgoing): Promise<void> {
  const packed = new Uint8Array(packedBytes + headerBytes);
  while (!outgoing.over) {
    let bytes = 0;
    for (let index = 0; index < outgoing.batchMessages; index += 1) {
      bytes = writeFrame(packed, bytes, outgoing.take());
    }
    if (!frames.write(packed.subarray(0, bytes))) await frames.drained();
  }
}

const role = readRole();
if (role.name === "serve") {
  const tally = new Tally();
  listen(role.path, (payload, frames) => {
    const answer = tally.add(payload);
    if (answer !== null) frames.send(answer);
  });
  ready();
} else {
  const send = role.options[0] === "batched" ? sendPacked : sendEach;
  let answered: (payload: Uint8Array) => void = () => undefined;
  const frames = await connect(role.path, (payload) => answered(payload));
  await driveOneWay(async (outgoing) => {
    await send(frames, outgoing);
    return new Promise((resolve) => {
      answered = resolve;
      frames.send(end);
    });
  });
  process.exit(0); // the open socket would keep it
}
