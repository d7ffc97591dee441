/**
 * A request that is being answered, and the times it has: they are looked at once a second, since a timer for each
 * would cost more than most answers do.
 *
 *     body ── all of it is there ──▶ answer ── it is there ──▶ writing ── all is with Bun ──▶ over
 *       └─ bodyMs: `body_timeout`      └─ answerMs: `timeout`     └─ bodyMs without progress
 */

import { Refusal } from "./refusal.ts";

/** Where the bounds are, in milliseconds. */
export type Patience = { readonly bodyMs: number; readonly answerMs: number };

export type Phase = "body" | "answer" | "writing";

const lookMs = 1000;

export class Exchange {
  readonly request: Request;
  #since = performance.now();
  #phase: Phase = "body";
  #refusal: Refusal | undefined;
  /** Bytes that are held for it; see `Held`. */
  held = 0;
  /** Whether Bun's own time-out was put off, which is to end nobody who waits for a service. */
  putOff = false;
  /** How to give up what is being waited for. */
  onGivenUp: ((why: Refusal) => void) | undefined;

  constructor(request: Request) {
    this.request = request;
  }

  /** Why it was given up, if it was. */
  get givenUp(): Refusal | undefined {
    return this.#refusal;
  }

  /** Throws why it was given up, if it was while nothing could be done about it. */
  check(): void {
    if (this.#refusal !== undefined) throw this.#refusal;
  }

  get phase(): Phase {
    return this.#phase;
  }

  /** With "answer" the body is there, and it is the service that takes its time; with "writing" the remote again. */
  enter(phase: Phase): void {
    this.#phase = phase;
    this.#since = performance.now();
  }

  /** Bytes went by, which starts its time anew. */
  progress(): void {
    this.#since = performance.now();
  }

  giveUp(why: Refusal): void {
    if (this.#refusal !== undefined) return;
    this.#refusal = why;
    this.onGivenUp?.(why);
  }

  look(now: number, { bodyMs, answerMs }: Patience): void {
    const forAnswer = this.#phase === "answer";
    const most = forAnswer ? answerMs : bodyMs;
    if (now - this.#since < most) return;
    const seconds = `within ${most / 1000} seconds`;
    this.giveUp(
      forAnswer
        ? new Refusal("timeout", `no answer came ${seconds}`)
        : new Refusal("body_timeout", `the remote did not send or read ${seconds}`),
    );
  }
}

export class Exchanges {
  readonly #open = new Set<Exchange>();
  readonly #patience: Patience;
  readonly #onLong: (exchange: Exchange) => void;
  #timer: ReturnType<typeof setInterval> | undefined;
  #nobody: PromiseWithResolvers<void> | undefined;

  /** `onLong` is told once a second of each that takes longer than one. */
  constructor(patience: Patience, onLong: (exchange: Exchange) => void) {
    this.#patience = patience;
    this.#onLong = onLong;
  }

  get count(): number {
    return this.#open.size;
  }

  begin(request: Request): Exchange {
    const exchange = new Exchange(request);
    this.#open.add(exchange);
    this.#timer ??= setInterval(() => this.#look(), lookMs);
    return exchange;
  }

  end(exchange: Exchange): void {
    this.#open.delete(exchange);
    if (this.#open.size === 0) this.#nobody?.resolve();
  }

  giveUpAll(why: () => Refusal): void {
    for (const exchange of this.#open) exchange.giveUp(why());
  }

  /** Resolves when all are over. */
  async over(): Promise<void> {
    if (this.#open.size > 0) {
      this.#nobody ??= Promise.withResolvers<void>();
      await this.#nobody.promise;
    }
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #look(): void {
    const now = performance.now();
    for (const exchange of this.#open) {
      exchange.look(now, this.#patience);
      this.#onLong(exchange);
    }
    if (this.#open.size > 0) return;
    // It costs nothing while there is nobody.
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}
