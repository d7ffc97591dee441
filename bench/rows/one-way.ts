/**
 * Both ends of a one-way stream. The sender sends for as long as its plan says, then an empty
 * message; the receiver answers that with what it found, which the sender compares with what it
 * sent. The timed part is from the first message to that answer.
 */

import { now, type Plan, plans, ready, report } from "./control.ts";
import { Pattern, sumOfEnds } from "./pattern.ts";

const batchBytes = 256 * 1024; // about what a socket takes at once; a clock is read once a batch
const headerBytes = 4;
const tallyBytes = 16;

/** What a receiver adds up about the messages of one round. */
export class Tally {
  messages = 0;
  sum = 0;

  /** Returns the answer to send, once the round is over. */
  add(bytes: Uint8Array): Uint8Array | null {
    if (bytes.length === 0) return this.#finish();
    this.messages += 1;
    this.sum += sumOfEnds(bytes);
    return null;
  }

  #finish(): Uint8Array {
    const answer = new Uint8Array(tallyBytes);
    const view = new DataView(answer.buffer);
    view.setFloat64(0, this.messages);
    view.setFloat64(8, this.sum);
    this.messages = 0;
    this.sum = 0;
    return answer;
  }
}

/** The messages of one round, as the sender takes them. */
export class Outgoing {
  readonly batchMessages: number;
  readonly #pattern: Pattern;
  readonly #until: number;
  #count = 0;

  constructor(plan: Plan, pattern: Pattern) {
    this.batchMessages = Math.max(1, Math.floor(batchBytes / (headerBytes + plan.bytes)));
    this.#pattern = pattern;
    this.#until = now() + plan.nanoseconds;
  }

  get over(): boolean {
    return now() >= this.#until;
  }

  get count(): number {
    return this.#count;
  }

  take(): Uint8Array {
    const payload = this.#pattern.payload(this.#count);
    this.#count += 1;
    return payload;
  }

  compare(answer: Uint8Array): void {
    const view = new DataView(answer.buffer, answer.byteOffset, answer.byteLength);
    const right = view.byteLength === tallyBytes && view.getFloat64(0) === this.#count;
    if (!right || view.getFloat64(8) !== this.#pattern.sum(this.#count)) {
      throw new Error("the receiver found something else than was sent");
    }
  }
}

/** `send` sends batches until `outgoing.over`, then the empty message, and returns the answer. */
export async function driveOneWay(
  send: (outgoing: Outgoing) => Uint8Array | Promise<Uint8Array>,
): Promise<void> {
  ready();
  for (const plan of plans()) {
    const pattern = Pattern.of(plan.bytes);
    const begin = now();
    const outgoing = new Outgoing(plan, pattern);
    const answer = await send(outgoing);
    const nanoseconds = now() - begin;
    outgoing.compare(answer);
    report(nanoseconds, outgoing.count, []);
  }
}
