/** Clones by forks: keeps a zygote running, and starts it again when it is lost. */

import { setTimeout as sleep } from "node:timers/promises";
import { connect } from "../ipc/connect.ts";
import type { Descriptor } from "../ipc/descriptor.ts";
import { IpcError } from "../native/errors.ts";
import type { LaunchOptions } from "./launch.ts";
import type { Blank, Source } from "./source.ts";
import { takeLiving } from "./source.ts";
import type { Lifeline } from "./zygote-process.ts";
import { ZygoteProcess } from "./zygote-process.ts";

export type ForksOptions = {
  launch: LaunchOptions;
  standby: number;
  restart: Restart;
  lifeline: Lifeline;
};

/** How a zygote that is lost is started again. Times in milliseconds. */
export type Restart = {
  /** Before the first start, and doubled after each. Default 50. */
  first: number;
  /** The longest time between two; a zygote that has lived for so long has not been lost in vain. Default 2000. */
  most: number;
  /** After so many starts in a row `clone` rejects. Default 8. */
  attempts: number;
};

export class Forks implements Source {
  readonly mode = "fork";
  readonly #options: ForksOptions;
  readonly #closing = new AbortController();
  #zygote: Promise<ZygoteProcess>;
  #ready: Blank[] = [];
  #making = 0;
  /** How many in a row have not come to be ready, and the time until others are made. */
  #vain = 0;
  #pausing: ReturnType<typeof setTimeout> | undefined;
  /** How often in a row it was lost within moments, or could not be started. */
  #failures = 0;
  restarts = 0;

  constructor(options: ForksOptions, zygote: ZygoteProcess) {
    // Whoever has waited for the first start does not wait for later ones.
    const launch = { ...options.launch, signal: this.#closing.signal };
    this.#options = { ...options, launch };
    this.#zygote = Promise.resolve(zygote);
    this.#keep(zygote);
  }

  get waiting(): number {
    return this.#ready.length;
  }

  /** Has as many wait as were asked for. */
  fill(): void {
    if (this.#closing.signal.aborted || this.#pausing !== undefined) return;
    while (this.#ready.length + this.#making < this.#options.standby) void this.#makeReady();
  }

  async #makeReady(): Promise<void> {
    this.#making += 1;
    try {
      const made = await this.#fork(true);
      const end = await this.#readyEnd(made);
      const process = await made.process;
      const blank = { ...made, end };
      this.#vain = 0;
      this.#ready.push(blank);
      void process.exited.then(() => this.#lost(blank));
    } catch {
      // Who asks for a clone is told what is wrong. Another may meet with the same.
      this.#pause();
    } finally {
      this.#making -= 1;
    }
  }

  /** Waits until it says that it is ready. Rejects if it does not, and it is gone then. */
  async #readyEnd({ end, process }: Blank): Promise<Descriptor> {
    const patience = AbortSignal.timeout(this.#options.launch.startTimeoutMs);
    const signal = AbortSignal.any([this.#closing.signal, patience]);
    const connection = await connect("clone", { descriptor: end, signal });
    try {
      const { done } = await connection[Symbol.asyncIterator]().next();
      while (done !== true && connection.open) {
        const own = connection.detach();
        if (own !== undefined) return own;
        // What came is being handed out.
        await new Promise(setImmediate);
      }
      throw signal.reason ?? new IpcError("ECONNRESET", "ECONNRESET: it ended before it was ready");
    } catch (error) {
      void connection.close({ now: true });
      void process.then((one) => one.kill("SIGKILL")).catch(() => undefined);
      throw error;
    }
  }

  #pause(): void {
    const { first, most } = this.#options.restart;
    const pauseMs = Math.min(first * 2 ** this.#vain, most);
    this.#vain += 1;
    clearTimeout(this.#pausing);
    this.#pausing = setTimeout(() => {
      this.#pausing = undefined;
      this.fill();
    }, pauseMs);
    this.#pausing.unref();
  }

  #lost(blank: Blank): void {
    const at = this.#ready.indexOf(blank);
    if (at < 0) return;
    this.#ready.splice(at, 1);
    blank.end.close();
    this.fill();
  }

  async take(): Promise<Blank> {
    return (await takeLiving(this.#ready)) ?? (await this.#fork(false));
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

  /** Starts another when this one ends. */
  #keep(zygote: ZygoteProcess): void {
    const begun = performance.now();
    void zygote.ended.then(() => {
      if (this.#closing.signal.aborted) return;
      this.restarts += 1;
      // One that lives only for moments is no better than one that cannot be started.
      if (performance.now() - begun >= this.#options.restart.most) this.#failures = 0;
      const lost = new IpcError(
        "ECONNRESET",
        "ECONNRESET: the zygote was lost again and again, and is not started any more; see what kills it",
      );
      this.#zygote = this.#startAgain(lost);
      this.#zygote.catch(() => undefined);
    });
  }

  /** Rejects with why not, `lost` or what went wrong, when it has been tried too often in a row. */
  async #startAgain(lost: IpcError): Promise<ZygoteProcess> {
    const { first, most, attempts } = this.#options.restart;
    let why: unknown = lost;
    while (this.#failures < attempts) {
      const pause = Math.min(first * 2 ** this.#failures, most);
      this.#failures += 1;
      await sleep(pause, undefined, { signal: this.#closing.signal });
      try {
        const zygote = await ZygoteProcess.start(this.#options.launch, this.#options.lifeline);
        this.#keep(zygote);
        this.fill();
        return zygote;
      } catch (error) {
        why = error;
      }
      if (this.#closing.signal.aborted) break;
    }
    throw why;
  }

  async close(): Promise<void> {
    this.#closing.abort(new IpcError("ECLOSED", "ECLOSED: the zygote is closed"));
    clearTimeout(this.#pausing);
    for (const { end } of this.#ready) end.close();
    this.#ready = [];
    const zygote = await this.#zygote.catch(() => undefined);
    await zygote?.close();
    for (const end of this.#options.lifeline) end.close();
  }
}
