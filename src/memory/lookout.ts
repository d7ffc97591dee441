/**
 * Waits for a message while it holds up this thread: looks for one for a while, if that is worth it, and then sleeps on
 * the ring. Now and then it hears what came over the Unix connections, the end of the other side among it.
 */

import { Linger } from "../ipc/linger.ts";
import { loop } from "../ipc/loop.ts";
import { yieldProcessor } from "../native/shared-memory.ts";
import type { Incoming } from "./incoming.ts";

/** Who sleeps on the ring looks after so long whether the other side is still there. */
const sliceMs = 20;
const roundsPerClock = 32;
const nsPerMs = 1e6;

export class Lookout {
  readonly #spinMs: number;
  readonly #linger: Linger;

  /** Looks for a message for so many nanoseconds before it sleeps. */
  constructor(spinNs: number) {
    this.#spinMs = spinNs / nsPerMs;
    this.#linger = new Linger(2 * this.#spinMs);
  }

  /** Returns when there may be a message, or after a while, and soon after `until`. */
  wait(incoming: Incoming, until: number): void {
    if (this.#spin(incoming, until)) return;
    const since = performance.now();
    const ms = Math.max(0, Math.min(sliceMs, until - since));
    if (incoming.awaits) {
      loop().poll(ms);
      return;
    }
    const hasWoken = ms > 0 && incoming.sleep(ms);
    this.#linger.slept(performance.now() - since);
    if (!hasWoken) loop().poll();
  }

  /** Whether there is a message within a short while. */
  #spin(incoming: Incoming, until: number): boolean {
    if (this.#spinMs === 0 || incoming.awaits || !this.#linger.worthwhile) return false;
    let now = performance.now();
    const spinUntil = Math.min(now + this.#spinMs, until);
    if (now >= spinUntil) return false;
    for (; now < spinUntil; now = performance.now()) {
      for (let round = 0; round < roundsPerClock; round++) {
        if (incoming.hasMore) {
          this.#linger.found();
          return true;
        }
        if (yieldProcessor()) break;
      }
    }
    this.#linger.vain();
    return false;
  }
}
