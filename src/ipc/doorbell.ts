/**
 * How Bun's event loop learns that a context has something to report. A native thread sleeps in its stead, and rings
 * by a byte on a socket that Bun polls: if this thread is ended from outside, as a worker can be, the socket goes with it
 * and the bell rings unheard, where a callback would be called that is no more.
 *
 *     asleep ──armed──▶ the native thread sleeps ──something is ready──▶ rings ──▶ who waited goes on
 */

/** The longest timer there is: some 24 days. */
const farOffMs = 2 ** 31 - 1;

export class Doorbell {
  readonly #socket: Promise<Bun.Socket>;
  /** Arms the native thread; 1 if there is something to report already. */
  readonly #arm: () => number;
  #waiting: (() => void) | undefined;
  /** Holds Bun's loop open; the socket alone does not. */
  #hold: ReturnType<typeof setInterval> | undefined;

  /** `descriptor` is the bell's, and becomes this one's. */
  constructor(descriptor: number, arm: () => number) {
    this.#arm = arm;
    this.#socket = adopt(descriptor, () => this.ring());
  }

  /** Calls `ring` back once when the context has something to report. Replaces who waited before. */
  arm(ring: () => void): void {
    this.#waiting = ring;
    this.hold();
    if (this.#arm() === 1) queueMicrotask(() => this.ring());
  }

  /** Resolves when there is something to report, or the signal aborts. */
  rung(signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        signal?.removeEventListener("abort", done);
        this.release();
        resolve();
      };
      signal?.addEventListener("abort", done);
      this.arm(done);
    });
  }

  /** Keeps Bun's loop open until `release`. */
  hold(): void {
    this.#hold ??= setInterval(() => undefined, farOffMs);
  }

  release(): void {
    if (this.#hold === undefined) return;
    clearInterval(this.#hold);
    this.#hold = undefined;
  }

  ring(): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.();
  }

  /** The native thread has ended. Who waits is let go. */
  close(): void {
    void this.#socket.then((socket) => socket.terminate());
    this.release();
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
