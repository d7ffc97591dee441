/** A descriptor that this process owns: one that came with a message, or a copy that is to be given away. */

import { closeSync } from "node:fs";
import { IpcError } from "../native/errors.ts";
import { whole } from "./numbers.ts";

/** Closes those that nobody refers to any more. */
const forgotten = new FinalizationRegistry<number>((number) => closeQuietly(number));

/**
 * It is closed by `close()`, by `using`, and at the latest when nothing refers to it any more: who goes on with its
 * number alone has to `take()` it.
 *
 * @example
 * using file = message.descriptors[0];
 * console.log(readFileSync(file.number, "utf8"));
 */
export class Descriptor implements Disposable {
  #number: number | undefined;
  #watched = false;

  /**
   * Owns `number` from now on. Not `watched`, it is for whoever refers to it to call `watch` before he forgets it: most
   * are closed by the function that they are given to, and watching costs more than all else here.
   */
  constructor(number: number, watched = true) {
    this.#number = whole("descriptor", number, 0, 2 ** 31 - 1);
    if (watched) this.watch();
  }

  /** @internal From now on it is closed when nothing refers to it any more. */
  watch(): void {
    if (this.#watched || this.#number === undefined) return;
    this.#watched = true;
    forgotten.register(this, this.#number, this);
  }

  /** What the system knows it by. Throws ECLOSED once it was closed or taken. */
  get number(): number {
    if (this.#number !== undefined) return this.#number;
    throw new IpcError("ECLOSED", "ECLOSED: the descriptor was closed, or taken");
  }

  get closed(): boolean {
    return this.#number === undefined;
  }

  /** Gives its number away: it is the caller's to close from now on. */
  take(): number {
    const { number } = this;
    if (this.#watched) forgotten.unregister(this);
    this.#watched = false;
    this.#number = undefined;
    return number;
  }

  /** Closing twice is no error. */
  close(): void {
    if (this.#number !== undefined) closeQuietly(this.take());
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** The system frees the number whatever it says of the rest. */
function closeQuietly(number: number): void {
  try {
    closeSync(number);
  } catch {
    // A disk that is full, or the like: there is nobody to tell, and nothing left to do.
  }
}

/** The number of one of either kind. */
export function numberOf(descriptor: number | Descriptor): number {
  if (descriptor instanceof Descriptor) return descriptor.number;
  return whole("descriptor", descriptor, 0, 2 ** 31 - 1);
}

/** The numbers of those that are to be sent. Throws EINVAL for what is no list. */
export function numbersOf(descriptors: readonly (number | Descriptor)[]): Int32Array {
  if (Array.isArray(descriptors)) return Int32Array.from(descriptors, numberOf);
  throw new IpcError("EINVAL", "EINVAL: descriptors is a list of numbers and Descriptors");
}
