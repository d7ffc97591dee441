/**
 * One end of a connection through shared memory, as its users have it. What is behind it is in `side.ts`.
 *
 *     this side                                    the other
 *       write ──▶ ring ─────────────────────────▶ onData
 *      onData ◀── ring ◀───────────────────────── write
 *             ◀──── Unix connection ───▶            wakes who sleeps, brings what is too long for a ring, and
 *                                                   descriptors, and ends when the other side does
 */

import type { Peer } from "../ipc/context.ts";
import type { End } from "../ipc/handlers.ts";
import { loop } from "../ipc/loop.ts";
import type { Payload } from "../ipc/message.ts";
import { bytesOf } from "../ipc/message.ts";
import { patience } from "../ipc/numbers.ts";
import { IpcError } from "../native/errors.ts";
import type { Told } from "./audience.ts";
import type { Hold } from "./hold.ts";
import { Side } from "./side.ts";

export abstract class MemorySocket implements AsyncDisposable {
  /** @internal */
  readonly side: Side = new Side(this.#told());

  /** The service at one of the two ends. */
  abstract get service(): string;
  protected abstract get hears(): boolean;
  protected abstract tellData(bytes: Uint8Array): void | Promise<void>;
  protected abstract tellDrain(): void | Promise<void>;
  /** False if nobody wants to know. */
  protected abstract tellError(error: unknown): boolean;
  protected abstract tellClose(end: End): void | Promise<void>;

  #told(): Told {
    const service = () => this.service;
    const hears = () => this.hears;
    return {
      get service() {
        return service();
      },
      get hears() {
        return hears();
      },
      data: (bytes) => this.tellData(bytes),
      drain: () => this.tellDrain(),
      error: (error) => this.tellError(error),
      close: (end) => this.tellClose(end),
    };
  }

  // ---- asking ----

  /** Whether messages can be written. */
  get open(): boolean {
    return this.side.open;
  }

  /** Resolves when it has ended, with why; never rejects. */
  get ended(): Promise<End> {
    return this.side.ended;
  }

  /** Who is at the other end, as the kernel saw it when the connection was made; and whose key it has, where it is sealed. */
  get peer(): Peer {
    return this.side.peer;
  }

  /** The longest message that goes through the ring, and so the most that can be reserved. In bytes. */
  get ringBytesMax(): number {
    return this.side.traffic?.outgoing.ringBytesMax ?? 0;
  }

  // ---- writing ----

  /**
   * Writes one message. Returns false if there is no room for it: it was not taken, and `onDrain` follows when there
   * is. One that is longer than the ring takes is passed in memory of its own. Throws ECLOSED, EMSGSIZE, and EBUSY
   * between `reserve` and `commit`.
   */
  write(payload: Payload): boolean {
    return this.side.put(bytesOf(payload), 0);
  }

  /**
   * Room in the ring for a message of so many bytes, to be filled and sent by `commit`, without a copy; undefined if
   * there is none, and then `onDrain` follows. Until then nothing else can be written; `discard`, or another `reserve`,
   * gives it up. Throws ECLOSED and EMSGSIZE.
   *
   * @example
   * const room = socket.reserve(4);
   * if (room !== undefined) {
   *   new DataView(room.buffer, room.byteOffset).setUint32(0, 42);
   *   socket.commit();
   * }
   */
  reserve(bytes: number): Uint8Array | undefined {
    const { outgoing, messageBytesMax } = this.side.writing();
    if (!Number.isInteger(bytes) || bytes < 0) {
      throw new IpcError("EINVAL", "EINVAL: a message has a whole number of bytes, from 0");
    }
    if (bytes > Math.min(outgoing.ringBytesMax, messageBytesMax)) {
      throw this.side.tooLong(bytes, "; write() passes what is longer than the ring takes");
    }
    return this.side.reserve(bytes);
  }

  /** Sends what was reserved, or the first `bytes` of it. Throws EINVAL if that is more, or nothing was. */
  commit(bytes?: number): void {
    this.side.commit(bytes);
  }

  /** Gives up what was reserved. */
  discard(): void {
    this.side.traffic?.outgoing.discard();
  }

  /**
   * Shows the other side all that `act` writes in one go, or after each 16 KiB: many small messages cost far less then.
   * What a handler writes is corked as it is.
   */
  cork<Result>(act: () => Result): Result {
    return this.side.cork(act);
  }

  // ---- reading ----

  /**
   * Waits for the next message, and holds up this thread meanwhile: for programs that do nothing else, without `onData`.
   * The bytes are good until the next read. Undefined after `timeout` milliseconds, null when the connection has ended
   * and all was read. Throws EINVAL where there is an `onData`, and EBUSY within a handler that it would hold up.
   */
  read(options: { timeout?: number } = {}): Uint8Array | undefined | null {
    this.#mayRead();
    const { side } = this;
    const timeout = patience("timeout", options.timeout);
    const until = timeout === undefined ? Infinity : performance.now() + timeout;
    side.traffic?.incoming.unshow();
    side.traffic?.incoming.releaseSome();
    let bytes = side.take();
    if (bytes === undefined) {
      do {
        side.wait(until);
        bytes = side.take();
      } while (bytes === undefined && performance.now() < until);
    }
    return bytes;
  }

  #mayRead(): void {
    if (this.hears) {
      throw new IpcError("EINVAL", "EINVAL: messages go to onData; read() is for sockets without");
    }
    if (loop().handing) {
      throw new IpcError(
        "EBUSY",
        "EBUSY: read() waits, and cannot within a handler that others wait for; call it outside",
      );
    }
    if (!this.side.isKnown) this.side.refuse();
  }

  /**
   * Within `onData`, or after `read`: keeps the bytes of this message as they are until `release`. Room in the ring is
   * not used again before that, so the other side comes to wait. Throws EINVAL elsewhere.
   */
  hold(): Hold {
    return this.side.incoming.hold();
  }

  /** Reads nothing more, so that the other side comes to wait, until `resume`. One that is gone makes an end of it. */
  pause(): void {
    this.side.pause();
  }

  resume(): void {
    this.side.resume();
  }

  // ---- closing ----

  /** Closes it. What was written can still be read by the other side. Resolves when it has ended. */
  async close(): Promise<void> {
    this.side.close();
    await this.side.ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
