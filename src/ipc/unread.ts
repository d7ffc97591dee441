/** Messages that nobody has read yet. Beyond a bound the peer is made to wait. */

import { Fifo } from "./fifo.ts";
import type { Message } from "./message.ts";

export class Unread {
  readonly #bytesMax: number;
  readonly #pause: (paused: boolean) => void;
  readonly #messages = new Fifo<Message>();
  #bytes = 0;
  #paused = false;
  #arrival: PromiseWithResolvers<void> | undefined;

  constructor(bytesMax: number, pause: (paused: boolean) => void) {
    this.#bytesMax = bytesMax;
    this.#pause = pause;
  }

  /** Whether the peer is made to wait. */
  get paused(): boolean {
    return this.#paused;
  }

  /** Whether there are any. */
  get waiting(): boolean {
    return this.#messages.length > 0;
  }

  get length(): number {
    return this.#messages.length;
  }

  put(message: Message): void {
    this.#messages.push(message);
    this.#bytes += costOf(message);
    this.end();
    if (this.#paused || this.#bytes <= this.#bytesMax) return;
    this.#paused = true;
    this.#pause(true);
  }

  take(): Message | undefined {
    const message = this.#messages.shift();
    if (message === undefined) return undefined;
    this.#bytes -= costOf(message);
    if (this.#bytes <= this.#bytesMax / 2) this.resume();
    return message;
  }

  /** Lets the peer go on: there is room again, or what comes next is awaited by somebody else. */
  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#pause(false);
  }

  /** Lets go who waits for one: there will be no more, or there is one. */
  end(): void {
    this.#arrival?.resolve();
    this.#arrival = undefined;
  }

  /** Resolves when there is one, or there will be no more. */
  arrived(): Promise<void> {
    if (this.#messages.length > 0) return Promise.resolve();
    this.#arrival ??= Promise.withResolvers<void>();
    return this.#arrival.promise;
  }
}

/** An empty message is an object too, so that a flood of them is bounded as well. */
const messageOverheadBytes = 64;

/** There are far fewer descriptors in a process than bytes. */
const descriptorBytes = 4096;

function costOf(message: Message): number {
  return message.length + messageOverheadBytes + message.descriptors.length * descriptorBytes;
}
