/** Clones by forks: keeps a zygote running, and starts it again when it is lost. */

import { setTimeout as sleep } from "node:timers/promises";
import { IpcError } from "../native/errors.ts";
import type { LaunchOptions } from "./launch.ts";
import type { Blank, Source } from "./source.ts";
import type { Lifeline } from "./zygote-process.ts";
import { ZygoteProcess } from "./zygote-process.ts";

export type ForksOptions = {
  launch: LaunchOptions;
  standby: number;
  restart: Restart;
  lifeline: Lifeline;
};

/** How a zygote that is lost is started again. Times in milliseconds. */
export type Restart = { first: number; most: number; attempts: number };

export class Forks implements Source {
  readonly mode = "fork";
  readonly #options: ForksOptions;
  readonly #closing = new AbortController();
  #zygote: Promise<ZygoteProcess>;
  #ready: Blank[] = [];
  #making = 0;
  restarts = 0;

  constructor(options: ForksOptions, zygote: ZygoteProcess) {
    this.#options = options;
    this.#zygote = Promise.resolve(zygote);
    this.#keep(zygote);
  }

  get waiting(): number {
    return this.#ready.length;
  }

  /** Has as many wait as were asked for. */
  fill(): void {
    if (this.#closing.signal.aborted) return;
    while (this.#ready.length + this.#making < this.#options.standby) void this.#makeReady();
  }

  async #makeReady(): Promise<void> {
    this.#making += 1;
    try {
      const blank = await this.#fork(true);
      const process = await blank.process;
      if (this.#closing.signal.aborted) return blank.end.close();
      this.#ready.push(blank);
      void process.exited.then(() => this.#lost(blank));
    } catch {
      // Who asks for a clone is told what is wrong.
    } finally {
      this.#making -= 1;
    }
  }

  #lost(blank: Blank): void {
    const at = this.#ready.indexOf(blank);
    if (at < 0) return;
    this.#ready.splice(at, 1);
    blank.end.close();
    this.fill();
  }

  async take(): Promise<Blank> {
    const ready = this.#ready.shift();
    if (ready === undefined) return await this.#fork(false);
    // Not before the one that is taken has begun.
    setTimeout(() => this.fill(), refillMs);
    return ready;
  }

  async #fork(ahead: boolean): Promise<Blank> {
    const { signal } = this.#closing;
    let zygote = await this.#zygote;
    while (!zygote.open && !signal.aborted) {
      await zygote.ended;
      zygote = await this.#zygote;
    }
    signal.throwIfAborted();
    return zygote.blank(ahead);
  }

  mayRetry(error: unknown): boolean {
    return (
      error instanceof IpcError && error.code === "ECONNRESET" && !this.#closing.signal.aborted
    );
  }

  /** Starts another when this one ends. */
  #keep(zygote: ZygoteProcess): void {
    const begun = performance.now();
    void zygote.ended.then(() => {
      if (this.#closing.signal.aborted) return;
      this.restarts += 1;
      const lasted = performance.now() - begun;
      this.#zygote = this.#startAgain(lasted);
      this.#zygote.catch(() => undefined);
    });
  }

  async #startAgain(lastedMs: number): Promise<ZygoteProcess> {
    const { first, most, attempts } = this.#options.restart;
    // One that lives only for moments is no better than one that cannot be started.
    let pause = lastedMs < most ? first : 0;
    for (let attempt = 1; ; attempt += 1) {
      await sleep(pause, undefined, { signal: this.#closing.signal });
      try {
        const zygote = await ZygoteProcess.start(this.#options.launch, this.#options.lifeline);
        this.#keep(zygote);
        this.fill();
        return zygote;
      } catch (error) {
        if (attempt >= attempts || this.#closing.signal.aborted) throw error;
        pause = Math.min(Math.max(first, 2 * pause), most);
      }
    }
  }

  async close(): Promise<void> {
    this.#closing.abort(new IpcError("ECLOSED", "ECLOSED: the zygote is closed"));
    for (const { end } of this.#ready) end.close();
    this.#ready = [];
    const zygote = await this.#zygote.catch(() => undefined);
    await zygote?.close();
    for (const end of this.#options.lifeline) end.close();
  }
}

/** A fork makes the machine busy for a moment, in which a clone that was just taken is to begin. */
const refillMs = 5;
