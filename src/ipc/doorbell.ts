/**
 * How Bun's event loop learns that a context has something to report. A native thread sleeps in its stead, and rings
 * by a byte on a socket that Bun polls: if this thread is ended from outside, as a worker can be, the socket goes with it
 * and the bell rings unheard, where a callback would be called that is no more.
 *
 *     asleep ──armed──▶ the native thread sleeps ──something is ready──▶ rings ──▶ who waited goes on
 */

import { Hold } from "./hold.ts";

export class Doorbell {
  readonly #socket: Promise<Bun.Socket>;
  /** Arms the native thread; 1 if there is something to report already. */
  readonly #arm: () => number;
  #waiting: (() => void) | undefined;
  /** For those who wait; the socket alone does not hold Bun's loop open. */
  readonly #hold = new Hold();

  /** `descriptor` is the bell's, and becomes this one's. */
  constructor(descriptor: number, arm: () => number) {
    this.#arm = arm;
    this.#socket = adopt(descriptor, () => this.ring());
  }

  /** Resolves when Bun polls it. */
  get ready(): Promise<unknown> {
    return this.#socket;
  }

  /** Calls `ring` back once when the context has something to report. Replaces who waited before. Holds nothing open. */
  arm(ring: () => void): void {
    const isDue = this.#arm() === 1;
    this.#waiting = ring;
    if (isDue) queueMicrotask(() => this.ring());
  }

  /** Resolves when there is something to report, or the signal aborts. */
  rung(signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        signal?.removeEventListener("abort", done);
        this.#hold.release();
        resolve();
      };
      signal?.addEventListener("abort", done);
      this.#hold.take();
      this.arm(done);
    });
  }

  ring(): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.();
  }

  /** The native thread has ended. Who waits is let go. */
  close(): void {
    void this.#socket.then((socket) => socket.terminate());
    this.#hold.release();
    this.ring();
  }
}

/** Has Bun poll a socket that is connected already; its declarations do not know that it can. */
const adoptSocket = Bun.connect as unknown as (options: {
  fd: number;
  socket: Bun.SocketHandler;
}) => Promise<Bun.Socket>;

async function adopt(fd: number, ring: () => void): Promise<Bun.Socket> {
  const socket = await adoptSocket({ fd, socket: { data: ring } });
  socket.unref();
  return socket;
}
