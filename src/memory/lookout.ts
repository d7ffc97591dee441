/**
 * Waits for a message while it holds up this thread:
 *
 *     look ──nothing came──▶ sleep on the ring ──nothing came──▶ sleep in the poller of this thread
 *
 * Looking is quickest, where it is worth it. On the ring it is woken by the other side without a frame, and hears of nothing
 * else; so that is for a short while only. In the poller a frame wakes it, as does the end of the other side, and
 * whatever else this thread is told of: there it sleeps for as long as it takes.
 */

import { Linger } from "../ipc/linger.ts";
import { loop } from "../ipc/loop.ts";
import { isCrowded, yieldProcessor } from "../native/shared-memory.ts";
import { hub } from "./hub.ts";
import type { Incoming } from "./incoming.ts";

/** Whatever else this thread is told of waits for so long. Beside it, what waking by a frame costs more is little. */
const wordMs = 1;
/**
 * And where messages come one after the other, for so long: longer than a tick of the system's clock, so that a sleep
 * hardly ever has to set the timer of the processor, which takes longer than to wake somebody.
 */
const busyWordMs = 5;
const roundsPerClock = 128;
const nsPerMs = 1e6;

export class Lookout {
  readonly #spinMs: number;
  readonly #linger: Linger;
  /** The last sleep was ended by a message. */
  #isBusy = false;

  /** Looks for a message for so many nanoseconds before it sleeps. */
  constructor(spinNs: number) {
    this.#spinMs = spinNs / nsPerMs;
    this.#linger = new Linger(2 * this.#spinMs);
  }

  /** Returns when there may be a message, or for no reason, and soon after `until`. */
  wait(incoming: Incoming, until: number): void {
    if (this.#spin(incoming, until)) return;
    // Of what has been begun, the rest comes over the Unix connection.
    if (!incoming.awaits && this.#sleepsOnWord(incoming, until)) return;
    if (incoming.rest()) loop().poll(Math.max(0, until - performance.now()));
  }

  /** Whether that was ended by a message. */
  #sleepsOnWord(incoming: Incoming, until: number): boolean {
    const looks = this.#spinMs > 0;
    // To look at the clock takes longer than to write a message.
    if (!looks && until === Infinity) {
      this.#isBusy = incoming.sleep(this.#isBusy ? busyWordMs : wordMs);
      return this.#isBusy;
    }
    const since = performance.now();
    const ms = Math.min(this.#isBusy ? busyWordMs : wordMs, until - since);
    this.#isBusy = ms > 0 && incoming.sleep(ms);
    if (looks) this.#linger.slept(performance.now() - since);
    return this.#isBusy;
  }

  #mayLook(incoming: Incoming, until: number): boolean {
    if (this.#spinMs === 0 || incoming.awaits || !this.#linger.worthwhile || isCrowded())
      return false;
    return until === Infinity || performance.now() < until;
  }

  /** Whether there is a message within a short while, or none will ever come. */
  #spin(incoming: Incoming, until: number): boolean {
    if (!this.#mayLook(incoming, until)) return false;
    incoming.prepare();
    // The clock is asked after the first looks: where the caches are cold, that takes as long as an answer.
    let spinUntil = Infinity;
    let heardAt = 0;
    while (!isCrowded()) {
      if (comes(incoming)) {
        this.#linger.found();
        return true;
      }
      const now = performance.now();
      if (spinUntil === Infinity) {
        spinUntil = Math.min(now + this.#spinMs, until);
        heardAt = now;
      }
      if (now >= spinUntil) {
        this.#linger.vain();
        return false;
      }
      if (now - heardAt >= wordMs) {
        heardAt = now;
        loop().poll();
        // Handlers that were called may have brought about what is waited for.
        if (hub.settle() > 0 || incoming.over) return true;
      }
    }
    return false;
  }
}

/** Looks a few times, or until others have had the processor. */
function comes(incoming: Incoming): boolean {
  for (let round = 0; round < roundsPerClock; round++) {
    if (incoming.hasMore) return true;
    if (yieldProcessor()) return false;
  }
  return false;
}
