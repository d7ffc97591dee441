/**
 * What one end writes: messages into its ring, those that are too long for it in memory of their own, and descriptors
 * that belong to messages.
 *
 *     write ──▶ ring ──publish──▶ the other side sees it, and is woken if it sleeps
 *       │         ▲ length
 *       └─ too long ──▶ memory of its own ──descriptor──▶ Unix connection
 *     attach ──────────────────────────────descriptors──▶
 */

import { closeSync } from "node:fs";
import { sealKinds } from "../crypto/kinds.ts";
import type { Connection } from "../ipc/connection.ts";
import { IpcError } from "../native/errors.ts";
import { kinds, rests } from "../native/memory-layout.ts";
import type { Seal } from "../native/seal.ts";
import { tagBytes } from "../native/seal.ts";
import type { Segment } from "../native/shared-memory.ts";
import { value } from "../native/shared-memory.ts";
import { passedBytesMax, passedMax } from "./passing.ts";
import { Ring, RingWriter, sleptOn } from "./ring.ts";
import { wake } from "./wake.ts";

/** What is written while others are waited for is shown to them after so many bytes. */
const corkedBytesMax = 16 * 1024;
/** Of a record that says that a message was passed. */
const lengthBytes = 8;

/** A message that was passed, and where in the ring it is let go of. */
type Passed = { at: number; bytes: number };
/** Descriptors that went with a message, and where in the ring that is let go of. */
type Attached = { at: number; count: number };

/** All of it throws `Corrupt` where the other side has written what makes no sense; what writes may throw `Unsent`. */
export class Outgoing {
  readonly #link: Connection;
  readonly #segment: Segment;
  readonly #writer: RingWriter;
  /** While it is above 0, what is written is shown to the other side later, with more. */
  #corks = 0;
  /** A message of so many bytes had no room. */
  #wanted: number | undefined;
  #reserved: number | undefined;
  #passed: Passed[] = [];
  #attached: Attached[] = [];
  readonly #seal: Seal | undefined;
  /** By how much what goes out is longer than the message. */
  readonly #overhead: number;
  /** What is sealed next: where it begins and its length, where the record goes, and its kind. */
  readonly #sealed = new Uint32Array(4);
  /** Where a message that is to be sealed is written, as nobody else may see it. */
  #draft = new Uint8Array();

  constructor(link: Connection, segment: Segment, seal?: Seal) {
    this.#link = link;
    this.#segment = segment;
    this.#seal = seal;
    this.#overhead = seal === undefined ? 0 : tagBytes;
    this.#writer = new RingWriter(new Ring(segment.memory));
  }

  /** The longest message that goes through the ring. */
  get ringBytesMax(): number {
    return this.#writer.ring.payloadBytesMax - this.#overhead;
  }

  /** False if there is no room. `attached` is how many descriptors went ahead of it (`attach`). */
  write(bytes: Uint8Array, attached = 0): boolean {
    if (this.#reserved !== undefined) {
      throw new IpcError(
        "EBUSY",
        "EBUSY: room is reserved for a message; commit() it, or discard() it, before another is written",
      );
    }
    const kind = attached === 0 ? kinds.message : kinds.attended;
    if (!this.#put(bytes, kind)) return false;
    if (attached > 0) this.#attached.push({ at: this.#writer.at, count: attached });
    this.#written();
    return true;
  }

  #put(bytes: Uint8Array, kind: number): boolean {
    if (bytes.length > this.ringBytesMax) return this.#pass(bytes, kind);
    if (this.#seal !== undefined) {
      if (!this.#hasRoomOrWaits(bytes.length + tagBytes)) return false;
      this.#commitSealed(this.#seal, bytes, bytes.length);
      return true;
    }
    const writer = this.#writer;
    return (
      writer.write(bytes, kind) || (this.#hasRoomOrWaits(bytes.length) && writer.write(bytes, kind))
    );
  }

  /**
   * Sends descriptors ahead of the message that is written with them: behind those of others before it. They stay the
   * caller's. Throws ENOTSUP where messages are sealed: whoever lies between the two ends could exchange them.
   */
  attach(descriptors: readonly number[]): void {
    if (this.#seal !== undefined) {
      throw new IpcError(
        "ENOTSUP",
        "ENOTSUP: descriptors cannot be sealed; send them over a connection that is not",
      );
    }
    sendDescriptors(this.#link, descriptors);
  }

  /** Descriptors of messages that the other side has not let go of. */
  get attached(): number {
    const writer = this.#writer;
    if (this.#attached.length === 0) return 0;
    writer.look();
    this.#attached = this.#attached.filter(({ at }) => !writer.isReleased(at));
    return this.#attached.reduce((sum, { count }) => sum + count, 0);
  }

  /** Whether the other side has read all that it was shown. */
  get isAllRead(): boolean {
    const writer = this.#writer;
    writer.look();
    return writer.isReleased(writer.at) || writer.hasReaderAsleep;
  }

  /** Straight into the ring, where it has room. */
  #commitSealed(seal: Seal, bytes: Uint8Array, length: number): void {
    const writer = this.#writer;
    const records = this.#sealed;
    records[1] = length;
    records[2] = writer.place;
    records[3] = sealKinds.message;
    if (seal.sealBatch(bytes, writer.ring.bytes, records, 1) !== 1) {
      throw new IpcError("ESEAL", "ESEAL: the message could not be sealed; close the connection");
    }
    writer.commit(length + tagBytes, kinds.message);
  }

  /** Room for a message of so many bytes, which the ring takes; undefined while there is none. */
  reserve(bytes: number): Uint8Array | undefined {
    this.#reserved = undefined;
    if (!this.#hasRoomOrWaits(bytes + this.#overhead)) return undefined;
    this.#reserved = bytes;
    if (this.#seal !== undefined) {
      if (this.#draft.length < bytes) this.#draft = new Uint8Array(roundUp(bytes));
      return this.#draft.subarray(0, bytes);
    }
    const { place, ring } = this.#writer;
    return ring.bytes.subarray(place, place + bytes);
  }

  commit(bytes: number | undefined = this.#reserved): void {
    const reserved = this.#reserved;
    const fits = reserved !== undefined && bytes !== undefined && bytes >= 0 && bytes <= reserved;
    if (!fits || !Number.isInteger(bytes)) {
      throw new IpcError(
        "EINVAL",
        `EINVAL: ${reserved ?? "no"} bytes are reserved, and ${bytes ?? "some"} to be committed`,
      );
    }
    this.#reserved = undefined;
    if (this.#seal !== undefined) {
      this.#commitSealed(this.#seal, this.#draft, bytes);
    } else {
      this.#writer.commit(bytes, kinds.message);
    }
    this.#written();
  }

  discard(): void {
    this.#reserved = undefined;
  }

  /** Until as many `uncork`, what is written is shown to the other side with more. */
  cork(): void {
    this.#corks += 1;
  }

  get isCorked(): boolean {
    return this.#corks > 0;
  }

  uncork(): void {
    this.#corks -= 1;
    if (this.#corks === 0) this.publish();
  }

  /** Shows the other side what was written. */
  publish(): void {
    const how = this.#writer.publish();
    if (how !== rests.awake) wake(how, this.#link, this.#segment, sleptOn.byReader);
  }

  /** Whether there is room now that was not there when it was asked for: once. */
  regained(): boolean {
    if (this.#wanted === undefined || !this.#hasRoom(this.#wanted)) return false;
    this.#wanted = undefined;
    return true;
  }

  /** Says that it sleeps until there is the room that is wanted. False if that is there now. */
  rest(): boolean {
    return this.#wanted === undefined || this.#restsForRoom(this.#wanted);
  }

  #written(): void {
    if (this.#corks === 0 || this.#writer.unpublished >= corkedBytesMax) this.publish();
  }

  #hasRoom(bytes: number): boolean {
    const writer = this.#writer;
    if (bytes <= writer.ring.payloadBytesMax) return writer.hasRoom(bytes);
    if (!writer.hasRoom(lengthBytes)) return false;
    writer.look();
    this.#passed = this.#passed.filter(({ at }) => !writer.isReleased(at));
    const passedBytes = this.#passed.reduce((sum, one) => sum + one.bytes, 0);
    return (
      this.#passed.length === 0 ||
      (this.#passed.length < passedMax && passedBytes + bytes <= passedBytesMax)
    );
  }

  /** If there is no room, that is wanted from now on. */
  #hasRoomOrWaits(bytes: number): boolean {
    if (this.#hasRoom(bytes)) return true;
    // It may be waiting for what it has not seen yet.
    this.publish();
    if (this.#hasRoom(bytes)) return true;
    this.#wanted = bytes;
    return false;
  }

  #restsForRoom(bytes: number): boolean {
    const writer = this.#writer;
    writer.rests(rests.poller);
    if (!this.#hasRoom(bytes)) return true;
    writer.rests(rests.awake);
    return false;
  }

  #pass(message: Uint8Array, kind: number): boolean {
    // By its length alone it is told apart from one that goes through the ring.
    if (!this.#hasRoomOrWaits(message.length + this.#overhead)) return false;
    const bytes = this.#seal === undefined ? message : sealed(this.#seal, message);
    try {
      this.#bring(bytes);
    } catch (cause) {
      throw this.#seal === undefined ? cause : new Unsent(cause);
    }
    const writer = this.#writer;
    const length = new Uint8Array(BigUint64Array.of(BigInt(bytes.length)).buffer);
    writer.ring.bytes.set(length, writer.place);
    writer.commit(length.length, kinds.passed | kind);
    this.#passed.push({ at: writer.at, bytes: bytes.length });
    return true;
  }

  /** Sends what a message that is passed lies in. */
  #bring(bytes: Uint8Array): void {
    const descriptor = value.create(bytes);
    try {
      this.#link.send("value", { descriptors: [descriptor] });
    } finally {
      closeSync(descriptor);
    }
  }
}

/** A message was sealed, and could not be sent: whatever is sealed after it is not the next for the other side. */
export class Unsent extends Error {
  constructor(cause: unknown) {
    super("a message was sealed, and could not be sent", { cause });
  }
}

/** Nothing has to have been agreed on yet. */
export function sendDescriptors(link: Connection, descriptors: readonly number[]): void {
  // At once, so behind those of messages that are passed now, and ahead of those that are later.
  link.send("descriptors", { descriptors });
}

function sealed(seal: Seal, message: Uint8Array): Uint8Array {
  const record = new Uint8Array(message.length + tagBytes);
  seal.seal(sealKinds.message, message, record);
  return record;
}

/** Room that need not grow again for a message that is a little longer. */
export function roundUp(bytes: number): number {
  return 2 ** Math.ceil(Math.log2(Math.max(bytes, 4096)));
}
