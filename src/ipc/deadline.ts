/** By when something has to be done that takes several steps, each of which has what those before it have left. */

import { patience } from "./numbers.ts";

export class Deadline {
  readonly #timeout: number | undefined;
  readonly #at: number;

  /** From now on, in milliseconds; undefined and Infinity are for ever. Throws EINVAL for what is no time. */
  constructor(timeout: number | undefined) {
    this.#timeout = patience("timeout", timeout);
    this.#at = performance.now() + (this.#timeout ?? Infinity);
  }

  /** What is left, in milliseconds: 0 when it is over. */
  get left(): number {
    return Math.max(0, this.#at - performance.now());
  }

  /** For a step that has a bound of its own: whichever is over first. */
  within(timeout: number): Deadline {
    return this.left <= timeout ? this : new Deadline(timeout);
  }

  /** Calls `act` when it is over, with all the time that there was. For `clearTimeout` to take back. */
  expire(act: (timeout: number) => void): ReturnType<typeof setTimeout> | undefined {
    const timeout = this.#timeout;
    return timeout === undefined ? undefined : setTimeout(() => act(timeout), this.left);
  }
}
