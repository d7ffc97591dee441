/** Clones without forks: processes that were started and warmed up ahead, each of which becomes one clone. */

import { Descriptor } from "../ipc/descriptor.ts";
import { loop } from "../ipc/loop.ts";
import { IpcError } from "../native/errors.ts";
import { openProcess } from "../native/zygote.ts";
import { CloneProcess } from "./clone-process.ts";
import type { LaunchOptions } from "./launch.ts";
import { launch } from "./launch.ts";
import type { Blank, Source } from "./source.ts";
import { takeLiving } from "./source.ts";

export class Pool implements Source {
  readonly mode = "pool";
  readonly restarts = 0;
  readonly #launch: LaunchOptions;
  readonly #standby: number;
  readonly #closing = new AbortController();
  readonly #processes = new Set<CloneProcess>();
  #ready: Blank[] = [];
  #making = new Set<Promise<Blank>>();

  /** Resolves when the first process is warm. */
  static async start(options: LaunchOptions, standby: number): Promise<Pool> {
    const pool = new Pool(options, standby);
    pool.#put(await pool.#make(options.signal));
    pool.fill();
    return pool;
  }

  private constructor(options: LaunchOptions, standby: number) {
    this.#launch = { ...options, mode: "pool", signal: this.#closing.signal };
    this.#standby = standby;
  }

  get waiting(): number {
    return this.#ready.length;
  }

  fill(): void {
    if (this.#closing.signal.aborted) return;
    while (this.#ready.length + this.#making.size < this.#standby) {
      const making = this.#make();
      this.#making.add(making);
      making
        .then((blank) => this.#put(blank))
        // Who asks for a clone is told what is wrong.
        .catch(() => undefined)
        .finally(() => this.#making.delete(making));
    }
  }

  #put(blank: Blank): void {
    if (this.#closing.signal.aborted) {
      blank.end.close();
      return;
    }
    this.#ready.push(blank);
    void blank.process.then(async ({ exited }) => {
      await exited;
      const at = this.#ready.indexOf(blank);
      if (at < 0) return;
      this.#ready.splice(at, 1);
      blank.end.close();
      this.fill();
    });
  }

  async #make(signal = this.#closing.signal): Promise<Blank> {
    const [end, other] = loop().context.pair();
    try {
      const { process, control } = await launch(
        { ...this.#launch, signal },
        [other],
        () => undefined,
      );
      void control.close({ now: true });
      const pidfd = openProcess(process.pid);
      const clone = new CloneProcess(
        process.pid,
        pidfd === undefined ? undefined : new Descriptor(pidfd),
        (signal) => process.kill(signal),
      );
      this.#processes.add(clone);
      void process.exited.then(() => {
        this.#processes.delete(clone);
        const { exitCode: code, signalCode } = process;
        clone.ended({ code, signal: signalCode as NodeJS.Signals | null });
      });
      return { end, process: Promise.resolve(clone), ahead: true };
    } catch (error) {
      end.close();
      throw error;
    } finally {
      other.close();
    }
  }

  async take(): Promise<Blank> {
    this.#closing.signal.throwIfAborted();
    return (await takeLiving(this.#ready)) ?? (await this.#make());
  }

  async close(): Promise<void> {
    this.#closing.abort(new IpcError("ECLOSED", "ECLOSED: the zygote is closed"));
    for (const { end } of this.#ready) end.close();
    this.#ready = [];
    await Promise.allSettled(this.#making);
    await Promise.all([...this.#processes].map(({ exited }) => exited));
  }
}
