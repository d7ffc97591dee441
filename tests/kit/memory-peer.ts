/**
 * The other end of a memory socket by hand: it says what it is told to over the Unix connection, and writes whatever it
 * likes into the rings.
 */

import type { Connection } from "../../src/index.ts";
import { connect } from "../../src/index.ts";
import type { Descriptor } from "../../src/ipc/descriptor.ts";
import { Ring, RingReader, RingWriter } from "../../src/memory/ring.ts";
import { Segment } from "../../src/native/shared-memory.ts";
import { until } from "./until.ts";

export const ringBytes = 65_536;
export const hello = JSON.stringify({ memory: 1, rings: { up: ringBytes, down: ringBytes } });

export class MemoryPeer implements AsyncDisposable {
  readonly heard: string[] = [];
  #link!: Connection;
  #descriptors: readonly Descriptor[] = [];
  #segments: Segment[] = [];
  #rings: { out: Ring; in: Ring } | undefined;
  #writer: RingWriter | undefined;
  #reader: RingReader | undefined;

  /** Connects, and says nothing yet. */
  static async connect(name: string, rundir: string): Promise<MemoryPeer> {
    const peer = new MemoryPeer();
    peer.#link = await connect(`${name}.memory`, {
      rundir,
      network: "",
      descriptors: { max: 2 },
      message(_, message) {
        if (message.descriptors.length > 0) peer.#descriptors = message.descriptors;
        peer.heard.push(message.text());
      },
    });
    return peer;
  }

  /** One that has said what is to be said, and has its rings. */
  static async begin(name: string, rundir: string): Promise<MemoryPeer> {
    const peer = await MemoryPeer.connect(name, rundir);
    peer.say(hello);
    await until("it is welcome", () => peer.#descriptors.length === 2);
    peer.#segments = peer.#descriptors.map(({ number }) => new Segment(number, ringBytes));
    for (const descriptor of peer.#descriptors) descriptor.close();
    const [up, down] = peer.#segments.map(({ memory }) => new Ring(memory)) as [Ring, Ring];
    peer.#rings = { out: up, in: down };
    peer.#writer = new RingWriter(up);
    peer.#reader = new RingReader(down);
    return peer;
  }

  get link(): Connection {
    return this.#link;
  }

  get out(): Ring {
    return this.#rings!.out;
  }

  get in(): Ring {
    return this.#rings!.in;
  }

  get writer(): RingWriter {
    return this.#writer!;
  }

  get reader(): RingReader {
    return this.#reader!;
  }

  /** The descriptors of an answer whose rings were not mapped. */
  get descriptors(): readonly Descriptor[] {
    return this.#descriptors;
  }

  say(text: string | Uint8Array, descriptors: readonly number[] = []): void {
    if (descriptors.length === 0) this.#link.send(text);
    else this.#link.send(text, { descriptors });
  }

  /** Writes one message, and wakes whoever sleeps for it. */
  write(text: string | Uint8Array): boolean {
    const taken = this.writer.write(
      typeof text === "string" ? new TextEncoder().encode(text) : text,
    );
    this.writer.publish();
    this.say("");
    return taken;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#link.close({ now: true });
    for (const descriptor of this.#descriptors) descriptor.close();
    for (const segment of this.#segments) segment.close();
  }
}
