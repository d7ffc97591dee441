/**
 * The other end of a memory socket by hand: it says what it is told to over the Unix connection, and writes whatever it
 * likes into the rings.
 */

import { closeSync } from "node:fs";
import type { KeyPair } from "../../src/crypto/key-pair.ts";
import { sealKinds } from "../../src/crypto/kinds.ts";
import { Asking } from "../../src/crypto/meeting.ts";
import type { Connection } from "../../src/index.ts";
import { connect } from "../../src/index.ts";
import type { Descriptor } from "../../src/ipc/descriptor.ts";
import { farewell } from "../../src/memory/farewell.ts";
import { about } from "../../src/memory/hello.ts";
import { Ring, RingReader, RingWriter } from "../../src/memory/ring.ts";
import { kinds } from "../../src/native/memory-layout.ts";
import { type Seal, tagBytes } from "../../src/native/seal.ts";
import { Segment, value } from "../../src/native/shared-memory.ts";
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
  #seal: Seal | undefined;
  #proof: Uint8Array | undefined;
  /** What it has said that is text, in order. */
  readonly said: string[] = [];

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
    return await peer.#agree();
  }

  /** The same with a seal, which it has proved unless it is not to. */
  static async beginSealed(
    service: string,
    rundir: string,
    keys: KeyPair,
    server: string,
    proves = true,
  ): Promise<MemoryPeer> {
    const peer = await MemoryPeer.connect(service, rundir);
    const rings = { up: ringBytes, down: ringBytes };
    using asking = new Asking(keys, server, about(service, rings));
    peer.say(JSON.stringify({ memory: 1, rings, seal: asking.asked }));
    await peer.#agree();
    const { agreed, proof } = asking.finish(JSON.parse(peer.heard[0]!).seal);
    peer.#seal = agreed.seal;
    peer.#proof = proof;
    if (proves) peer.say(proof);
    return peer;
  }

  async #agree(): Promise<MemoryPeer> {
    await until("it is welcome", () => this.#descriptors.length === 2);
    this.#segments = this.#descriptors.map(({ number }) => new Segment(number, ringBytes));
    for (const descriptor of this.#descriptors) descriptor.close();
    const [up, down] = this.#segments.map(({ memory }) => new Ring(memory)) as [Ring, Ring];
    this.#rings = { out: up, in: down };
    this.#writer = new RingWriter(up);
    this.#reader = new RingReader(down);
    return this;
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

  /** What shows that it has the keys that it claims to have. */
  get proof(): Uint8Array {
    return this.#proof!;
  }

  /** The descriptors of an answer whose rings were not mapped. */
  get descriptors(): readonly Descriptor[] {
    return this.#descriptors;
  }

  say(text: string | Uint8Array, descriptors: readonly number[] = []): void {
    if (typeof text === "string") this.said.push(text);
    if (descriptors.length === 0) this.#link.send(text);
    else this.#link.send(text, { descriptors });
  }

  /** What a sealed message would be in the ring. Each has to be written in its turn. */
  sealed(text: string): Uint8Array {
    const bytes = new TextEncoder().encode(text);
    const record = new Uint8Array(bytes.length + tagBytes);
    this.#seal!.seal(sealKinds.message, bytes, record);
    return record;
  }

  /** What says that it ends, if it is said after all that was sealed. */
  farewell(text: "end" | "unread"): string | Uint8Array {
    return farewell(text, this.#seal);
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

  /** Resolves when it has come to the next message, and let go of it. */
  async answered(what = "it is answered"): Promise<void> {
    await until(what, () => this.reader.next());
    this.reader.release();
  }

  /** Passes one message in memory of its own. */
  pass(bytes: Uint8Array): void {
    this.passBy(value.create(bytes), bytes.length);
  }

  /** Sends what a message that is passed lies in. */
  bring(bytes: Uint8Array): void {
    this.#bring(value.create(bytes));
  }

  #bring(descriptor: number): void {
    this.say("value", [descriptor]);
    closeSync(descriptor);
  }

  /** Passes what a descriptor stands for, which is its own from then on, as a message of so many bytes. */
  passBy(descriptor: number, bytes: number): void {
    this.#bring(descriptor);
    this.promise(kinds.passed, bytes);
  }

  /** Writes that there is a message of which something comes over the Unix connection. */
  promise(kind: number, bytes: number): void {
    this.writer.write(new Uint8Array(BigUint64Array.of(BigInt(bytes)).buffer), kind);
    this.writer.publish();
    this.say("");
  }

  /** Leaves in order: without a word it would not be, if something was said to it that it has not heard. */
  async leave(): Promise<void> {
    this.say(this.farewell("end"));
    await this.#link.close();
    await this[Symbol.asyncDispose]();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#seal?.close();
    await this.#link.close({ now: true });
    for (const descriptor of this.#descriptors) descriptor.close();
    for (const segment of this.#segments) segment.close();
  }
}
