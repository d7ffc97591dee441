/** Messages that wait: for room in the ring, or for the other side to agree. */

import { Fifo } from "../ipc/fifo.ts";
import { constants } from "../native/layout.ts";

/** A message counts with as many bytes as it would have over a socket. */
export const headerBytes = constants.header_bytes;

/** How many descriptors were sent ahead of it. */
export type Queued = { readonly bytes: Uint8Array; readonly attached: number };

export class Queue {
  readonly #messages = new Fifo<Queued>();
  #bytes = 0;
  #attached = 0;

  get length(): number {
    return this.#messages.length;
  }

  /** Of all that wait, with their headers. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Descriptors that went ahead of them. */
  get attached(): number {
    return this.#attached;
  }

  /** The bytes are the queue's from then on. */
  push(message: Queued): void {
    this.#messages.push(message);
    this.#bytes += headerBytes + message.bytes.length;
    this.#attached += message.attached;
  }

  peek(): Queued | undefined {
    return this.#messages.peek();
  }

  shift(): void {
    const message = this.#messages.shift();
    if (message === undefined) return;
    this.#bytes -= headerBytes + message.bytes.length;
    this.#attached -= message.attached;
  }

  clear(): void {
    this.#messages.take(this.#messages.length);
    this.#bytes = 0;
    this.#attached = 0;
  }
}
