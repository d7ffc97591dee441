/** Rings as bytes, and what their two ends make of them; `zig/memory/ring.zig` reads the same vectors. */

import { describe, expect, test } from "bun:test";
import { Corrupt, type Ring, sleptOn } from "../../src/memory/ring.ts";
import { kinds, memoryConstants, rests } from "../../src/native/memory-layout.ts";
import { hexOf, unhex } from "../kit/bytes.ts";
import { leaveNoTrace } from "../kit/no-trace.ts";
import { pattern, Random } from "../kit/random.ts";
import { RingPair } from "../kit/ring-pair.ts";
import vectors from "../vectors/rings.json" with { type: "json" };

leaveNoTrace();

const { head_bytes: headBytes, ring_bytes_min: ringBytesMin } = memoryConstants;
const { words } = vectors;

/** A word of the head, as the vectors number it. */
function word({ bytes }: Ring, at: number): number {
  return new DataView(bytes.buffer).getUint32(at, true);
}

function put({ bytes }: Ring, at: number, value: number): void {
  new DataView(bytes.buffer).setUint32(at, value, true);
}

test("the vectors are those that this was written for", () => {
  expect(vectors.version).toBe(1);
  expect(vectors.ring_bytes).toBe(ringBytesMin);
  expect(words.records).toBe(headBytes);
  expect(vectors.rests).toEqual(rests);
});

describe.each(vectors.streams)("$what", ({ start, messages, records, tail }) => {
  test("is written so", () => {
    using pair = new RingPair(vectors.ring_bytes);
    pair.advance(start);
    for (const { kind, payload } of messages) {
      const bytes = unhex(payload);
      expect(pair.writer.hasRoom(bytes.length)).toBe(true);
      pair.writing.bytes.set(bytes, pair.writer.place);
      pair.writer.commit(bytes.length, kind);
    }
    expect(word(pair.writing, words.tail)).toBe(start);
    pair.writer.publish();
    expect(word(pair.writing, words.tail)).toBe(tail);
    for (const { at, bytes } of records) {
      expect(hexOf(pair.writing.bytes.subarray(at, at + bytes.length / 2))).toBe(bytes);
    }
  });

  test("is read so", () => {
    using pair = new RingPair(vectors.ring_bytes);
    pair.advance(start);
    for (const { at, bytes } of records) pair.writing.bytes.set(unhex(bytes), at);
    put(pair.writing, words.tail, tail);
    for (const { kind, payload } of messages) {
      expect(pair.reader.next()).toBe(true);
      expect({ kind: pair.reader.kind, payload: hexOf(pair.reader.view) }).toEqual({
        kind,
        payload,
      });
    }
    expect(pair.reader.next()).toBe(false);
    expect(word(pair.reading, words.head)).toBe(start);
    pair.reader.release();
    expect(word(pair.reading, words.head)).toBe(tail);
  });
});

test.each(vectors.unreadable)("$what is refused", ({ start, tail, records }) => {
  using pair = new RingPair(vectors.ring_bytes);
  pair.advance(start);
  for (const { at, bytes } of records) pair.writing.bytes.set(unhex(bytes), at);
  put(pair.writing, words.tail, tail);
  expect(() => pair.reader.next()).toThrow(Corrupt);
});

test.each(vectors.unwritable)("$what is refused by who writes", ({ start, published, head }) => {
  using pair = new RingPair(vectors.ring_bytes);
  pair.advance(start);
  pair.writer.commit(published - 8, kinds.message);
  pair.writer.publish();
  // It has seen what was let go of before.
  pair.writer.look();
  put(pair.reading, words.head, head);
  expect(() => pair.writer.look()).toThrow(Corrupt);
});

test.each(vectors.record_bytes)("$payload bytes take up $record", ({ payload, record }) => {
  using pair = new RingPair(2 * vectors.ring_bytes);
  pair.writer.commit(payload, kinds.message);
  expect(pair.writer.at).toBe(record);
});

test("messages come out as they went in, however often the ring goes round", () => {
  using pair = new RingPair();
  const random = new Random(1);
  const most = pair.writing.payloadBytesMax;
  for (let round = 0; round < 500; round++) {
    const sent: Uint8Array[] = [];
    while (sent.length < 8) {
      const bytes = pattern(random.below(random.below(2) === 0 ? 100 : most + 1), round);
      if (!pair.writer.write(bytes)) break;
      sent.push(bytes);
    }
    expect(sent.length).toBeGreaterThan(0);
    expect(pair.reader.next()).toBe(false);
    pair.writer.publish();
    for (const bytes of sent) {
      expect(pair.reader.next()).toBe(true);
      expect(Buffer.compare(pair.reader.view, bytes)).toBe(0);
    }
    expect(pair.reader.next()).toBe(false);
    pair.reader.release();
  }
});

test("the longest message fits twice, and nothing beside it", () => {
  using pair = new RingPair();
  const half = new Uint8Array(pair.writing.payloadBytesMax);
  expect(pair.writer.write(half)).toBe(true);
  expect(pair.writer.write(half)).toBe(true);
  expect(pair.write("")).toBe(false);
  pair.writer.publish();
  expect(pair.reader.next()).toBe(true);
  expect(pair.write("")).toBe(false);
  pair.reader.release();
  expect(pair.write("")).toBe(true);
});

test("what is held before others have been read is let go of when it is said", () => {
  using pair = new RingPair();
  for (const text of ["first", "second", "third"]) pair.write(text);
  pair.writer.publish();
  pair.read();
  const first = pair.reader.at;
  pair.read();
  pair.reader.release(first);
  expect(pair.read()).toBe("third");
  expect(word(pair.reading, words.head)).toBe(first);
  pair.reader.release();
  expect(word(pair.reading, words.head)).toBe(pair.writer.at);
});

test("a reader that sleeps is woken by the next message, once", () => {
  using pair = new RingPair();
  expect(pair.reader.rest(rests.poller)).toBe(true);
  pair.write("one");
  expect(pair.writer.publish()).toBe(rests.poller);
  pair.write("two");
  expect(pair.writer.publish()).toBe(rests.awake);
  expect(pair.reader.rest(rests.word)).toBe(false);
  expect(pair.writer.publish()).toBe(rests.awake);
});

test("one that was roused by something else is not", () => {
  using pair = new RingPair();
  expect(pair.reader.rest(rests.poller)).toBe(true);
  pair.reader.rouse();
  pair.write("one");
  expect(pair.writer.publish()).toBe(rests.awake);
});

test("a writer that sleeps is woken when something is let go of, once", () => {
  using pair = new RingPair();
  for (const text of ["one", "two"]) pair.write(text);
  pair.writer.publish();
  pair.writer.rests(rests.poller);
  pair.read();
  expect(pair.reader.release()).toBe(rests.poller);
  pair.read();
  expect(pair.reader.release()).toBe(rests.awake);
  expect(pair.reader.release()).toBe(rests.awake);
});

test("the word to sleep on changes with the next message", () => {
  using pair = new RingPair();
  const { seen } = pair.reader;
  const at = sleptOn.byReader;
  expect(word(pair.reading, at)).toBe(seen);
  pair.write("one");
  pair.writer.publish();
  expect(word(pair.reading, at)).not.toBe(seen);
});

test("the length of a message that was passed has 32 bits", () => {
  using pair = new RingPair();
  for (const length of [5n, 2n ** 32n - 1n, 2n ** 32n]) {
    pair.writer.write(new Uint8Array(BigUint64Array.of(length).buffer));
  }
  pair.writer.publish();
  pair.reader.next();
  expect(pair.reader.u64()).toBe(5);
  pair.reader.next();
  expect(pair.reader.u64()).toBe(2 ** 32 - 1);
  pair.reader.next();
  expect(() => pair.reader.u64()).toThrow(Corrupt);
});

/** What the other side may do to the words and records of a ring. */
function tamper(pair: RingPair, random: Random): void {
  const { words: all, bytes } = pair.writing;
  const anything = () => random.below(2 ** 32) | 0;
  const at = (place: number) => place / 4;
  const near = (place: number) => all[at(place)]! + 8 * random.below(64);
  switch (random.below(12)) {
    case 0:
      all[at(words.tail)] = anything();
      break;
    case 1:
      all[at(words.tail)] = near(words.tail);
      break;
    case 2:
      all[at(words.head)] = anything();
      break;
    case 3:
      all[at(words.head)] = near(words.head);
      break;
    case 4:
      all[at(words.reader_rests)] = anything();
      break;
    case 5:
      all[at(words.writer_rests)] = random.below(4);
      break;
    case 6:
    case 7: {
      const record = headBytes + 8 * random.below(ringBytesMin / 8);
      const length = random.below(2) === 0 ? anything() : random.below(600);
      new DataView(bytes.buffer).setInt32(record, length, true);
      break;
    }
    default:
      break;
  }
}

test("a hostile other side can end the connection and nothing else, over a million steps", () => {
  let pair = new RingPair();
  const random = new Random(2);
  let corrupt = 0;
  let read = 0;
  const payload = new Uint8Array(2000).fill(7);
  const begin = (error: unknown) => {
    if (!(error instanceof Corrupt)) throw error;
    corrupt += 1;
    pair[Symbol.dispose]();
    pair = new RingPair();
  };
  for (let step = 0; step < 1_000_000; step++) {
    tamper(pair, random);
    try {
      if (pair.reader.next()) {
        // A view of the ring, wherever that was said to be.
        const { view } = pair.reader;
        if (view.length !== pair.reader.length) throw new Error("a view of something else");
        read += 1;
        if (random.below(2) === 0) pair.reader.release();
      }
      const written = pair.writer.write(payload.subarray(0, random.below(2001)));
      if (written && random.below(2) === 0) pair.writer.publish();
    } catch (error) {
      begin(error);
    }
  }
  pair[Symbol.dispose]();
  expect(corrupt).toBeGreaterThan(1000);
  expect(read).toBeGreaterThan(1000);
});
