/**
 * How Bun's event loop learns that a context has something to report. A native thread sleeps in its stead, and rings
 * through one callback without arguments.
 *
 *     asleep ──armed──▶ the native thread sleeps ──something is ready──▶ rings ──▶ who waited goes on
 */

import { ThreadsafeCallback } from "../native/callback.ts";
import type { Address } from "../native/symbols.ts";

/** The longest timer there is: some 24 days. */
const farOffMs = 2 ** 31 - 1;

export class Doorbell {
  readonly #callback: ThreadsafeCallback;
  /** Arms the native thread; 1 if there is something to report already. */
  readonly #arm: (callback: Address) => number;
  #waiting: (() => void) | undefined;
  /**
   * Holds Bun's loop open. Without any handle of its own Bun would moreover wait for the native thread's call at
   * full CPU.
   */
  #hold: ReturnType<typeof setInterval> | undefined;

  constructor(arm: (callback: Address) => number) {
    this.#arm = arm;
    this.#callback = new ThreadsafeCallback(() => this.ring());
  }

  /**
   * Starts the native thread ahead of need. It takes a descriptor to be woken by, and later there may be none left:
   * then nobody would ever be told of the peers who hold them, nor of their going.
   */
  prepare(): void {
    this.#arm(this.#callback.address);
  }

  /** Calls `ring` back once when the context has something to report. Replaces who waited before. */
  arm(ring: () => void): void {
    this.#waiting = ring;
    this.hold();
    if (this.#arm(this.#callback.address) === 1) queueMicrotask(() => this.ring());
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
    this.#callback.close();
    this.release();
    this.ring();
  }
}
