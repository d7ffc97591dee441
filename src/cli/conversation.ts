/**
 * Lines from the keyboard, or whatever standard input is, to a service, and its answers to standard output, both at
 * once: one context waits for the two.
 *
 *     talking ──end of input──▶ sending ──all is with the kernel──▶ awaiting ──▶ done
 *      │   ▲                    as long as it is taken              as many answers as lines,
 *      ▼   └──drained                                               or none for too long
 *     holding back, because the queue is full
 */

import { readSync } from "node:fs";
import type { Context } from "../ipc/context.ts";
import type { Event } from "../ipc/event.ts";
import { isClosed } from "../native/errors.ts";
import { EventType } from "../native/layout.ts";
import { CommandError } from "./command.ts";
import { FirstAnswer } from "./first-answer.ts";
import { Lines } from "./lines.ts";
import { writeAll } from "./output.ts";

const standardInput = 0;
const standardOutput = 1;
const readBytes = 64 * 1024;
const newline = Buffer.from("\n");
/** What a read says of a terminal that has hung up, and of an input that was closed. */
const noMore = new Set(["EIO", "EBADF"]);
const nothingYet = new Set(["EAGAIN", "EWOULDBLOCK", "EINTR"]);

export type Terms = {
  /** When there is no more input: how long to wait until the service takes more of what is left, in milliseconds. */
  readonly sendTimeout: number;
  /** When it has taken all: how long to wait until it answers. */
  readonly answerTimeout: number;
  readonly lineBytesMax: number;
  /** Over this many bytes queued nothing more is read until they have drained. */
  readonly queueBytesHigh: number;
};

export class Conversation {
  readonly #context: Context;
  readonly #service: string;
  readonly #connection: number;
  readonly #terms: Terms;
  readonly #lines: Lines;
  readonly #buffer = Buffer.allocUnsafe(readBytes);
  #state: "talking" | "sending" | "awaiting" | "done" = "talking";
  /** Standard input among what the context watches; undefined while it is not read. */
  #input: number | undefined;
  #sent = 0;
  #answered = 0;
  /** Reads whose last line is not with the kernel yet. */
  #unsent = 0;
  #queuedBytes = 0;
  /** Those of this batch, with their newlines. */
  #answers: Uint8Array[] = [];
  readonly #first = new FirstAnswer();

  constructor(context: Context, service: string, connection: number, terms: Terms) {
    this.#context = context;
    this.#service = service;
    this.#connection = connection;
    this.#terms = terms;
    this.#lines = new Lines(terms.lineBytesMax);
  }

  /** Goes on to the end of input. Returns how many lines had no answer by then. */
  run(): number {
    this.#input = this.#context.external(standardInput);
    try {
      while (this.#state !== "done") {
        const events = this.#context.wait(this.#patience());
        this.#batch(events);
        if (this.#state === "sending") this.#afterSending(events.length > 0);
        if (this.#state === "awaiting") this.#afterAwaiting(events.length > 0);
      }
    } finally {
      this.#answer(this.#first.release());
      this.#print();
    }
    return Math.max(0, this.#sent - this.#answered);
  }

  /** How long to wait for whatever happens next, in milliseconds. */
  #patience(): number | undefined {
    if (this.#state === "sending") return this.#terms.sendTimeout;
    return this.#state === "awaiting" ? this.#terms.answerTimeout : undefined;
  }

  #afterSending(hasHappened: boolean): void {
    const before = this.#queuedBytes;
    this.#countQueued();
    if (this.#unsent === 0) this.#state = "awaiting";
    else if (!hasHappened && this.#queuedBytes >= before) {
      throw new CommandError(`"${this.#service}" does not read; not all lines were sent`);
    }
  }

  #afterAwaiting(hasHappened: boolean): void {
    const hasAll = this.#answered >= this.#sent && !this.#first.held;
    if (!hasHappened || hasAll) this.#state = "done";
  }

  #batch(events: Event[]): void {
    try {
      for (const event of events) this.#handle(event);
    } finally {
      // Their bytes are gone with the next wait.
      this.#print();
    }
  }

  #print(): void {
    if (this.#answers.length > 0) writeAll(standardOutput, Buffer.concat(this.#answers));
    this.#answers = [];
  }

  #answer(answers: readonly Uint8Array[]): void {
    for (const bytes of answers) this.#answers.push(bytes, newline);
    this.#answered += answers.length;
  }

  #handle(event: Event): void {
    switch (event.type) {
      case EventType.MessageRx:
        this.#answer(this.#first.hear(event.message.bytes));
        break;
      case EventType.External:
        this.#read();
        break;
      case EventType.MessageTx:
        this.#unsent -= 1;
        break;
      case EventType.Drain:
        if (this.#state === "talking") this.#input ??= this.#context.external(standardInput);
        break;
      case EventType.Disconnection:
        this.#first.end(this.#service);
        throw new CommandError(`"${this.#service}" is gone (${event.reason})`);
      case EventType.Error:
        if (event.error !== undefined && !isClosed(event.error)) throw event.error;
        break;
      default:
        break;
    }
  }

  // ---- from the keyboard ----

  #read(): void {
    // A batch may hold an event from before reading stopped.
    if (this.#input === undefined) return;
    const count = this.#readSome();
    if (count === undefined) return;
    if (count === 0) {
      this.#endInput();
      return;
    }
    this.#send(this.#lines.cut(this.#buffer.subarray(0, count)));
    this.#countQueued();
    // A service that does not keep up makes us wait, and not our memory grow.
    if (this.#queuedBytes > this.#terms.queueBytesHigh) this.#stopReading();
  }

  /** How many bytes; 0 at the end, undefined for nothing yet. */
  #readSome(): number | undefined {
    try {
      return readSync(standardInput, this.#buffer);
    } catch (error) {
      const { code = "" } = error as NodeJS.ErrnoException;
      if (noMore.has(code)) return 0;
      if (nothingYet.has(code)) return undefined;
      throw new CommandError(`cannot read standard input: ${(error as Error).message}`);
    }
  }

  /** The last one is reported when it is with the kernel, and so are those before it. */
  #send(lines: Iterable<Uint8Array>): void {
    let last: Uint8Array | undefined;
    for (const line of lines) {
      if (last !== undefined) this.#context.schedule(this.#connection, last);
      last = line;
      this.#first.send(line);
      this.#sent += 1;
    }
    if (last === undefined) return;
    this.#context.schedule(this.#connection, last, { report: 1 });
    this.#unsent += 1;
  }

  #countQueued(): void {
    this.#context.flush();
    try {
      this.#queuedBytes = this.#context.statistics(this.#connection).queuedBytes;
    } catch (error) {
      if (!isClosed(error)) throw error;
    }
  }

  #stopReading(): void {
    if (this.#input === undefined) return;
    this.#context.closeHandle(this.#input);
    this.#input = undefined;
  }

  #endInput(): void {
    const rest = this.#lines.rest();
    if (rest !== undefined) this.#send([rest]);
    this.#stopReading();
    this.#state = "sending";
  }
}
