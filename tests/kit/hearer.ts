/** A client over any transport that keeps all it hears, and reads or does not. */

import type { Connection, ConnectOptions } from "../../src/index.ts";
import { connect } from "../../src/index.ts";
import { until } from "./until.ts";

export class Hearer implements Disposable {
  readonly connection: Connection;
  readonly payloads: Uint8Array[];

  private constructor(connection: Connection, payloads: Uint8Array[]) {
    this.connection = connection;
    this.payloads = payloads;
  }

  /** Connects to `name`. With `reads: false` it takes no message before `read`. */
  static async connect(
    name: string,
    { reads = true, ...options }: ConnectOptions & { reads?: boolean },
  ): Promise<Hearer> {
    const payloads: Uint8Array[] = [];
    const message: ConnectOptions["message"] = (_, { bytes }) => void payloads.push(bytes.slice());
    const connection = await connect(name, { ...options, message });
    if (!reads) connection.pause();
    return new Hearer(connection, payloads);
  }

  get texts(): string[] {
    return this.payloads.map((bytes) => new TextDecoder().decode(bytes));
  }

  /** Whom the other side has dropped says nothing more. */
  send(payload: Uint8Array | string): void {
    if (this.connection.open) this.connection.send(payload);
  }

  /** Reads from now on, if it has not so far. */
  read(): void {
    this.connection.resume();
  }

  async received(count: number): Promise<void> {
    await until(
      () => `a client has ${count} messages instead of ${this.payloads.length}`,
      () => this.payloads.length >= count,
    );
  }

  close(options?: { now?: boolean }): Promise<void> {
    return this.connection.close(options);
  }

  [Symbol.dispose](): void {
    void this.close({ now: true });
  }
}
