/** One process that is forked, from its start to its end. */

import { readFileSync } from "node:fs";
import { Descriptor } from "../ipc/descriptor.ts";
import { loop } from "../ipc/loop.ts";
import type { Message } from "../ipc/message.ts";
import { timerMsMax } from "../ipc/numbers.ts";
import { IpcError } from "../native/errors.ts";
import { EventType } from "../native/layout.ts";
import { readReport, requestOf } from "../native/zygote.ts";
import { zygoteCodes, zygoteErrorOf } from "../native/zygote-errors.ts";
import { CloneProcess, signalName } from "./clone-process.ts";
import type { Launched, LaunchOptions } from "./launch.ts";
import { launch } from "./launch.ts";
import type { Blank } from "./source.ts";

/** What a zygote has to do beside waiting for its clones it does within moments; a busy machine may take longer. */
export const reportTimeoutMs = 3000;

/** What may be opened here beside, between a request and the pidfd that answers it. */
const spareDescriptors = 8;

/** Infinity where the system does not say. */
function descriptorsMax(): number {
  try {
    const [, soft] =
      /^Max open files\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8")) ?? [];
    return soft === undefined ? Infinity : Number(soft);
  } catch {
    return Infinity;
  }
}

/** The two ends of a pipe of which nobody but the owner and its zygotes has the second. */
export type Lifeline = readonly [Descriptor, Descriptor];

type Pending = { resolve(process: CloneProcess): void; reject(error: Error): void };

export class ZygoteProcess {
  readonly #pending = new Map<number, Pending>();
  readonly #living = new Map<number, CloneProcess>();
  readonly #options: LaunchOptions;
  #launched: Launched | undefined;
  readonly #descriptorsMax = descriptorsMax();
  #requests = 0;
  #over = false;
  /** Resolves when the process has ended. */
  ended: Promise<unknown> = Promise.resolve();

  /** Resolves when it is warm. The lifeline is what its clones hang on. */
  static async start(options: LaunchOptions, lifeline: Lifeline): Promise<ZygoteProcess> {
    const zygote = new ZygoteProcess(options);
    const launched = await launch(options, lifeline, (message) => zygote.#hear(message));
    zygote.#launched = launched;
    const { control, process } = launched;
    zygote.ended = Promise.all([control.ended, process.exited]);
    void control.ended.then(() => zygote.#ended());
    return zygote;
  }

  private constructor(options: LaunchOptions) {
    this.#options = options;
  }

  get pid(): number {
    return this.#launched!.process.pid;
  }

  get open(): boolean {
    return !this.#over;
  }

  /** Has one forked, which waits to be told what it is for; `ahead`, it says first that it is ready. */
  blank(ahead: boolean): Blank {
    const [end, other] = loop().context.pair();
    // The system gives the lowest number that is free. Where a pidfd finds none the conversation with the zygote is over, and
    // with it all of its clones; so whoever asks is refused before that.
    const highest = Math.max(end.number, other.number) + this.#pending.size + spareDescriptors;
    if (highest >= this.#descriptorsMax) {
      end.close();
      other.close();
      throw zygoteErrorOf(zygoteCodes.descriptor_limit.number, "a clone could not be made");
    }
    const process = this.#fork(other, ahead);
    // Whoever waits for it is told; and if nobody does, nobody needs to be.
    process.catch(() => undefined);
    return { end, process, ahead };
  }

  /** `end` is the clone's, and closed here. Rejects with why it could not be, ECONNRESET if the zygote has ended. */
  #fork(end: Descriptor, ahead: boolean): Promise<CloneProcess> {
    const { promise, resolve, reject } = Promise.withResolvers<CloneProcess>();
    this.#requests = (this.#requests + 1) % 2 ** 31;
    const id = this.#requests;
    try {
      this.#launched!.control.send(requestOf(id, ahead), { descriptors: [end] });
      this.#pending.set(id, { resolve, reject });
    } catch {
      // Its end is on its way.
      this.#over = true;
      reject(this.#gone());
    } finally {
      end.close();
    }
    return promise;
  }

  #hear(message: Message): void {
    const report = readReport(message.bytes);
    if (report === undefined) return;
    const { id } = report;
    if (report.kind === "ended") {
      const { code, signal } = report;
      this.#living.get(id)?.ended({ code, signal: code === null ? signalName(signal) : null });
      this.#living.delete(id);
      return;
    }
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    if (report.kind === "failed") {
      pending?.reject(zygoteErrorOf(report.code, "a clone could not be made", report));
      return;
    }
    const pidfd = message.descriptors[0];
    if (pidfd === undefined) {
      pending?.reject(
        zygoteErrorOf(zygoteCodes.descriptor_limit.number, "a clone could not be made"),
      );
      return;
    }
    const process = new CloneProcess(report.pid, new Descriptor(pidfd.take()));
    this.#living.set(id, process);
    pending?.resolve(process);
  }

  #ended(): void {
    this.#over = true;
    for (const { reject } of this.#pending.values()) reject(this.#gone());
    this.#pending.clear();
    for (const process of this.#living.values())
      watchOrphan(process, this.#options.orphans === "end");
    this.#living.clear();
  }

  #gone(): IpcError {
    return new IpcError("ECONNRESET", "ECONNRESET: the zygote has ended; ask for the clone again");
  }

  /** Ends it. Its clones see that by their connections, if these are closed as well; resolves when all are gone. */
  async close(): Promise<void> {
    const { control, process } = this.#launched!;
    // One that somebody has stopped does not even see that it is to end.
    const late = setTimeout(
      () => process.kill("SIGKILL"),
      Math.min(this.#options.graceMs + reportTimeoutMs, timerMsMax),
    );
    try {
      await control.close();
      await process.exited;
    } finally {
      clearTimeout(late);
    }
  }
}

/** Nobody is left to say how it ended. */
function watchOrphan(process: CloneProcess, killed: boolean): void {
  const exit = { code: null, signal: killed ? ("SIGKILL" as const) : null };
  if (process.pidfd === undefined || process.pidfd.closed) {
    process.ended(exit);
    return;
  }
  const { context } = loop();
  let handle: number;
  try {
    handle = context.external(process.pidfd.number);
  } catch (error) {
    if (!(error instanceof IpcError)) throw error;
    // There is no descriptor left to watch it by, and nobody knows when it ends: so it does now.
    process.kill("SIGKILL");
    process.ended(exit);
    return;
  }
  loop().add(handle, {
    onEvent(event) {
      if (event.type !== EventType.External) return;
      loop().remove(handle);
      context.closeHandle(handle, { now: true });
      process.ended(exit);
    },
    // Nothing is ever sent to it.
    onSent: () => undefined,
  });
}
