/** Notices a side that has begun a message and does not go on with it: what it promised over the Unix connection stays out. */

import { timerMsMax } from "../ipc/numbers.ts";

export class Stall {
  readonly #ms: number;
  readonly #onOver: () => void;
  #missing: object | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** When it will have taken too long, as `performance.now()` has it. */
  until = Infinity;

  /** `onOver` is told when something has been missing for so many milliseconds; 0 is for ever. */
  constructor(ms: number, onOver: () => void) {
    this.#ms = ms;
    this.#onOver = onOver;
  }

  /** What is missing now, if anything is: each counts anew. */
  watch(missing: object | undefined): void {
    if (missing === this.#missing) return;
    clearTimeout(this.#timer);
    this.#missing = missing;
    this.until = Infinity;
    if (missing === undefined || this.#ms === 0) return;
    this.until = performance.now() + this.#ms;
    this.#timer = setTimeout(this.#onOver, Math.min(this.#ms, timerMsMax));
  }

  /** Whether what was missing when last watched is what is missing now. */
  isOver(missing: object | undefined): boolean {
    return missing !== undefined && missing === this.#missing;
  }
}
