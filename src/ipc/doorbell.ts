/**
 * How Bun's event loop learns that a context has something to report: by a socket that Bun polls. Where it can be done,
 * what the context waits for stands in Bun's own epoll in that socket's stead, with a byte that lies ready in it; where not,
 * in workers and elsewhere than on Linux, a native thread sleeps and rings by a byte. Either way nothing calls into
 * JavaScript: if this thread is ended from outside, as a worker can be, the socket goes with it and the bell rings unheard.
 *
 *     asleep ──armed──▶ Bun polls, or the thread sleeps ──something is ready──▶ rings ──▶ who waited goes on
 */

import { Hold } from "./hold.ts";

/** The native side of a bell. */
export type Ringer = {
  /** 1 if there is something to report already. */
  arm(): number;
  /** The byte has been read. */
  heard?(): void;
  /** Bun polls the socket no more, and may reuse what it knew it by. */
  lost?(): void;
};

export class Doorbell {
  readonly #socket: Promise<Bun.Socket>;
  readonly #ringer: Ringer;
  #waiting: (() => void) | undefined;
  #isClosed = false;
  /** For those who wait; the socket alone does not hold Bun's loop open. */
  readonly #hold = new Hold();

  /** `descriptor` is the bell's, and becomes this one's. Bun polls it from then on. */
  constructor(descriptor: number, ringer: Ringer) {
    this.#ringer = ringer;
    this.#socket = adopt(descriptor, {
      data: () => {
        if (this.#isClosed) return;
        ringer.heard?.();
        this.ring();
      },
      close: () => {
        if (this.#isClosed) return;
        ringer.lost?.();
        // Who waits looks for himself, and may have another.
        this.ring();
      },
    });
  }

  /** Resolves when Bun has made it a socket. */
  get ready(): Promise<unknown> {
    return this.#socket;
  }

  /** Calls `ring` back once when the context has something to report. Replaces who waited before. Holds nothing open. */
  arm(ring: () => void): void {
    const isDue = this.#ringer.arm() === 1;
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

  /** The context is closed, or nothing rings. Who waits is let go. */
  close(): void {
    this.#isClosed = true;
    // Bun may have found it ready twice in this round, for what was waited for and for a deadline: it reads it once more
    // then, and the number must not be somebody else's by that time.
    setImmediate(() => void this.#socket.then((socket) => socket.terminate()));
    this.#hold.release();
    this.ring();
  }
}

/** Has Bun poll a socket that is connected already; its declarations do not know that it can. */
const adoptSocket = Bun.connect as unknown as (options: {
  fd: number;
  socket: Bun.SocketHandler;
}) => Promise<Bun.Socket>;

async function adopt(fd: number, handlers: Bun.SocketHandler): Promise<Bun.Socket> {
  const socket = await adoptSocket({ fd, socket: handlers });
  socket.unref();
  return socket;
}
