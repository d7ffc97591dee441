/** A peer over a stream of bytes, TCP, TLS or local, that knows nothing of earshot: it keeps what it hears. */

import { createHash } from "node:crypto";
import type { Socket } from "node:net";
import { connect } from "node:net";
import type { ConnectionOptions, TLSSocket } from "node:tls";
import { connect as connectTls } from "node:tls";
import { until, within } from "./until.ts";

export type Place = { host: string; port: number };

export class StreamPeer implements Disposable {
  readonly socket: Socket;
  readonly #parts: Buffer[] = [];
  #length = 0;
  #ended = false;
  #closed = false;
  #error: { code?: string; message: string } | undefined;

  static async tcp({ host, port }: Place, options: { reads?: boolean } = {}): Promise<StreamPeer> {
    return await StreamPeer.#opened(
      connect({ host, port, allowHalfOpen: true }),
      "connect",
      options,
    );
  }

  static async unix(path: string): Promise<StreamPeer> {
    return await StreamPeer.#opened(connect({ path, allowHalfOpen: true }), "connect", {});
  }

  static async tls(
    { host, port }: Place,
    how: ConnectionOptions,
    options: { reads?: boolean } = {},
  ): Promise<StreamPeer> {
    const given = { host, port, ALPNProtocols: ["earshot"], allowHalfOpen: true, ...how };
    const socket: TLSSocket = connectTls(given as ConnectionOptions);
    return await StreamPeer.#opened(socket, "secureConnect", options);
  }

  static async #opened(
    socket: Socket,
    event: "connect" | "secureConnect",
    options: { reads?: boolean },
  ): Promise<StreamPeer> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    socket.once(event as "connect", resolve).once("error", reject);
    try {
      await within("a connection", promise);
    } catch (error) {
      socket.destroy();
      throw error;
    }
    return new StreamPeer(socket, options.reads !== false);
  }

  private constructor(socket: Socket, reads: boolean) {
    this.socket = socket;
    socket.on("error", (error) => {
      this.#error = error;
    });
    socket.on("close", () => {
      this.#closed = true;
    });
    socket.on("end", () => {
      this.#ended = true;
    });
    if (reads) this.read();
  }

  /** Reads from now on, if it has not so far. */
  read(): void {
    this.socket.on("data", (bytes: Buffer) => {
      this.#parts.push(bytes);
      this.#length += bytes.length;
    });
  }

  get bytes(): Buffer {
    return Buffer.concat(this.#parts);
  }

  get text(): string {
    return this.bytes.toString("latin1");
  }

  /** How many bytes have come. */
  get length(): number {
    return this.#length;
  }

  get hash(): string {
    return hashOf(...this.#parts);
  }

  /** Whether the other side has no more to say, or is gone. */
  get ended(): boolean {
    return this.#ended || this.#closed;
  }

  get error(): { code?: string; message: string } | undefined {
    return this.#error;
  }

  write(bytes: string | Uint8Array): void {
    this.socket.write(bytes);
  }

  /** Resolves when it has heard exactly this so far. */
  async hears(text: string): Promise<void> {
    await until(
      () => `a peer hears ${JSON.stringify(text)} instead of ${JSON.stringify(this.text)}`,
      () => this.#length >= text.length && this.text === text,
    );
  }

  async received(length: number): Promise<void> {
    await until(
      () => `a peer has ${length} bytes instead of ${this.#length}`,
      () => this.#length >= length,
    );
  }

  /** Resolves with all it has heard when the other side has no more to say. */
  async whole(): Promise<string> {
    await until(
      () => `the other side has ended it, after ${JSON.stringify(this.text.slice(0, 200))}`,
      () => this.ended,
    );
    return this.text;
  }

  /** Will write nothing more, and says so; goes on reading. */
  endWriting(): void {
    this.socket.end();
  }

  /** Is gone at once, what it was sent unread. */
  reset(): void {
    this.socket.resetAndDestroy();
  }

  close(): void {
    this.socket.destroy();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

export function hashOf(...parts: readonly Uint8Array[]): string {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest("hex");
}
