/** A client that writes whatever it likes wherever it likes, again and again, for a number of seeded steps. */

import { KeyPair } from "../../../src/crypto/key-pair.ts";
import { memoryConstants } from "../../../src/native/memory-layout.ts";
import { answer, settings } from "../../kit/answer.ts";
import { MemoryPeer } from "../../kit/memory-peer.ts";
import { Random } from "../../kit/random.ts";
import vectors from "../../vectors/rings.json" with { type: "json" };

export type HostileSettings = {
  rundir: string;
  seed: number;
  /** With the keys of somebody who is let in: his own secret one, in base64, and the public one of the server. */
  sealed?: { secret: string; server: string };
};

const { rundir, seed, sealed } = settings<HostileSettings>();
const random = new Random(seed);
const { words } = vectors;
const stepsPerBreath = 5000;

function tamper(peer: MemoryPeer): void {
  const ring = random.below(2) === 0 ? peer.out : peer.in;
  const at = (place: number) => place / 4;
  const anything = () => random.below(2 ** 32) | 0;
  switch (random.below(12)) {
    case 0:
      ring.words[at(words.tail)]! += 8 * random.below(64);
      break;
    case 1:
      ring.words[at(words.head)]! += 8 * random.below(64);
      break;
    case 2:
      // Mostly it does what makes sense, so that the connection lasts for a while.
      if (random.below(500) === 0) ring.words[at(words.tail)] = anything();
      break;
    case 3:
      if (random.below(500) === 0) ring.words[at(words.head)] = anything();
      break;
    case 4:
      ring.words[at(words.reader_rests)] = random.below(4);
      break;
    case 5:
      ring.words[at(words.writer_rests)] = anything();
      break;
    case 6: {
      const place = words.records + 8 * random.below(memoryConstants.ring_bytes_min / 8);
      ring.words[at(place)] = random.below(2) === 0 ? anything() : random.below(600);
      break;
    }
    case 7:
      ring.words[at(words.records + 8 * random.below(memoryConstants.ring_bytes_min / 8) + 4)] =
        random.below(3);
      break;
    case 8:
      if (random.below(50) === 0 && peer.link.open) peer.say("");
      break;
    default:
      writeSomething(peer);
      break;
  }
}

/** As it should be, as far as the ring lets it. */
function writeSomething(peer: MemoryPeer): void {
  try {
    if (!peer.writer.hasRoom(100)) return;
    peer.writer.write(
      sealed === undefined ? random.bytes(random.below(100)) : peer.sealed("as it should be"),
    );
    peer.writer.publish();
  } catch {
    // Its own words make no sense to it any more.
  }
}

async function begin(): Promise<MemoryPeer> {
  if (sealed === undefined) return await MemoryPeer.begin("pong", rundir);
  const keys = new KeyPair(Uint8Array.fromBase64(sealed.secret));
  return await MemoryPeer.beginSealed("pong", rundir, keys, sealed.server);
}

await answer({
  /** Returns how many connections that took. */
  attack: async (steps: number) => {
    let connections = 0;
    let peer: MemoryPeer | undefined;
    for (let step = 0; step < steps; step++) {
      if (peer === undefined || !peer.link.open) {
        await peer?.[Symbol.asyncDispose]();
        peer = await begin();
        connections += 1;
      }
      tamper(peer);
      if (step % stepsPerBreath === 0) {
        if (peer.link.open) peer.say("");
        await Bun.sleep(1);
      }
    }
    await peer?.[Symbol.asyncDispose]();
    return connections;
  },
});
