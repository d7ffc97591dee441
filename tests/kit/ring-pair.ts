/** A ring with both of its ends, as two processes would have them, and its words to be written at will. */

import { closeSync } from "node:fs";
import { Ring, RingReader, RingWriter } from "../../src/memory/ring.ts";
import { Segment } from "../../src/native/shared-memory.ts";

export class RingPair implements Disposable {
  readonly #segments: Segment[];
  /** Of the writer's side and of the reader's. */
  readonly writing: Ring;
  readonly reading: Ring;
  readonly writer: RingWriter;
  readonly reader: RingReader;

  constructor(ringBytes = 65_536) {
    const descriptor = Segment.create(ringBytes);
    try {
      this.#segments = [0, 1].map(() => new Segment(descriptor, ringBytes));
    } finally {
      closeSync(descriptor);
    }
    const [one, other] = this.#segments.map(({ memory }) => new Ring(memory)) as [Ring, Ring];
    this.writing = one;
    this.reading = other;
    this.writer = new RingWriter(one);
    this.reader = new RingReader(other);
  }

  /** Has so many bytes of records gone through it already, without writing them all. */
  advance(bytes: number): void {
    const most = this.writing.ringBytes / 2;
    for (let left = bytes; left > 0; ) {
      const step = Math.min(left, most);
      this.writer.hasRoom(step - 8);
      this.writer.commit(step - 8, 0);
      this.writer.publish();
      this.reader.next();
      this.reader.release();
      left -= step;
    }
  }

  /** A message as text, or undefined if there is none. */
  read(): string | undefined {
    return this.reader.next() ? new TextDecoder().decode(this.reader.view) : undefined;
  }

  write(text: string): boolean {
    return this.writer.write(new TextEncoder().encode(text));
  }

  [Symbol.dispose](): void {
    for (const segment of this.#segments) segment.close();
  }
}
