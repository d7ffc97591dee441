/**
 * A request that is being answered, and the times it has: they are looked at once a second, since a timer for each
 * would cost more than most answers do.
 *
 *     body ── all of it is there ──▶ answer ── it is there ──▶ over
 *       └─ bodyMs: `body_timeout`      └─ answerMs: `timeout`
 */

import { Refusal } from "./refusal.ts";

/** Where the bounds are, in milliseconds. */
export type Patience = { readonly bodyMs: number; readonly answerMs: number };

const lookMs = 1000;

export class Exchange {
  readonly request: Request;
  #since = performance.now();
  #waitsForAnswer = false;
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

  get waitsForAnswer(): boolean {
    return this.#waitsForAnswer;
  }

  /** The body is there; from now on it is the service that takes its time. */
  hasBody(): void {
    this.#waitsForAnswer = true;
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
    const waited = now - this.#since;
    if (this.#waitsForAnswer && waited >= answerMs) {
      this.giveUp(new Refusal("timeout", `no answer within ${answerMs / 1000} seconds`));
    } else if (!this.#waitsForAnswer && waited >= bodyMs) {
      this.giveUp(
        new Refusal("body_timeout", `the body did not come within ${bodyMs / 1000} seconds`),
      );
    }
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
