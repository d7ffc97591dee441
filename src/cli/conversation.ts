/**
 * Lines from the keyboard, or whatever standard input is, to a service, and its answers to standard output, both at
 * once: one context waits for the two.
 *
 *     reading ◀──drained── holding back
 *      │   └──queue too full──▶ ┘
 *      ▼ end of input
 *     awaiting answers ──as many as lines, or none for too long──▶ sending the rest ──▶ done
 */

import { readSync } from "node:fs";
import type { Context } from "../ipc/context.ts";
import type { Event } from "../ipc/event.ts";
import { IpcError } from "../native/errors.ts";
import { EventType } from "../native/layout.ts";
import { CommandError } from "./command.ts";
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
  /** How long to wait for an answer when there is no more input, in milliseconds. */
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
  #state: "talking" | "awaiting" | "sending" | "done" = "talking";
  /** Standard input among what the context watches; undefined while it is not read. */
  #input: number | undefined;
  #sent = 0;
  #answered = 0;
  /** Those of this batch, with their newlines. */
  #answers: Uint8Array[] = [];

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
    while (this.#state !== "done") {
      const isPatient = this.#state !== "awaiting";
      const events = this.#context.wait(isPatient ? undefined : this.#terms.answerTimeout);
      this.#batch(events);
      if (this.#state === "awaiting" && (events.length === 0 || this.#answered >= this.#sent)) {
        this.#finish();
      }
    }
    return Math.max(0, this.#sent - this.#answered);
  }

  #batch(events: Event[]): void {
    try {
      for (const event of events) this.#handle(event);
    } finally {
      // Their bytes are gone with the next wait.
      if (this.#answers.length > 0) writeAll(standardOutput, Buffer.concat(this.#answers));
      this.#answers = [];
    }
  }

  #handle(event: Event): void {
    switch (event.type) {
      case EventType.MessageRx:
        this.#answers.push(event.message.bytes, newline);
        this.#answered += 1;
        break;
      case EventType.External:
        this.#read();
        break;
      case EventType.Drain:
        if (this.#state === "talking") this.#input ??= this.#context.external(standardInput);
        break;
      case EventType.Disconnection:
        this.#disconnected(event);
        break;
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
    for (const line of this.#lines.cut(this.#buffer.subarray(0, count))) this.#send(line);
    // A service that does not keep up makes us wait, and not our memory grow.
    if (this.#queuedBytes() > this.#terms.queueBytesHigh) this.#stopReading();
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

  #send(line: Uint8Array): void {
    this.#context.schedule(this.#connection, line);
    this.#sent += 1;
  }

  #queuedBytes(): number {
    this.#context.flush();
    return this.#unlessEnded(() => this.#context.statistics(this.#connection).queuedBytes) ?? 0;
  }

  #stopReading(): void {
    if (this.#input === undefined) return;
    this.#context.closeHandle(this.#input);
    this.#input = undefined;
  }

  #endInput(): void {
    const rest = this.#lines.rest();
    if (rest !== undefined) this.#send(rest);
    this.#stopReading();
    this.#state = "awaiting";
  }

  // ---- the end ----

  /** What was taken is still sent; the disconnection tells whether all of it could be. */
  #finish(): void {
    this.#state = "sending";
    this.#unlessEnded(() => this.#context.closeHandle(this.#connection));
  }

  #disconnected({ reason, lost }: Event): void {
    if (this.#state !== "sending") {
      throw new CommandError(`"${this.#service}" is gone (${reason})`);
    }
    if (lost.messages > 0) {
      throw new CommandError(`"${this.#service}" did not take the last ${lost.messages} lines`);
    }
    this.#state = "done";
  }

  /** Undefined if the connection has ended and its Disconnection is on the way. */
  #unlessEnded<Result>(call: () => Result): Result | undefined {
    try {
      return call();
    } catch (error) {
      if (isClosed(error)) return undefined;
      throw error;
    }
  }
}

/** It was too late for this: the connection has ended, and its Disconnection says why. */
export function isClosed(error: unknown): boolean {
  return error instanceof IpcError && error.code === "ECLOSED";
}
