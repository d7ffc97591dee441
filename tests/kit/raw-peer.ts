/** A peer that knows nothing of messages: it writes what bytes it is told to, reads or does not, and leaves as it likes. */

import { FrameCutter } from "./frames.ts";
import { until } from "./until.ts";
import { Unwritten } from "./unwritten.ts";

type RawSocket = Bun.Socket<undefined>;

export class RawPeer implements Disposable {
  readonly #cutter = new FrameCutter();
  #socket!: RawSocket;
  readonly #unwritten = new Unwritten();
  #ended = false;

  /** Connects to the socket at `path`. With `reads: false` it takes no byte before `read`. */
  static async connect(path: string, options: { reads?: boolean } = {}): Promise<RawPeer> {
    const peer = new RawPeer();
    const socket = await Bun.connect<undefined>({
      unix: path,
      socket: {
        open: (opened) => {
          if (options.reads === false) opened.pause();
        },
        data: (_, bytes) => peer.#cutter.push(bytes),
        drain: () => peer.#write(),
        close: () => {
          peer.#ended = true;
        },
        error: () => {
          peer.#ended = true;
        },
      },
    });
    peer.#socket = socket;
    return peer;
  }

  /** The payloads of all whole frames that have come. */
  get payloads(): readonly Uint8Array[] {
    return this.#cutter.payloads;
  }

  /** The same as text. */
  get texts(): string[] {
    return this.payloads.map((bytes) => new TextDecoder().decode(bytes));
  }

  /** Whether the other side has ended the conversation. */
  get ended(): boolean {
    return this.#ended;
  }

  /** Bytes that the kernel has not taken yet. */
  get unwrittenBytes(): number {
    return this.#unwritten.bytes;
  }

  /** Hands over bytes to be written in this order; they go as the other side makes room. */
  write(bytes: Uint8Array): void {
    this.#unwritten.push(bytes);
    this.#write();
  }

  /** Resolves when all bytes are with the kernel. */
  async written(): Promise<void> {
    await until("a peer's bytes are written", () => {
      this.#write();
      return this.#ended || this.#unwritten.bytes === 0;
    });
  }

  async received(count: number): Promise<void> {
    await until(
      () => `a peer has ${count} messages instead of ${this.payloads.length}`,
      () => this.payloads.length >= count,
    );
  }

  async gone(): Promise<void> {
    await until("the other side has ended it", () => this.#ended);
  }

  /** Reads from now on, if it has not so far. */
  read(): void {
    this.#socket.resume();
  }

  /** Will write nothing more, and says so; goes on reading. */
  endWriting(): void {
    this.#socket.shutdown();
  }

  close(): void {
    this.#socket.terminate();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #write(): void {
    if (!this.#ended) this.#unwritten.writeTo(this.#socket);
  }
}
