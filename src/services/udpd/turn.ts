/**
 * Lets earshot's loop have its turn while datagrams come: Bun reads a socket for as long as there is more to read, and
 * comes to nothing else meanwhile, so that a flood would keep all answers of services from those who asked for them.
 */

import { loop } from "../../ipc/loop.ts";

/** So many datagrams are one system call to a service, or a few; and so long an answer waits for them at most. */
const datagramsMax = 64;

export class Turn {
  readonly #onEarly: () => void;
  #datagrams = 0;

  /** `onEarly` is told of each that did not come of itself. */
  constructor(onEarly: () => void) {
    this.#onEarly = onEarly;
  }

  /** To be called for each datagram, when it has been handled. */
  count(): void {
    this.#datagrams += 1;
    if (this.#datagrams === 1) setImmediate(this.#begin);
    if (this.#datagrams % datagramsMax !== 0 || loop().handing) return;
    this.#onEarly();
    loop().poll();
  }

  readonly #begin = (): void => {
    this.#datagrams = 0;
  };
}
