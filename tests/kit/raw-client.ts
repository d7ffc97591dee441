/** A TCP client that knows no protocol: it writes what it is told to, reads or does not, and leaves as it likes. */

import { until } from "./until.ts";
import { Unwritten } from "./unwritten.ts";

export class RawClient implements Disposable {
  #socket!: Bun.Socket<undefined>;
  readonly #unwritten = new Unwritten();
  #ended = false;
  #receivedBytes = 0;
  /** What has come, as bytes in a string; without `keeps` nothing of it. */
  received = "";

  static async connect(
    port: number,
    options: { reads?: boolean; keeps?: boolean } = {},
  ): Promise<RawClient> {
    const client = new RawClient();
    client.#socket = await Bun.connect<undefined>({
      hostname: "127.0.0.1",
      port,
      socket: {
        open: (opened) => {
          if (options.reads === false) opened.pause();
        },
        data: (_, bytes) => {
          client.#receivedBytes += bytes.length;
          if (options.keeps !== false) client.received += bytes.toString("latin1");
        },
        drain: () => client.#write(),
        close: () => {
          client.#ended = true;
        },
        error: () => {
          client.#ended = true;
        },
      },
    });
    return client;
  }

  get receivedBytes(): number {
    return this.#receivedBytes;
  }

  /** Whether the other side has ended the conversation. */
  get ended(): boolean {
    return this.#ended;
  }

  /** Bytes that the kernel has not taken yet. */
  get unwrittenBytes(): number {
    return this.#unwritten.bytes;
  }

  write(bytes: Uint8Array | string): void {
    this.#unwritten.push(Buffer.from(bytes));
    this.#write();
  }

  async receives(text: string): Promise<void> {
    await until(
      () => `a client receives ${JSON.stringify(text)}; it has ${JSON.stringify(this.received)}`,
      () => this.received.includes(text),
    );
  }

  async gone(): Promise<void> {
    await until(
      () => `the other side has ended it; it has ${JSON.stringify(this.received)}`,
      () => this.#ended,
    );
  }

  read(): void {
    this.#socket.resume();
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
