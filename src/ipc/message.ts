/** A message as its receiver sees it: a view of bytes that are good until the next wait, or its own. */

import { IpcError } from "../native/errors.ts";
import type { Descriptor } from "./descriptor.ts";
import { poisonedViews } from "./poison.ts";

const encoder = new TextEncoder();

/** What can be sent: text goes as UTF-8, a view as the bytes it shows. */
export type Payload = string | ArrayBuffer | SharedArrayBuffer | ArrayBufferView;

/** The bytes of a payload; a view of it where it has some. Throws a TypeError for anything else. */
export function bytesOf(payload: Payload): Uint8Array {
  if (typeof payload === "string") return encoder.encode(payload);
  if (payload instanceof Uint8Array) {
    if (payload.length === 0) checkAttached(payload.buffer);
    return payload;
  }
  if (ArrayBuffer.isView(payload)) {
    checkAttached(payload.buffer);
    return new Uint8Array(payload.buffer, payload.byteOffset, payload.byteLength);
  }
  if (payload instanceof ArrayBuffer || payload instanceof SharedArrayBuffer) {
    checkAttached(payload);
    return new Uint8Array(payload);
  }
  const unknown: unknown = payload;
  const given = Object(unknown) === unknown ? Object.prototype.toString.call(unknown) : unknown;
  throw new TypeError(
    `a message is a string, an ArrayBuffer or a view of one, such as a Uint8Array; not ${String(given)}`,
  );
}

/** At least as many bytes as the payload has: UTF-8 takes at most three for each UTF-16 unit. Throws as `bytesOf` does. */
export function sizeBound(payload: Payload): number {
  return typeof payload === "string" ? payload.length * 3 : bytesOf(payload).length;
}

/** What was transferred looks like no bytes at all, and would go as an empty message. */
function checkAttached(memory: ArrayBufferLike): void {
  if (memory instanceof ArrayBuffer && memory.detached) {
    throw new TypeError(
      "the bytes of a message have been transferred away (its buffer is detached)",
    );
  }
}

/** @internal Takes over the descriptors that came with a message. */
export type Arrivals = () => readonly Descriptor[];

const none: readonly Descriptor[] = [];

/** @internal The memory a batch's messages lie in. `generation` moves on with each wait. */
export type Inbox = { readonly bytes: Buffer; generation: number };

/** @internal The memory itself. Throws ESTALE if somebody has transferred it away. */
export function memoryOf({ bytes }: Inbox): Buffer {
  if (bytes.byteLength > 0) return bytes;
  throw new IpcError(
    "ESTALE",
    "ESTALE: the buffer behind a message, which is its context's for all messages, was transferred away; close " +
      "the context, and transfer the bytes of a copy() instead",
  );
}

/**
 * One message. What comes with an event or in a handler is a view: good until the next wait (for handlers: until the
 * handler returns, or first awaits). `copy()` keeps it. Answers of `request` and iterated messages are copies already.
 *
 * @example
 * message.bytes           // Uint8Array
 * message.text()          // as UTF-8
 * message.json<Point>()   // parsed
 * const kept = message.copy();
 */
export class Message {
  /** In bytes. */
  readonly length: number;
  readonly #inbox: Inbox | undefined;
  readonly #generation: number;
  readonly #offset: number;
  #bytes: Uint8Array | undefined;
  #descriptors: readonly Descriptor[] | Arrivals;

  /** @internal A view of `length` bytes at `offset` of an inbox; without one, of `bytes`, which then are its own. */
  constructor(
    inbox: Inbox | undefined,
    offset: number,
    length: number,
    bytes?: Uint8Array,
    descriptors: readonly Descriptor[] | Arrivals = none,
  ) {
    this.#inbox = inbox;
    this.#descriptors = descriptors;
    this.#offset = offset;
    this.length = length;
    this.#bytes = bytes;
    this.#generation = inbox === undefined ? 0 : inbox.generation;
  }

  /**
   * The buffer behind a view is that of all messages of its context: do not transfer it, after which the context can
   * wait no more. `copy()` has one of its own.
   */
  get bytes(): Uint8Array {
    if (poisonedViews) this.#check();
    if (this.#bytes !== undefined) return this.#bytes;
    const memory = memoryOf(this.#inbox!);
    this.#bytes = new Uint8Array(memory.buffer, memory.byteOffset + this.#offset, this.length);
    return this.#bytes;
  }

  /** The message as UTF-8; what is no UTF-8 becomes U+FFFD. */
  text(): string {
    if (poisonedViews) this.#check();
    if (this.#inbox !== undefined) {
      return memoryOf(this.#inbox).toString("utf8", this.#offset, this.#offset + this.length);
    }
    const bytes = this.#bytes!;
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("utf8");
  }

  /** The message parsed as JSON; throws a SyntaxError if it is none. */
  json<Value = unknown>(): Value {
    return JSON.parse(this.text()) as Value;
  }

  /**
   * The descriptors that came with it, in the order in which they were sent. Who looks here owns them, and closes each;
   * what nobody has looked at by the next wait is closed, with that of a copy when nothing refers to it any more.
   */
  get descriptors(): readonly Descriptor[] {
    if (typeof this.#descriptors === "function") this.#descriptors = this.#descriptors();
    return this.#descriptors;
  }

  /** @internal What it begins with, as a message that is good for as long as this one. */
  beginning(length: number): Message {
    const inbox = this.#inbox;
    return inbox === undefined
      ? new Message(undefined, 0, length, this.bytes.subarray(0, length))
      : new Message(inbox, this.#offset, length);
  }

  /** The same message with bytes of its own. It has the descriptors. */
  copy(): Message {
    const { descriptors } = this;
    return this.#inbox === undefined
      ? this
      : new Message(undefined, 0, this.length, this.bytes.slice(), descriptors);
  }

  #check(): void {
    if (this.#inbox === undefined || this.#inbox.generation === this.#generation) return;
    throw stale("a message is");
  }
}

/** @internal What was used after the batch it came with. */
export function stale(what: string): IpcError {
  return new IpcError(
    "ESTALE",
    `ESTALE: ${what} good until the next wait (in a handler: until it returns or first awaits); keep it with copy()`,
  );
}
