/**
 * Messages to send, written into the memory that native code sends from. Frames for one connection that follow each
 * other form a run: a header for native code, then the frames as they go over the wire.
 *
 *     | connection | bytes | messages | token → result |  00 00 00 05 h e l l o  00 00 00 … | padding to 4 |
 */

import { constants, Run } from "../native/layout.ts";
import type { Payload } from "./message.ts";
import { bytesOf } from "./message.ts";

const runWords = Run.size / 4;
const headerBytes = constants.header_bytes;
/** UTF-8 takes at most three bytes for each UTF-16 unit. */
const utf8BytesMax = 3;

/** What became of a run: bytes queued for its connection, or a code below zero. `bytes` are those on the wire. */
export type Sent = (connection: number, result: number, messages: number, bytes: number) => void;

export class Outbox {
  readonly #bytes: Uint8Array;
  readonly #text: Buffer;
  readonly #words: Int32Array;
  /** Where each run begins, in words. */
  readonly #runs: number[] = [];
  #used = 0;
  /** Whose run the next frame may join. Undefined, since any number may be given for a connection. */
  #connection: number | undefined;
  #run = 0;

  constructor(area: Uint8Array) {
    this.#bytes = area;
    this.#text = Buffer.from(area.buffer, area.byteOffset, area.byteLength);
    this.#words = new Int32Array(area.buffer, area.byteOffset, area.byteLength / 4);
  }

  get isEmpty(): boolean {
    return this.#used === 0;
  }

  /**
   * Writes one message, and returns its bytes on the wire; 0 if there is no room for it. A `token` other than 0 has its
   * sending reported.
   */
  add(connection: number, payload: Payload, token: number): number {
    return typeof payload === "string"
      ? this.#addText(connection, payload, token)
      : this.#addBytes(connection, bytesOf(payload), token);
  }

  #addBytes(connection: number, payload: Uint8Array, token: number): number {
    const length = payload.length;
    const at = this.#place(connection, length, token);
    if (at < 0) return 0;
    this.#bytes.set(payload, at + headerBytes);
    return this.#commit(connection, token, at, length);
  }

  #addText(connection: number, text: string, token: number): number {
    const bound = text.length * utf8BytesMax;
    const at = this.#place(connection, bound, token);
    if (at < 0) return 0;
    const length = this.#text.write(text, at + headerBytes, bound, "utf8");
    return this.#commit(connection, token, at, length);
  }

  /** Whether a message goes on with the run before it. One that is reported has its run to itself. */
  #continues(connection: number, token: number): boolean {
    return connection === this.#connection && token === 0;
  }

  /** Where the frame goes; below zero if there is no room. Nothing is changed by it: writing the payload may throw. */
  #place(connection: number, payloadBytes: number, token: number): number {
    const at = this.#continues(connection, token) ? this.#used : this.usedBytes + Run.size;
    return at + headerBytes + payloadBytes > this.#bytes.length ? -1 : at;
  }

  /** The payload is in its place. */
  #commit(connection: number, token: number, at: number, length: number): number {
    if (!this.#continues(connection, token)) this.#begin(connection, token);
    const bytes = this.#bytes;
    bytes[at] = length >>> 24;
    bytes[at + 1] = length >>> 16;
    bytes[at + 2] = length >>> 8;
    bytes[at + 3] = length;
    const total = headerBytes + length;
    this.#words[this.#run + 1]! += total;
    this.#words[this.#run + 2]! += 1;
    this.#used = at + total;
    return total;
  }

  #begin(connection: number, token: number): void {
    const run = this.usedBytes >> 2;
    this.#words[run] = connection;
    this.#words[run + 1] = 0;
    this.#words[run + 2] = 0;
    this.#words[run + 3] = token;
    this.#runs.push(run);
    this.#run = run;
    this.#connection = token === 0 ? connection : undefined;
  }

  /** How many bytes native code is to send. */
  get usedBytes(): number {
    return (this.#used + 3) & ~3;
  }

  /** After native code has sent them: tells what became of each run, and begins anew. */
  settle(sent: Sent): void {
    const words = this.#words;
    const runs = this.#runs;
    const count = runs.length;
    this.#used = 0;
    this.#connection = undefined;
    for (let index = 0; index < count; index++) {
      const run = runs[index]!;
      sent(words[run]!, words[run + runWords - 1]!, words[run + 2]!, words[run + 1]!);
    }
    runs.length = 0;
  }
}
