/**
 * What one end reads: messages from its ring, those that were too long for it, and descriptors that belong to messages.
 *
 *     ring ── message ─────────────▶ shown: a view ──▶ let go of, unless it is held
 *       ├──── length of one that ──▶ awaited, until its descriptor has come ──▶ shown: memory of its own
 *       │     was passed
 *       └──── message that has ────▶ awaited, until those have come ──▶ shown, with them
 *             descriptors
 */

import { sealKinds } from "../crypto/kinds.ts";
import type { Connection } from "../ipc/connection.ts";
import type { Descriptor } from "../ipc/descriptor.ts";
import { poisonedViews } from "../ipc/poison.ts";
import { IpcError } from "../native/errors.ts";
import { kinds, rests } from "../native/memory-layout.ts";
import type { Seal } from "../native/seal.ts";
import { tagBytes } from "../native/seal.ts";
import type { Segment } from "../native/shared-memory.ts";
import { value } from "../native/shared-memory.ts";
import { attendedHeld, passedHeld } from "./held.ts";
import { Hold } from "./hold.ts";
import type { SocketSettings } from "./options.ts";
import { roundUp } from "./outgoing.ts";
import { passedHeldMax, passedMax } from "./passing.ts";
import { Corrupt, Ring, RingReader, sleptOn } from "./ring.ts";
import { wake } from "./wake.ts";

const nsPerMs = 1e6;
/** What is let go of is told the writer after this part of the ring, and when nothing is left. */
const toldParts = 8;

const noDescriptors: readonly Descriptor[] = [];

/** A message of which something comes over the Unix connection: its kind, and the length of what it is or was passed. */
type Awaited = { kind: number; length: number };

/** All of it throws `Corrupt` where the other side has written what makes no sense. */
export class Incoming {
  readonly #link: Connection;
  readonly #segment: Segment;
  readonly #reader: RingReader;
  readonly #messageBytesMax: number;
  /** Descriptors with one message, and waiting for theirs from all who are the same user. */
  readonly #descriptorsMax: number;
  readonly #descriptorsHeld: number;
  /** What came of messages too long for the ring, what came with messages, and the one that is next and needs it. */
  #values: Descriptor[] = [];
  #arrivals: (readonly Descriptor[])[] = [];
  #awaited: Awaited | undefined;
  /** Where the messages begin that are held, in order, and the one that is shown or awaited. */
  #holds: number[] = [];
  #begin = 0;
  /** The one that is shown: its bytes, whether they are memory of their own and whether they are held; what came with it. */
  #shown: Uint8Array | undefined;
  #isPassed = false;
  #isHeld = false;
  #descriptors = noDescriptors;
  /** Nothing more will be written. */
  over = false;
  readonly #seal: Seal | undefined;
  /** By how much what comes in is longer than the message. */
  readonly #overhead: number;
  /** What is opened next: where the record begins and its length, where the message goes, and its kind. */
  readonly #sealed = new Uint32Array(4);
  /** Where messages are opened: the writer could still change what lies in the ring. */
  #opened = new Uint8Array();

  constructor(link: Connection, segment: Segment, settings: SocketSettings, seal?: Seal) {
    this.#link = link;
    this.#segment = segment;
    this.#reader = new RingReader(new Ring(segment.memory));
    this.#messageBytesMax = settings.messageBytesMax;
    // Those cannot be sealed, and so are not expected.
    this.#descriptorsMax = seal === undefined ? settings.descriptorsMax : 0;
    this.#descriptorsHeld = settings.descriptorsHeld;
    this.#seal = seal;
    this.#overhead = seal === undefined ? 0 : tagBytes;
  }

  /** Shows the next message, if it is there, until `unshow`. */
  take(): Uint8Array | undefined {
    if (this.#awaited !== undefined) return this.#takeAwaited(this.#awaited);
    const reader = this.#reader;
    const begin = reader.at;
    if (!reader.next()) return undefined;
    this.#begin = begin;
    if (reader.kind === kinds.message) {
      if (reader.length > this.#messageBytesMax + this.#overhead) {
        throw this.#tooLong(reader.length);
      }
      if (this.#seal !== undefined) return this.#show(this.#open(this.#seal), false);
      return this.#show(this.#view, false);
    }
    this.#awaited = this.#waitsFor();
    return this.#takeAwaited(this.#awaited);
  }

  /** The message that the reader has come to, where it lies. Where views are poisoned each is a copy, to be taken away. */
  get #view(): Uint8Array {
    const { view } = this.#reader;
    return poisonedViews ? view.slice() : view;
  }

  /** What has to come over the Unix connection of the message that the reader has come to. */
  #waitsFor(): Awaited {
    const reader = this.#reader;
    const { kind } = reader;
    if ((kind & ~(kinds.passed | kinds.attended)) !== 0) throw new Corrupt();
    if ((kind & kinds.attended) !== 0) this.#expectDescriptors();
    const isPassed = (kind & kinds.passed) !== 0;
    if (isPassed && reader.length !== 8) throw new Corrupt();
    const length = isPassed ? reader.u64() : reader.length;
    // It could be many, and each takes up a mapping.
    if (isPassed && length <= reader.ring.payloadBytesMax) throw new Corrupt();
    if (length > this.#messageBytesMax + this.#overhead) throw this.#tooLong(length);
    return { kind, length };
  }

  #expectDescriptors(): void {
    if (this.#descriptorsMax > 0) return;
    throw new Corrupt("the other side sent descriptors, which nobody has asked for", {
      reason: "descriptors_unasked",
    });
  }

  #hasCome({ kind }: Awaited): boolean {
    return (
      ((kind & kinds.passed) === 0 || this.#values.length > 0) &&
      ((kind & kinds.attended) === 0 || this.#arrivals.length > 0)
    );
  }

  #takeAwaited(awaited: Awaited): Uint8Array | undefined {
    if (!this.#hasCome(awaited)) return undefined;
    const { kind, length } = awaited;
    this.#awaited = undefined;
    const descriptors = (kind & kinds.attended) === 0 ? noDescriptors : this.#arrivals.shift()!;
    attendedHeld.letGo(this.#link.peer.uid, descriptors.length);
    try {
      if ((kind & kinds.passed) === 0) return this.#show(this.#view, false, descriptors);
      passedHeld.letGo(this.#link.peer.uid, 1);
      const bytes = mapped(this.#values.shift()!, length);
      const message = this.#seal === undefined ? bytes : opened(this.#seal, bytes);
      return this.#show(message, true, descriptors);
    } catch (error) {
      for (const descriptor of descriptors) descriptor.close();
      throw error;
    }
  }

  /** Whether the bytes that are shown are memory of their own, and good for ever. */
  get isPassed(): boolean {
    return this.#isPassed;
  }

  /** Those of the message that is shown: whoever reads it closes them. */
  get descriptors(): readonly Descriptor[] {
    return this.#descriptors;
  }

  /** The sealed message that the reader has come to. */
  #open(seal: Seal): Uint8Array {
    const { ring, start, length } = this.#reader;
    const records = this.#sealed;
    if (this.#opened.length < length || poisonedViews)
      this.#opened = new Uint8Array(roundUp(length));
    records[0] = start;
    records[1] = length;
    records[2] = 0;
    records[3] = sealKinds.message;
    try {
      if (seal.openBatch(ring.bytes, this.#opened, records, 1) !== 1) throw notTheirs();
    } catch (cause) {
      throw notTheirs(cause);
    }
    return this.#opened.subarray(0, length - tagBytes);
  }

  /** The message has been read, and its bytes are good no more unless it is held. */
  unshow(): void {
    const shown = this.#shown;
    this.#shown = undefined;
    // Who keeps them longer sees at once that he must not.
    if (poisonedViews && shown !== undefined && !this.#isHeld && !this.#isPassed) poison(shown);
  }

  /** Lets go of what was read and is not held. */
  release(): void {
    const reader = this.#reader;
    const isKept = this.#awaited !== undefined || this.#shown !== undefined;
    const how = reader.release(this.#holds[0] ?? (isKept ? this.#begin : reader.at));
    if (how !== rests.awake) wake(how, this.#link, this.#segment, sleptOn.byWriter);
  }

  /**
   * The same when enough has been read, or something that is counted. What is left keeps no writer waiting for longer than
   * until more is read.
   */
  releaseSome(): void {
    const reader = this.#reader;
    const isCounted = this.#isPassed || this.#descriptors !== noDescriptors;
    if (isCounted || reader.unreleased > reader.ring.ringBytes / toldParts) this.release();
  }

  /** Keeps the message that is shown. */
  hold(): Hold {
    const shown = this.#shown;
    if (shown === undefined) {
      throw new IpcError(
        "EINVAL",
        "EINVAL: hold() keeps the message that onData is given, until that returns or first awaits, " +
          "or the one that read() returned last",
      );
    }
    // What was passed is memory of its own, and goes when nobody sees it any more.
    if (this.#isPassed) return new Hold(() => undefined);
    if (this.#seal !== undefined) {
      // The next is opened elsewhere.
      this.#opened = new Uint8Array();
      this.#isHeld = true;
      return new Hold(() => {
        if (this.#shown !== shown) poison(shown);
      });
    }
    const begin = this.#begin;
    this.#holds.push(begin);
    this.#isHeld = true;
    return new Hold(() => {
      const at = this.#holds.indexOf(begin);
      // The connection has ended, and all its memory with it.
      if (at < 0) return;
      this.#holds.splice(at, 1);
      if (this.#shown !== shown && !this.#holds.includes(begin)) poison(shown);
      if (at === 0) this.release();
    });
  }

  /** A descriptor has come, of a message that was passed. */
  bring(descriptor: Descriptor): void {
    if (this.#values.length === passedMax) {
      throw new Corrupt("the other side has passed more messages than it may at once");
    }
    if (!passedHeld.hold(this.#link.peer.uid, 1, passedHeldMax)) {
      throw new Corrupt(
        `more than ${passedHeldMax} messages of one user wait in memory of their own`,
        {
          reason: "descriptors_too_many",
        },
      );
    }
    this.#values.push(descriptor);
  }

  /** Descriptors have come that belong to a message, which keep until that comes. */
  keep(descriptors: readonly Descriptor[]): void {
    const { length } = descriptors;
    this.#expectDescriptors();
    const isTooMany = length > this.#descriptorsMax;
    if (isTooMany || !attendedHeld.hold(this.#link.peer.uid, length, this.#descriptorsHeld)) {
      const text = isTooMany
        ? `the other side sent ${length} descriptors with a message; ${this.#descriptorsMax} are allowed (descriptors.max)`
        : `more than ${this.#descriptorsHeld} descriptors wait for their messages (descriptors.held)`;
      throw new Corrupt(text, { reason: "descriptors_too_many" });
    }
    this.#arrivals.push(descriptors);
  }

  /** The next message, if it is known and what belongs to it has not come yet: an object of its own for each. */
  get missing(): object | undefined {
    const awaited = this.#awaited;
    return awaited === undefined || this.#hasCome(awaited) ? undefined : awaited;
  }

  get awaits(): boolean {
    return this.missing !== undefined;
  }

  /** The other side is gone: what it had written is all there will be, whoever goes on writing. */
  freeze(): void {
    this.over = true;
    this.#reader.freeze();
  }

  /** For whoever looks for a message and has the time. */
  prepare(): void {
    this.#reader.prepare();
  }

  /** Whether something of what was written has not been read. */
  get hasMore(): boolean {
    return this.#awaited !== undefined || this.#reader.ready;
  }

  /** Says that Bun's loop sleeps until there is a message. False if there is one now. */
  rest(): boolean {
    // What it waits for comes with a frame, which wakes it anyway.
    if (this.#awaited !== undefined) return this.awaits;
    return this.#reader.rest(rests.poller);
  }

  rouse(): void {
    this.#reader.rouse();
  }

  /** Sleeps on the ring until there is a message, for so many milliseconds at most. Returns whether there is one. */
  sleep(ms: number): boolean {
    const reader = this.#reader;
    if (!reader.rest(rests.word)) return true;
    this.#segment.sleep(sleptOn.byReader, reader.seen, Math.ceil(ms * nsPerMs));
    // Whoever has written something has seen how this one sleeps, and that it is woken.
    return reader.ready || !reader.rest(rests.awake);
  }

  /** What is held is held no more, and what has come and was not read is closed. */
  close(): void {
    this.over = true;
    const arrivals = this.#arrivals.flat();
    attendedHeld.letGo(this.#link.peer.uid, arrivals.length);
    passedHeld.letGo(this.#link.peer.uid, this.#values.length);
    for (const descriptor of [...this.#values, ...arrivals]) descriptor.close();
    this.#values = [];
    this.#arrivals = [];
    this.#holds = [];
    this.#shown = undefined;
  }

  #show(
    bytes: Uint8Array,
    isPassed: boolean,
    descriptors: readonly Descriptor[] = noDescriptors,
  ): Uint8Array {
    this.#shown = bytes;
    this.#isPassed = isPassed;
    this.#isHeld = false;
    this.#descriptors = descriptors;
    return bytes;
  }

  #tooLong(bytes: number): Corrupt {
    return new Corrupt(
      `the other side sent ${bytes} bytes; ${this.#messageBytesMax} are allowed (messageBytesMax)`,
      { reason: "message_too_long" },
    );
  }
}

/** A sealed message that was passed, opened in place. */
function opened(seal: Seal, bytes: Uint8Array): Uint8Array {
  try {
    return bytes.subarray(0, seal.open(sealKinds.message, bytes, bytes));
  } catch (cause) {
    throw notTheirs(cause);
  }
}

function notTheirs(cause?: unknown): Corrupt {
  return new Corrupt("a message is not the next that the other side has sealed", { cause });
}

/** Closes the descriptor, whatever comes of it. */
function mapped(descriptor: Descriptor, bytes: number): Uint8Array {
  using passed = descriptor;
  try {
    return value.open(passed.number, bytes);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new Corrupt(`a message of ${bytes} bytes that was passed cannot be opened: ${why}`, {
      cause,
    });
  }
}

function poison(bytes: Uint8Array): void {
  const { buffer } = bytes;
  if (poisonedViews && buffer instanceof ArrayBuffer && !buffer.detached) buffer.transfer();
}
