/**
 * Looks at the rings of all memory sockets of this thread, as long as that is worth it, inside Bun's event loop.
 *
 *     asleep ──a frame over the socket, or something was written──▶ turn: look at all, hand messages out, again
 *       ▲                                                            │
 *       └────────────── nothing came for a while ────────────────────┘
 *
 * Looking is what makes a memory socket fast, and costs a core. So it is done only for a short while after traffic, and
 * only while that finds something (`Linger`); then each socket says in its ring that it sleeps, and whoever writes next
 * sends a frame.
 */

import { drainMicrotasks } from "bun:jsc";
import { turnMs } from "../ipc/context.ts";
import { Linger } from "../ipc/linger.ts";
import { loop } from "../ipc/loop.ts";
import { isCrowded, yieldProcessor } from "../native/shared-memory.ts";

/** How long nothing may come until all go to sleep. */
const lingerMs = 0.05;
/** The clock is looked at after so many vain rounds. */
const roundsPerClock = 32;

/** A socket that is looked at. */
export type Watched = {
  /** Hands out what is there, within a bound. Returns how many messages that were. */
  work(): number;
  /** Says that it sleeps. False if there is something now. */
  rest(): boolean;
  /** Says that it does not, so that nobody has to wake it. */
  rouse(): void;
};

class Hub {
  readonly #awake = new Set<Watched>();
  readonly #linger = new Linger(2 * lingerMs);
  #turning = false;
  #again = false;
  #sleptAt = 0;
  #vain = 0;
  /** Something was written since all sleep. */
  #expects = false;

  /** It was woken: it is looked at until it sleeps, and that is at once if it has nothing and looking is not worth it. */
  watch(socket: Watched): void {
    if (this.#awake.has(socket)) return;
    if (this.#awake.size === 0) {
      const now = performance.now();
      this.#linger.slept(now - this.#sleptAt);
      this.#sleptAt = now;
      this.#expects = false;
    }
    this.wait(socket);
  }

  /** Something was written, and the answer is likely to be quick. Who sleeps goes on if looking is not worth it. */
  expect(socket: Watched): void {
    if (this.#awake.has(socket)) return;
    if (this.#mayLook) {
      this.#look(socket);
    } else if (!this.#expects) {
      // What counts is how long the answer takes, and not when somebody thought of a question.
      this.#expects = true;
      this.#sleptAt = performance.now();
    }
  }

  /** It waits for room: it is looked at while that is worth it, and else it sleeps until there is some. */
  wait(socket: Watched): void {
    if (this.#awake.has(socket)) return;
    if (this.#mayLook || !socket.rest()) this.#look(socket);
  }

  get #mayLook(): boolean {
    return this.#linger.worthwhile && !isCrowded();
  }

  #look(socket: Watched): void {
    this.#awake.add(socket);
    loop().elsewhere = true;
    socket.rouse();
    this.#soon();
  }

  /**
   * This thread is going to be held up, so that there is no turn: whoever is looked at sleeps, and is woken through the loop.
   * Returns how much was handed out of what was there already.
   */
  settle(): number {
    if (this.#awake.size === 0) return 0;
    this.#sleep();
    return this.#round();
  }

  leave(socket: Watched): void {
    this.#awake.delete(socket);
    if (this.#awake.size === 0) loop().elsewhere = false;
  }

  #soon(): void {
    if (this.#turning || this.#again) return;
    this.#again = true;
    setImmediate(() => {
      this.#again = false;
      this.#turn();
    });
  }

  #turn(): void {
    if (this.#turning) return;
    this.#turning = true;
    try {
      const begun = performance.now();
      let now = begun;
      let quietSince = begun;
      while (this.#awake.size > 0) {
        if (this.#round() > 0) {
          drainMicrotasks();
          this.#linger.found();
          now = quietSince = performance.now();
        } else if (!this.#mayLook) {
          this.#sleep();
          now = performance.now();
        } else if (this.#lookedInVain()) {
          now = performance.now();
          if (now - quietSince >= lingerMs) {
            this.#linger.vain();
            this.#sleep();
          }
        }
        if (now - begun >= turnMs) break;
      }
    } finally {
      this.#turning = false;
      if (this.#awake.size > 0) this.#soon();
    }
  }

  /** Whether it is time to look at the clock: now and then, and whenever others may have had the processor. */
  #lookedInVain(): boolean {
    this.#vain += 1;
    return yieldProcessor() || this.#vain % roundsPerClock === 0;
  }

  #round(): number {
    let count = 0;
    for (const socket of this.#awake) count += socket.work();
    return count;
  }

  #sleep(): void {
    for (const socket of this.#awake) {
      if (socket.rest()) this.leave(socket);
    }
    if (this.#awake.size > 0) return;
    this.#sleptAt = performance.now();
    this.#expects = false;
  }
}

/** That of this thread. */
export const hub = new Hub();
