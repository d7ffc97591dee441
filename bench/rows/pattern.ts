/**
 * The payload of message k: 256 overlapping views of one random block, so that neighbouring
 * messages differ in every byte and yet cost nothing to make.
 */

const viewCount = 256;
/**
 * What is lent is filled with so many bytes again and again: those stay in the caches beside it, as what a program computes
 * from would, and as another megabyte would not.
 */
const tileBytes = 16 * 1024;

export class Pattern {
  static readonly #made = new Map<number, Pattern>();

  readonly #views: Uint8Array[];
  readonly #ends: number[];

  /** Made once for each size, so that a round begins at once. */
  static of(bytes: number): Pattern {
    const made = Pattern.#made.get(bytes) ?? new Pattern(bytes);
    Pattern.#made.set(bytes, made);
    return made;
  }

  private constructor(bytes: number) {
    const block = new Uint8Array(bytes + viewCount - 1);
    // A multiplicative generator (Lehmer's, modulus 2^31 - 1): the same bytes in every process.
    let state = 1;
    for (let index = 0; index < block.length; index += 1) {
      state = (state * 48271) % 0x7fffffff;
      block[index] = state >> 8;
    }
    this.#views = Array.from({ length: viewCount }, (_, k) => block.subarray(k, k + bytes));
    this.#ends = this.#views.map(sumOfEnds);
  }

  payload(k: number): Uint8Array {
    return this.#views[k % viewCount]!;
  }

  /** What a receiver finds who adds up the ends of the first `count` messages. */
  sum(count: number): number {
    return this.#ends.reduce((sum, ends, k) => sum + ends * Math.ceil((count - k) / viewCount), 0);
  }
}

/** Message k that is lent: filled where it is sent from, and compared where it lies by who has none of it in his caches. */
export class Loan {
  static readonly #hashes = new Map<number, bigint[]>();

  readonly bytes: number;
  readonly #tile: Uint8Array;
  readonly #k: number;

  constructor(bytes: number, k: number) {
    this.bytes = bytes;
    this.#tile = Pattern.of(Math.min(bytes, tileBytes)).payload(k);
    this.#k = k % viewCount;
  }

  fill(room: Uint8Array): void {
    const tile = this.#tile;
    for (let at = 0; at < room.length; at += tile.length) {
      const rest = room.length - at;
      room.set(rest < tile.length ? tile.subarray(0, rest) : tile, at);
    }
  }

  get sumOfEnds(): number {
    const tile = this.#tile;
    return tile[0]! + tile[(this.bytes - 1) % tile.length]!;
  }

  /** Throws unless `message` is this one. */
  compare(message: Uint8Array): void {
    if (Bun.hash.xxHash3(message) !== this.#hash) throw new Error("wrong message");
  }

  /** All of a length are made with the first of them. */
  get #hash(): bigint {
    let hashes = Loan.#hashes.get(this.bytes);
    if (hashes === undefined) {
      const room = new Uint8Array(this.bytes);
      hashes = Array.from({ length: viewCount }, (_, k) => {
        new Loan(this.bytes, k).fill(room);
        return Bun.hash.xxHash3(room);
      });
      Loan.#hashes.set(this.bytes, hashes);
    }
    return hashes[this.#k]!;
  }
}

/** First and last byte: what a receiver of a stream touches of each message. */
export function sumOfEnds(bytes: Uint8Array): number {
  return bytes[0]! + bytes[bytes.length - 1]!;
}
