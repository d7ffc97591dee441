/**
 * The payload of message k: 256 overlapping views of one random block, so that neighbouring
 * messages differ in every byte and yet cost nothing to make.
 */

export const viewCount = 256;

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

/** First and last byte: what a receiver of a stream touches of each message. */
export function sumOfEnds(bytes: Uint8Array): number {
  return bytes[0]! + bytes[bytes.length - 1]!;
}
