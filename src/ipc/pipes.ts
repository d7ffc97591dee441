/**
 * Frames over a pipe each way, for two processes that talk in turns: `u32` big-endian length, then the bytes. A call waits,
 * with all of its thread, and so needs neither a context nor Bun's loop.
 *
 * What passes is overwritten in the buffers here as soon as it is of no more use.
 */

import { codes, errorOf, IpcError, systemFailure } from "../native/errors.ts";
import { constants, Failure } from "../native/layout.ts";
import type { IpcLibrary } from "../native/library.ts";
import { ipcLibrary } from "../native/library.ts";
import { Struct } from "../native/struct.ts";
import { Descriptor } from "./descriptor.ts";

const headerBytes = constants.header_bytes;
/** As much as a pipe holds where nothing else is said (pipe(7)): what is longer comes in pieces anyway. */
const bufferBytes = 64 * 1024;
const nsPerMs = 1e6;
const forever = -1;
const nothing = -1;
const nothingMore: Uint8Array = new Uint8Array(0);

export type PipesOptions = {
  /** The longest frame that is taken. */
  readonly frameBytesMax: number;
  /** How long the other side may be waited for each time, in milliseconds; without it for ever. */
  readonly timeout?: number | undefined;
  /** A pipe whose other end somebody holds open: when that is closed, so is this. */
  readonly life?: Descriptor | undefined;
};

/** The two ends of a new pipe, to read from and to write to. */
export function pipe(): [Descriptor, Descriptor] {
  const numbers = new Int32Array(2);
  const failure = new Struct(Failure);
  const result = ipcLibrary().calls.earshot_ipc_pipe(numbers, failure.bytes);
  if (result < 0) throw errorOf(result, systemFailure(failure));
  return [new Descriptor(numbers[0]!), new Descriptor(numbers[1]!)];
}

/** Owns the two descriptors that it is made of, and the life that it is given. */
export class Pipes implements Disposable {
  readonly #from: Descriptor;
  readonly #to: Descriptor;
  readonly #life: Descriptor | undefined;
  readonly #timeoutNs: number;
  readonly #frameBytesMax: number;
  readonly #failure = new Struct(Failure);
  readonly #calls: IpcLibrary["calls"];
  // No Buffer, of which `slice` would make no copy for whoever keeps a part of a message.
  readonly #inbox = new Uint8Array(bufferBytes);
  readonly #inboxView = new DataView(this.#inbox.buffer);
  readonly #outbox = new Uint8Array(bufferBytes);
  /** What of the inbox was read and not handed out. */
  #start = 0;
  #end = 0;
  /** The message that was handed out last: overwritten when the next is asked for. */
  #handedOut = new Uint8Array(0);

  constructor(from: Descriptor, to: Descriptor, options: PipesOptions) {
    this.#from = from;
    this.#to = to;
    this.#life = options.life;
    this.#timeoutNs = options.timeout === undefined ? forever : options.timeout * nsPerMs;
    this.#frameBytesMax = options.frameBytesMax;
    this.#calls = ipcLibrary().calls;
    if (options.timeout === undefined && options.life === undefined) this.#block();
  }

  /** What has no bounds waits in the call that reads or writes, and needs no other. */
  #block(): void {
    for (const { number } of [this.#from, this.#to]) {
      const result = this.#calls.earshot_ipc_pipe_block(number, 1, this.#failure.bytes);
      if (result < 0) this.#fail(result);
    }
  }

  /**
   * The next message, a view that is good until the next call or `wipe`; undefined when the other side has ended. Throws
   * ETIMEDOUT, ECLOSED for a life that is over, EMSGSIZE for one that is announced too long, and ECONNRESET for an end in
   * the middle of one.
   */
  receive(): Uint8Array | undefined {
    this.wipe();
    if (!this.#fill(headerBytes)) {
      if (this.#end === this.#start) return undefined;
      throw this.#truncated();
    }
    const bytes = this.#inboxView.getUint32(this.#start);
    if (bytes > this.#frameBytesMax) {
      throw new IpcError(
        "EMSGSIZE",
        `EMSGSIZE: a message of ${bytes} bytes was announced, and ${this.#frameBytesMax} are the most`,
      );
    }
    this.#start += headerBytes;
    this.#handedOut = bytes > bufferBytes - headerBytes ? this.#long(bytes) : this.#short(bytes);
    return this.#handedOut;
  }

  /** Sends a message, made of the parts one after the other. Throws ECLOSED when nobody reads any more. */
  send(first: Uint8Array = nothingMore, second = nothingMore, third = nothingMore): void {
    const bytes = first.length + second.length + third.length;
    const whole = headerBytes + bytes;
    const frame = whole <= bufferBytes ? this.#outbox : new Uint8Array(whole);
    frame[0] = bytes >>> 24;
    frame[1] = bytes >>> 16;
    frame[2] = bytes >>> 8;
    frame[3] = bytes;
    frame.set(first, headerBytes);
    if (second.length > 0) frame.set(second, headerBytes + first.length);
    if (third.length > 0) frame.set(third, headerBytes + first.length + second.length);
    try {
      this.#write(frame, whole);
    } finally {
      frame.fill(0, 0, whole);
    }
  }

  /** Overwrites the message that was handed out last. */
  wipe(): void {
    this.#handedOut.fill(0);
    this.#handedOut = this.#inbox.subarray(0, 0);
  }

  /** Closing twice is no error. */
  close(): void {
    this.wipe();
    this.#inbox.fill(0);
    for (const each of [this.#from, this.#to, this.#life]) each?.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #short(bytes: number): Uint8Array<ArrayBuffer> {
    if (!this.#fill(bytes)) throw this.#truncated();
    const message = this.#inbox.subarray(this.#start, this.#start + bytes);
    this.#start += bytes;
    return message;
  }

  #long(bytes: number): Uint8Array<ArrayBuffer> {
    const message = new Uint8Array(bytes);
    const begun = this.#inbox.subarray(this.#start, this.#end);
    message.set(begun);
    let have = begun.length;
    begun.fill(0);
    this.#start = 0;
    this.#end = 0;
    while (have < bytes) {
      const count = this.#read(message.subarray(have));
      if (count > 0) have += count;
      else {
        message.fill(0);
        throw this.#truncated();
      }
    }
    return message;
  }

  /** Has so many bytes in the inbox; false if the other side ends before that. */
  #fill(bytes: number): boolean {
    if (this.#start === this.#end) {
      this.#start = 0;
      this.#end = 0;
    } else if (this.#start + bytes > bufferBytes) {
      this.#inbox.copyWithin(0, this.#start, this.#end);
      this.#end -= this.#start;
      this.#start = 0;
    }
    while (this.#end - this.#start < bytes) {
      const count = this.#read(this.#end === 0 ? this.#inbox : this.#inbox.subarray(this.#end));
      if (count === 0) return false;
      this.#end += count;
    }
    return true;
  }

  #read(room: Uint8Array): number {
    const result = this.#calls.earshot_ipc_pipe_read(
      this.#from.number,
      room,
      room.length,
      this.#life?.number ?? nothing,
      this.#timeoutNs,
      this.#failure.bytes,
    );
    return result < 0 ? this.#fail(result) : result;
  }

  #write(frame: Uint8Array, bytes: number): void {
    const result = this.#calls.earshot_ipc_pipe_write(
      this.#to.number,
      frame,
      bytes,
      this.#life?.number ?? nothing,
      this.#timeoutNs,
      this.#failure.bytes,
    );
    if (result < 0) this.#fail(result);
  }

  #fail(result: number): never {
    switch (result) {
      case codes.timed_out.number:
        throw new IpcError(
          "ETIMEDOUT",
          "ETIMEDOUT: the other side of the pipe did nothing in time",
        );
      case codes.ended.number:
        throw new IpcError("ECLOSED", "ECLOSED: nobody reads at the other side of the pipe");
      case codes.closed.number:
        throw new IpcError("ECLOSED", "ECLOSED: who gave the pipe out has ended");
      default:
        throw errorOf(result, systemFailure(this.#failure));
    }
  }

  #truncated(): IpcError {
    return new IpcError("ECONNRESET", "ECONNRESET: the pipe ended in the middle of a message");
  }
}
