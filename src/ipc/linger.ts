/**
 * Whether it is worth looking for more traffic before going to sleep. It is while looking finds something now and
 * then. After a row of vain looks there is none, until so many waits in a row were short that looking would have
 * paid; each row of vain looks doubles how many that takes, and one success forgives all.
 */

/** Vain looks before it is left alone. */
const creditMax = 4;
const tollMax = 256;

export class Linger {
  /** A sleep no longer than this, in milliseconds, would have been spared by looking. */
  readonly #shortMs: number;
  #credit = creditMax;
  #toll = 1;
  #short = 0;

  constructor(shortMs: number) {
    this.#shortMs = shortMs;
  }

  get worthwhile(): boolean {
    return this.#credit > 0;
  }

  found(): void {
    this.#credit = creditMax;
    this.#toll = 1;
  }

  vain(): void {
    this.#credit -= 1;
    if (this.#credit > 0) return;
    this.#toll = Math.min(this.#toll * 2, tollMax);
    this.#short = 0;
  }

  slept(ms: number): void {
    if (this.#credit > 0) return;
    this.#short = ms <= this.#shortMs ? this.#short + 1 : 0;
    if (this.#short >= this.#toll) this.#credit = 1;
  }
}
