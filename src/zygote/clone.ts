/** A clone, as its owner has it. */

import type { Connection } from "../ipc/connection.ts";
import type { Descriptor } from "../ipc/descriptor.ts";
import type { CloneProcess, Exit, Signal } from "./clone-process.ts";
import { insist } from "./clone-process.ts";

/**
 * A process that began with the memory of its zygote. It lives as long as its connection does: when that has ended, it is
 * given a while to end by itself (`grace`), and is then killed.
 *
 * @example
 * await using clone = await zygote.clone({ arguments: { user: "ada" } });
 * console.log((await clone.connection.request("hello")).text());
 */
export class Clone implements AsyncDisposable {
  readonly connection: Connection;
  readonly pid: number;
  readonly #process: CloneProcess;

  /** @internal */
  constructor(connection: Connection, process: CloneProcess, graceMs: number) {
    this.connection = connection;
    this.pid = process.pid;
    this.#process = process;
    void connection.ended.then(() => insist(process, graceMs));
  }

  /** A descriptor for the process, which cannot be mistaken for a later one of its number; closed when that has ended. */
  get pidfd(): Descriptor | undefined {
    return this.#process.pidfd;
  }

  /** Resolves when the process has ended, with how; never rejects. */
  get exited(): Promise<Exit> {
    return this.#process.exited;
  }

  /** Sends it a signal. False if it has ended. */
  kill(signal: Signal = "SIGTERM"): boolean {
    return this.#process.kill(signal);
  }

  /** Closes the connection, and so ends it; resolves when it has. */
  async close(): Promise<Exit> {
    await this.connection.close();
    return await this.exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
