/** A message that is lent: filled where it is sent from, and read where it lies. */

import { Pattern, viewCount } from "./pattern.ts";

/**
 * What is lent is filled with so many bytes again and again: those stay in the caches beside it, as what a program computes
 * from would, and as another megabyte would not.
 */
const tileBytes = 16 * 1024;

/** Message k of a length, which can be compared by who has none of it in his caches. */
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
