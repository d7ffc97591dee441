/**
 * Drives the round trips of a row: writes a payload, sends it, waits for the answer, compares.
 * Only what lies between the sending and the answer is timed.
 */

import { now, type Plan, plans, ready, report } from "./control.ts";
import { Loan } from "./loan.ts";
import { Pattern } from "./pattern.ts";

const warmTrips = 16; // enough to have both processes awake and their caches filled
const samplesMax = 1 << 16; // as many as the line to the benchmark can reasonably carry

class Samples {
  readonly #plan: Plan;
  readonly #pattern: Pattern;
  readonly #payload: Uint8Array;
  readonly #samples = new Float64Array(samplesMax);
  #count = 0;
  #until = Number.POSITIVE_INFINITY;

  constructor(plan: Plan) {
    this.#plan = plan;
    this.#pattern = Pattern.of(plan.bytes);
    this.#payload = new Uint8Array(plan.bytes);
  }

  /** The payload of the next trip. */
  write(): Uint8Array {
    this.#payload.set(this.#pattern.payload(this.#count));
    return this.#payload;
  }

  compare(answer: Uint8Array): void {
    if (Buffer.compare(answer, this.#payload) !== 0) throw new Error("wrong answer");
  }

  get count(): number {
    return this.#count;
  }

  begin(): void {
    this.#until = now() + this.#plan.nanoseconds;
  }

  keep(nanoseconds: number): void {
    this.#samples[this.#count] = nanoseconds;
    this.#count += 1;
  }

  get over(): boolean {
    return this.#count === samplesMax || now() >= this.#until;
  }

  report(): void {
    const samples = Array.from(this.#samples.subarray(0, this.#count), Math.round);
    const sum = samples.reduce((total, sample) => total + sample, 0);
    report(sum, samples.length, samples);
  }
}

/** Each trip blocks until the answer is there. */
export function driveBlocking(trip: (payload: Uint8Array) => Uint8Array): void {
  ready();
  for (const plan of plans()) {
    const samples = new Samples(plan);
    for (let count = 0; count < warmTrips; count += 1) samples.compare(trip(samples.write()));
    samples.begin();
    do {
      const payload = samples.write();
      const begin = now();
      const answer = trip(payload);
      samples.keep(now() - begin);
      samples.compare(answer);
    } while (!samples.over);
    samples.report();
  }
}

/** What is sent is filled before the trip, where it is sent from, and answered with the sum of its ends. */
export interface Loans {
  /** Before each round. */
  begin: () => void;
  fill: (loan: Loan) => void;
  trip: () => number;
  /** Right after each trip. */
  after?: () => void;
  /** Waits until all of it was compared. */
  settle?: () => void;
}

/** Each trip blocks until the answer is there. */
export function driveLoans({ begin: start, fill, trip, after, settle }: Loans): void {
  ready();
  for (const plan of plans()) {
    const samples = new Samples(plan);
    let lent = 0;
    const lend = () => {
      const loan = new Loan(plan.bytes, samples.count);
      fill(loan);
      if (lent > 0) settle?.();
      lent += 1;
      const begin = now();
      const answer = trip();
      const nanoseconds = now() - begin;
      after?.();
      if (answer !== loan.sumOfEnds) throw new Error("wrong answer");
      samples.keep(nanoseconds);
    };
    start();
    samples.begin();
    do lend();
    while (!samples.over);
    settle?.();
    samples.report();
  }
}

/** What is done behind each trip of a row whose option says how many milliseconds are to pass there. */
export function pause(milliseconds: string | undefined): (() => Promise<void>) | undefined {
  return milliseconds === undefined ? undefined : () => Bun.sleep(Number(milliseconds));
}

/** Each trip runs in the event loop; `after` does what is to be done behind each, and is not timed. */
export async function driveAsync(
  trip: (payload: Uint8Array) => Promise<Uint8Array>,
  after?: () => Promise<void>,
): Promise<void> {
  ready();
  for (const plan of plans()) {
    const samples = new Samples(plan);
    for (let count = 0; count < warmTrips; count += 1) {
      samples.compare(await trip(samples.write()));
      if (after !== undefined) await after();
    }
    samples.begin();
    do {
      const payload = samples.write();
      const begin = now();
      const answer = await trip(payload);
      samples.keep(now() - begin);
      samples.compare(answer);
      if (after !== undefined) await after();
    } while (!samples.over);
    samples.report();
  }
}
