/**
 * The context that all `serve` and `connect` of one thread share, driven from Bun's event loop.
 *
 *     asleep ──ring, or something was sent──▶ turn: wait a little, hand events out, run microtasks, again
 *       ▲                                       │
 *       └────────── nothing came ───────────────┘
 *
 * After traffic a turn lingers: it looks for more for a short while before it goes to sleep, because sleeping and
 * waking costs far more than most answers take. Whether that is worth it is counted apart for what comes after something
 * was sent and for what comes after something was only read: who hands answers on to somebody elsewhere, as a daemon
 * does, has one to wait for when it has sent, and when it has read, the next thing comes from there.
 * A turn is bounded, so that timers, `fetch` and all else go on.
 */

import { drainMicrotasks } from "bun:jsc";
import { IpcError, isClosed } from "../native/errors.ts";
import { EventType } from "../native/layout.ts";
import type { Sent } from "./context.ts";
import { Context, turnMs } from "./context.ts";
import type { Event } from "./event.ts";
import { Hold } from "./hold.ts";
import { Linger } from "./linger.ts";

/** How long a turn looks for more traffic before it goes to sleep: what the context's own spin is by default. */
const lingerNs = 50_000;
/** The same in milliseconds, for `wait`. */
const lingerMs = lingerNs / 1e6;
/** How long a loop that nothing can wake waits until it looks for traffic: longer and longer, while there is none. */
const lookMsMin = 5;
const lookMsMax = 100;

/** Who is told of the events of one handle. */
export type Listener = {
  onEvent(event: Event): void;
  /** What became of messages that were handed over. */
  onSent(sent: Sent): void;
};

export class Loop {
  readonly context = new Context();
  readonly #listeners = new Map<number, Listener>();
  readonly #hold = new Hold();
  readonly #afterSending = new Linger(2 * lingerMs);
  readonly #afterReading = new Linger(2 * lingerMs);
  /** The one that counted when something was last looked for. */
  #linger = this.#afterReading;
  #hasSent = false;
  /** Those that get the rest of the batch, and nothing after it. */
  readonly #leaving = new Set<number>();
  #turning = false;
  /** Somebody looks for traffic elsewhere, so that this thread is not held up here. */
  elsewhere = false;
  /** Somebody is being told of an event, whose message is a view of the batch. */
  #handing = false;
  #flushing = false;
  #again = false;
  #over = false;
  /** Where there is no bell. */
  #timer: ReturnType<typeof setTimeout> | undefined;
  #lookMs = lookMsMin;

  constructor() {
    this.context.onSent = (connection, sent) => {
      this.#hasSent = true;
      this.#listeners.get(connection)?.onSent(sent);
    };
  }

  /** Has what wakes it up from now on, and not from its first sleep: by then peers may have taken the last descriptor. */
  static ready(): Loop {
    const loop = new Loop();
    try {
      loop.context.bell();
    } catch (error) {
      loop.context.close();
      throw error;
    }
    return loop;
  }

  /** From now on the events of `handle` go to `listener`. While there is anyone, Bun's loop is held open. */
  add(handle: number, listener: Listener): void {
    this.#listeners.set(handle, listener);
    this.#hold.take();
    this.soon();
  }

  remove(handle: number): void {
    this.#listeners.delete(handle);
    if (this.#listeners.size > 0) return;
    this.#hold.release();
    this.#unlook();
  }

  /** Has no further turn, if nobody is told of anything. Returns whether that is so. */
  end(): boolean {
    if (this.#listeners.size > 0) return false;
    this.#over = true;
    this.#unlook();
    this.context.close();
    return true;
  }

  /** The same once what the batch still has for it was handed out: nothing of that is lost. */
  removeAfterBatch(handle: number): void {
    if (this.context.usedUp) this.remove(handle);
    else this.#leaving.add(handle);
  }

  /** Something was handed over to be sent: it goes when this turn, or this task, is done. */
  sending(): void {
    if (this.#turning || this.#flushing) return;
    this.#flushing = true;
    queueMicrotask(() => {
      this.#flushing = false;
      if (this.#over) return;
      this.context.flush();
      // The answer is likely to be quick.
      this.soon();
    });
  }

  /** Something was sent already, and the answer is likely to be quick. */
  sent(): void {
    this.#hasSent = true;
    this.soon();
  }

  /** Has a turn when Bun's loop comes round. */
  soon(): void {
    if (this.#turning || this.#again) return;
    this.#again = true;
    setImmediate(() => {
      this.#again = false;
      this.#turn();
    });
  }

  #turn(): void {
    if (this.#turning || this.#over) return;
    this.#turning = true;
    const until = performance.now() + turnMs;
    let quiet = false;
    try {
      do {
        // If something was thrown in the middle of a batch, the rest of it comes first.
        quiet = this.context.usedUp && this.#fill() === 0;
        this.#handOut();
        for (const handle of this.#leaving) this.remove(handle);
        this.#leaving.clear();
        drainMicrotasks();
      } while (!quiet && !this.#over && performance.now() < until);
    } finally {
      this.#turning = false;
      if (quiet) this.#sleep();
      else if (!this.#over) this.soon();
    }
  }

  /** Whether somebody is being told of something, and so the next batch has to wait. */
  get handing(): boolean {
    return this.#handing;
  }

  /**
   * Hands out what is there, or comes within `timeout` milliseconds: for whoever holds up Bun's loop while he waits for
   * something else, which is kept from him for no longer than a turn. Not while `handing`.
   */
  poll(timeout = 0): void {
    let until = Infinity;
    while (!this.context.usedUp || this.context.fill(until === Infinity ? timeout : 0) > 0) {
      this.#handOut();
      const now = performance.now();
      if (until === Infinity) until = now + turnMs;
      else if (now >= until) break;
    }
    this.soon();
  }

  #handOut(): void {
    this.#handing = true;
    try {
      for (let event = this.context.next(); event !== undefined; event = this.context.next()) {
        this.#lookMs = lookMsMin;
        this.#hand(event);
      }
    } finally {
      this.#handing = false;
    }
  }

  #fill(): number {
    const isSending = this.#hasSent || !this.context.outboxIsEmpty;
    this.#linger = isSending ? this.#afterSending : this.#afterReading;
    const count = this.#look(this.#linger);
    this.#hasSent = false;
    return count;
  }

  #look(linger: Linger): number {
    if (this.elsewhere || !linger.worthwhile) return this.context.fill(0);
    const count = this.context.fill(lingerMs, lingerNs);
    if (count > 0) linger.found();
    else linger.vain();
    return count;
  }

  #sleep(): void {
    if (this.#over) return;
    this.context.flush();
    if (this.#listeners.size === 0) return;
    const since = performance.now();
    const linger = this.#linger;
    const wake = () => {
      linger.slept(performance.now() - since);
      this.#turn();
    };
    if (this.#arm(wake)) this.#unlook();
    else this.#lookLater(wake);
  }

  /** Where the system has nothing left for a bell. */
  #lookLater(wake: () => void): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(wake, this.#lookMs);
    this.#lookMs = Math.min(2 * this.#lookMs, lookMsMax);
  }

  #unlook(): void {
    if (this.#timer === undefined) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  /** False if there is no bell, and none to be had. */
  #arm(wake: () => void): boolean {
    try {
      this.context.bell().arm(wake);
      return true;
    } catch (error) {
      if (this.context.hasBell || !(error instanceof IpcError)) throw error;
      return false;
    }
  }

  #hand(event: Event): void {
    // A connection that has just been accepted has no listener yet; its service makes it one. Who dialed one waits for it.
    const accepted = event.type === EventType.Connection && event.service !== 0;
    const handle = accepted ? event.service : event.source;
    const listener = this.#listeners.get(handle);
    if (listener !== undefined) listener.onEvent(event);
    else if (event.type === EventType.Connection) this.turnAway(event.connection);
  }

  /** Ends a connection that nobody is told of: its service was closed meanwhile, or its signal aborted. */
  turnAway(connection: number): void {
    try {
      this.context.closeHandle(connection, { now: true });
    } catch (error) {
      if (!isClosed(error)) throw error;
    }
    this.soon();
  }
}

let shared: Loop | undefined;

/** The loop of this thread. */
export function loop(): Loop {
  shared ??= Loop.ready();
  return shared;
}

/**
 * Begins the loop of this thread, if it has none, for a process that is forked before that first sleeps: until then nothing
 * wakes it. Returns the two ends of what will.
 */
export function beginLoop(): Promise<readonly [number, number]> {
  shared ??= new Loop();
  return shared.context.quietBell();
}

/**
 * Ends the loop of this thread, and with it the native thread that it may have, if nobody is told of anything by it; whoever asks for one
 * next gets another. Returns whether there is none now. For a process that is to be forked.
 */
export function endLoop(): boolean {
  if (shared?.end() === false) return false;
  shared = undefined;
  return true;
}

/** What a handler threw goes where an uncaught error goes, and everybody else is served all the same. */
export function throwLater(error: unknown): void {
  queueMicrotask(() => {
    throw error;
  });
}
