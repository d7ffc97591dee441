/**
 * A client that does everything at once, seeded: it writes messages of all sizes, plainly and reserved, corked and alone,
 * holds some that come back, pauses, and takes naps in which both sides fall asleep. Run by `order.test.ts`.
 */

import { ClientSocket, type Hold } from "../../../src/memory/index.ts";
import { answer, settings } from "../../kit/answer.ts";
import { Random } from "../../kit/random.ts";
import { until } from "../../kit/until.ts";

const { rundir, seed } = settings<{ rundir: string; seed: number }>();
const ring = 65_536;
const longest = ring / 2 - 8;
const messages = 4000;
/** So many are held at once at most, each of a size that leaves room for others. */
const heldMax = 8;
const heldBytesMax = 1000;

/** A message tells its number, and is of the length that goes with that. */
class Sequence {
  readonly #random: Random;

  constructor(seed: number) {
    this.#random = new Random(seed);
  }

  next(number: number): Uint8Array {
    const bytes = new Uint8Array(this.#length()).fill(number & 255);
    if (bytes.length >= 4) new DataView(bytes.buffer).setUint32(0, number);
    return bytes;
  }

  #length(): number {
    switch (this.#random.below(40)) {
      case 0:
        return longest + 1 + this.#random.below(3 * ring);
      case 1:
      case 2:
        return longest - this.#random.below(2000);
      case 3:
        return this.#random.below(4);
      default:
        return 4 + this.#random.below(this.#random.below(4) === 0 ? 5000 : 200);
    }
  }
}

class Talker {
  readonly client = new ClientSocket();
  readonly #random: Random;
  readonly #sent: Sequence;
  readonly #expected: Sequence;
  readonly #held: { hold: Hold; bytes: Uint8Array; like: Uint8Array }[] = [];
  written = 0;
  heard = 0;
  trouble: string | undefined;

  constructor(seed: number) {
    this.#random = new Random(seed + 1);
    this.#sent = new Sequence(seed);
    this.#expected = new Sequence(seed);
    this.client.onData = (bytes) => this.#hear(bytes);
    this.client.onError = (error) => {
      this.trouble ??= String(error);
    };
  }

  #hear(bytes: Uint8Array): void {
    const like = this.#expected.next(this.heard);
    if (Buffer.compare(bytes, like) !== 0) {
      this.trouble ??= `message ${this.heard} has ${bytes.length} bytes, and not ${like.length}`;
    }
    this.heard += 1;
    const chance = this.#random.below(20);
    if (chance === 0 && bytes.length <= heldBytesMax && this.#held.length < heldMax) {
      this.#held.push({ hold: this.client.hold(), bytes, like });
    }
    if (chance === 1) this.#letGo();
    if (chance === 2) {
      this.client.pause();
      setTimeout(() => this.client.resume(), this.#random.below(3));
    }
  }

  /** Of any of them: they may be released in any order. */
  #letGo(): void {
    const [one] = this.#held.splice(this.#random.below(this.#held.length + 1), 1);
    if (one === undefined) return;
    if (Buffer.compare(one.bytes, one.like) !== 0) this.trouble ??= "a held message has changed";
    one.hold.release();
  }

  letAllGo(): void {
    while (this.#held.length > 0) this.#letGo();
  }

  async talk(): Promise<void> {
    let next = this.#sent.next(0);
    while (this.written < messages && this.trouble === undefined) {
      const burst = 1 + this.#random.below(30);
      const write = () => {
        for (let k = 0; k < burst && this.written < messages && this.#put(next); k++) {
          this.written += 1;
          next = this.#sent.next(this.written);
        }
      };
      if (this.#random.below(2) === 0) this.client.cork(write);
      else write();
      await this.#rest();
    }
  }

  #put(bytes: Uint8Array): boolean {
    if (bytes.length > longest || this.#random.below(3) > 0) return this.client.write(bytes);
    const room = this.client.reserve(bytes.length);
    room?.set(bytes);
    if (room !== undefined) this.client.commit();
    return room !== undefined;
  }

  /** Goes on at once, after others had their turn, or when all is asleep. */
  async #rest(): Promise<void> {
    const chance = this.#random.below(60);
    if (chance === 0) await Bun.sleep(3);
    else if (chance < 20) await new Promise(setImmediate);
    this.#letGo();
  }
}

await answer({
  talk: async () => {
    const talker = new Talker(seed);
    await talker.client.connect("pong", { rundir, ring });
    await talker.talk();
    await until(
      () => `all are back: ${talker.heard} of ${talker.written}`,
      () => {
        talker.letAllGo();
        return talker.heard === messages || talker.trouble !== undefined;
      },
    );
    await talker.client.close();
    return { heard: talker.heard, trouble: talker.trouble ?? null };
  },
});
