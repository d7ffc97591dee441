/**
 * One direction of a memory socket, as `zig/memory/ring.zig` describes it: messages from one writer to one reader,
 * through memory that both have mapped. JavaScript reads and writes it itself; native code is called only to sleep and to
 * wake.
 *
 * The other side may write what it likes wherever it likes. Each number of it is loaded once, checked, and then used as
 * it was; what does not fit throws `Corrupt`, and ends that connection alone.
 */

import type { Reason } from "../native/layout.ts";
import { kinds, memoryConstants, rests } from "../native/memory-layout.ts";

const headBytes = memoryConstants.head_bytes;
const recordBytes = memoryConstants.record_bytes;
/** Places in the head, as indexes of 32-bit words. */
const tailAt = memoryConstants.tail_at / 4;
const headAt = memoryConstants.head_at / 4;
const readerRestsAt = memoryConstants.reader_rests_at / 4;
const writerRestsAt = memoryConstants.writer_rests_at / 4;

/** Where the words lie, in bytes, that one may sleep on: a reader until there is a message, and a writer until there is room. */
export const sleptOn = { byReader: memoryConstants.tail_at, byWriter: memoryConstants.head_at };

/** What the other side wrote makes no sense. */
export class Corrupt extends Error {
  /** Why the connection ends. */
  readonly reason: Reason;

  constructor(
    what = "the other side has written what no ring holds",
    { reason = "malformed", cause }: { reason?: Reason; cause?: unknown } = {},
  ) {
    super(what, { cause });
    this.reason = reason;
  }
}

/** A ring in the memory of this process: the head, the records, and the records once more. */
export class Ring {
  readonly bytes: Uint8Array;
  readonly words: Int32Array;
  readonly ringBytes: number;

  constructor(memory: ArrayBuffer) {
    this.bytes = new Uint8Array(memory);
    this.words = new Int32Array(memory);
    this.ringBytes = (memory.byteLength - headBytes) / 2;
  }

  /** The longest payload that it takes; what is longer is passed. */
  get payloadBytesMax(): number {
    return this.ringBytes / 2 - recordBytes;
  }
}

export class RingWriter {
  readonly ring: Ring;
  readonly #bytes: Uint8Array;
  readonly #words: Int32Array;
  readonly #ringBytes: number;
  readonly #mask: number;
  /** Where the next record goes, what of that is published, and the reader's head as last seen: all modulo 2^32. */
  #at = 0;
  #published = 0;
  #head = 0;

  constructor(ring: Ring) {
    this.ring = ring;
    this.#bytes = ring.bytes;
    this.#words = ring.words;
    this.#ringBytes = ring.ringBytes;
    this.#mask = ring.ringBytes - 1;
  }

  /** Whether a payload of so many bytes, which the ring takes, has room now. */
  hasRoom(payloadBytes: number): boolean {
    const bytes = sizeOf(payloadBytes);
    if (this.#ringBytes - ((this.#at - this.#head) | 0) >= bytes) return true;
    this.look();
    return this.#ringBytes - ((this.#at - this.#head) | 0) >= bytes;
  }

  /** Where in `bytes` the payload goes that has room. */
  get place(): number {
    return headBytes + (this.#at & this.#mask) + recordBytes;
  }

  /** The payload is written. */
  commit(payloadBytes: number, kind: number): void {
    const word = (headBytes + (this.#at & this.#mask)) >>> 2;
    this.#words[word] = payloadBytes;
    this.#words[word + 1] = kind;
    this.#at = (this.#at + sizeOf(payloadBytes)) | 0;
  }

  /** Writes one message if there is room for it. */
  write(payload: Uint8Array, kind: number = kinds.message): boolean {
    const { length } = payload;
    if (!this.hasRoom(length)) return false;
    this.#bytes.set(payload, this.place);
    this.commit(length, kind);
    return true;
  }

  /** Bytes that the reader does not see yet. */
  get unpublished(): number {
    return (this.#at - this.#published) | 0;
  }

  /** Lets the reader see what was committed. Returns how it is to be woken, if it is. */
  publish(): number {
    if (this.#published === this.#at) return rests.awake;
    this.#published = this.#at;
    Atomics.store(this.#words, tailAt, this.#at);
    return wakes(this.#words, readerRestsAt);
  }

  /** Says how this side sleeps until there is room. To be looked for once more after that. */
  rests(how: number): void {
    Atomics.store(this.#words, writerRestsAt, how);
  }

  /** Where the next record begins. */
  get at(): number {
    return this.#at;
  }

  /** Whether the reader has let go of what ends there, as far as was last looked. */
  isReleased(at: number): boolean {
    return ((this.#head - at) | 0) >= 0;
  }

  /** Whether the reader sleeps, as it does when it has read all that is published, and what it keeps of that aside. */
  get hasReaderAsleep(): boolean {
    return Atomics.load(this.#words, readerRestsAt) !== rests.awake;
  }

  /** Sees how far the reader has come. */
  look(): void {
    const head = Atomics.load(this.#words, headAt);
    // It moves forward only, and not beyond what is published.
    const moved = (head - this.#head) | 0;
    const most = (this.#published - this.#head) | 0;
    if ((head & (recordBytes - 1)) !== 0 || moved < 0 || moved > most) throw new Corrupt();
    this.#head = head;
  }
}

export class RingReader {
  readonly ring: Ring;
  readonly #bytes: Uint8Array;
  readonly #words: Int32Array;
  readonly #ringBytes: number;
  readonly #mask: number;
  /** Where the next record is, what has been let go of, and the writer's tail as last seen: all modulo 2^32. */
  #at = 0;
  #released = 0;
  #tail = 0;
  #frozen = false;
  /** A view that was made ahead. */
  #made: Uint8Array | undefined;
  #madeAt = 0;
  /** Of the message that `next` came to. */
  kind = 0;
  start = 0;
  length = 0;

  constructor(ring: Ring) {
    this.ring = ring;
    this.#bytes = ring.bytes;
    this.#words = ring.words;
    this.#ringBytes = ring.ringBytes;
    this.#mask = ring.ringBytes - 1;
  }

  /** Comes to the next message, if there is one: `kind`, `start` and `length` tell of it. */
  next(): boolean {
    if (!this.ready) return false;
    const record = headBytes + (this.#at & this.#mask);
    const word = record >>> 2;
    // Once each: a second load might find something else. What the tail has shown needs no atomic load, which takes as long
    // as all else here; and were one repeated, views would still end where the ring does.
    const length = this.#words[word]! >>> 0;
    this.kind = this.#words[word + 1]!;
    const bytes = sizeOf(length);
    if (bytes > ((this.#tail - this.#at) | 0)) throw new Corrupt();
    this.#at = (this.#at + bytes) | 0;
    this.start = record + recordBytes;
    this.length = length;
    return true;
  }

  /** The payload of the message that `next` came to, where it lies. */
  get view(): Uint8Array {
    const made = this.#made;
    this.#made = undefined;
    const { start, length } = this;
    if (made !== undefined && this.#madeAt === start && made.length === length) return made;
    return this.#bytes.subarray(start, start + length);
  }

  /** Makes the next view ahead, for a message as long as the last, while there is nothing else to do. */
  prepare(): void {
    const start = headBytes + (this.#at & this.#mask) + recordBytes;
    this.#made = this.#bytes.subarray(start, start + this.length);
    this.#madeAt = start;
  }

  /** Where the next message is, to be let go of up to there. */
  get at(): number {
    return this.#at;
  }

  /** Bytes of messages that were come to and not let go of. */
  get unreleased(): number {
    return (this.#at - this.#released) | 0;
  }

  /** Lets go of all messages before `at`. Returns how the writer is to be woken, if it is. */
  release(at: number = this.#at): number {
    if (this.#released === at) return rests.awake;
    this.#released = at;
    Atomics.store(this.#words, headAt, at);
    return wakes(this.#words, writerRestsAt);
  }

  /**
   * Whether there is a message. What has just been written may be missed, so who is going to sleep asks `rest`: a plain load
   * comes first, as an atomic one takes the cache line from the writer (JavaScriptCore adds 0, locked).
   */
  get ready(): boolean {
    return this.#at !== this.#tail || (this.#words[tailAt] !== this.#tail && this.#look());
  }

  /** The payload that `next` came to, as a number of 64 bits. Throws `Corrupt` beyond 2^32. */
  u64(): number {
    const word = this.start >>> 2;
    if (Atomics.load(this.#words, word + 1) !== 0) throw new Corrupt();
    return Atomics.load(this.#words, word) >>> 0;
  }

  /** Says how this side sleeps until there is a message. False, and it does not, if there is one now. */
  rest(how: number): boolean {
    Atomics.store(this.#words, readerRestsAt, how);
    if (!this.#look()) return true;
    Atomics.store(this.#words, readerRestsAt, rests.awake);
    return false;
  }

  /** It sleeps no more. */
  rouse(): void {
    Atomics.store(this.#words, readerRestsAt, rests.awake);
  }

  /** What the word is that it may sleep on, until there is a message. */
  get seen(): number {
    return this.#tail >>> 0;
  }

  /** From now on there is nothing more than there is now. */
  freeze(): void {
    this.#look();
    this.#frozen = true;
  }

  #look(): boolean {
    if (this.#frozen) return this.#at !== this.#tail;
    const tail = Atomics.load(this.#words, tailAt);
    if (tail === this.#tail) return this.#at !== tail;
    const there = (tail - this.#at) | 0;
    // It moves forward only, and no further than a writer would that waits for what is let go of.
    if (
      (tail & (recordBytes - 1)) !== 0 ||
      there < ((this.#tail - this.#at) | 0) ||
      there > this.#ringBytes - ((this.#at - this.#released) | 0)
    ) {
      throw new Corrupt();
    }
    this.#tail = tail;
    return this.#at !== tail;
  }
}

/** How much of a ring a payload takes up. */
function sizeOf(payloadBytes: number): number {
  return recordBytes + Math.ceil(payloadBytes / recordBytes) * recordBytes;
}

/** Whoever sleeps is woken once: what it says is taken back. */
function wakes(words: Int32Array, at: number): number {
  // Almost always it is awake.
  if (Atomics.load(words, at) === rests.awake) return rests.awake;
  return Atomics.exchange(words, at, rests.awake);
}
