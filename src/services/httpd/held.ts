/**
 * Bytes of bodies and answers that are in this process on behalf of remotes, all together. Those up to 64 KiB are not
 * counted, since they come and go too fast to be worth it; how many there may be at once is bounded as well.
 */

import { Refusal } from "./refusal.ts";

export class Held {
  readonly #bytesMax: number;
  #bytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Throws a Refusal where there is no room for more. */
  take(bytes: number): void {
    this.check(bytes);
    this.#bytes += bytes;
  }

  check(bytes = 0): void {
    if (this.#bytes + bytes <= this.#bytesMax) return;
    throw new Refusal("too_much_held", "too many bytes of requests and answers are held already");
  }

  give(bytes: number): void {
    this.#bytes -= bytes;
  }
}
