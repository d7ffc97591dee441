/** A warmed process that waits to be forked. */

import { resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { attachSocket, unattached } from "../ipc/connect.ts";
import type { Connection } from "../ipc/connection.ts";
import { Descriptor } from "../ipc/descriptor.ts";
import type { ClientHandlers } from "../ipc/handlers.ts";
import type { Limits } from "../ipc/limits.ts";
import { patience, timerMsMax, whole, within } from "../ipc/numbers.ts";
import { IpcError } from "../native/errors.ts";
import type { Orphans } from "../native/zygote.ts";
import { lifeline, readCertificate } from "../native/zygote.ts";
import { zygoteErrorOf } from "../native/zygote-errors.ts";
import { Clone } from "./clone.ts";
import type { CloneProcess } from "./clone-process.ts";
import { insist } from "./clone-process.ts";
import type { Restart } from "./forks.ts";
import { Forks } from "./forks.ts";
import type { LaunchOptions } from "./launch.ts";
import type { CloneLimits } from "./limits.ts";
import { isLimited, nativeLimits } from "./limits.ts";
import { encodeParticulars } from "./particulars.ts";
import { Pool } from "./pool.ts";
import type { Mode } from "./settings.ts";
import type { Blank, Source } from "./source.ts";
import { trialAnswer } from "./trial.ts";
import { reportTimeoutMs, ZygoteProcess } from "./zygote-process.ts";

export type ZygoteOptions = {
  /** What clones are made of: a `ServiceModule`. A path is from the working directory. */
  module: string | URL;
  /** Default: forks where they work, which is tried out, and else a pool. */
  mode?: Mode | undefined;
  /** How many clones are made ahead, and wait to be told what they are for. Default 0; in a pool 1. */
  standby?: number | undefined;
  /** More are refused with EBUSY. Default 1024. */
  clonesMax?: number | undefined;
  /** In milliseconds, how long a clone may take to end when its connection has. Default 1000. */
  grace?: number | undefined;
  /** In milliseconds, how long the module may take to warm up. Default 60,000. */
  startTimeout?: number | undefined;
  /** What becomes of the clones when the zygote is killed: they end with it, or go on. Default "end". */
  orphans?: Orphans | undefined;
  /** How a zygote that was lost is started again. */
  restart?: Partial<Restart> | undefined;
  /** Added to the environment of the zygote, and so of its clones. */
  environment?: Record<string, string> | undefined;
  /** Gives the start up; once it has started it means nothing any more. */
  signal?: AbortSignal | undefined;
};

export type CloneOptions = {
  /** Given to `serve`; anything that can be cloned. */
  arguments?: unknown;
  /** They go to the clone, and stay the caller's, to close when `clone` has resolved. */
  descriptors?: readonly (number | Descriptor)[] | undefined;
  limits?: CloneLimits | undefined;
  /** Of the connection to the clone: its limits, and handlers. */
  connection?: (Omit<Limits, "raw"> & ClientHandlers) | undefined;
  signal?: AbortSignal | undefined;
};

export type ZygoteStatistics = {
  /** Clones that were handed out. */
  made: number;
  /** Those of them that have not ended. */
  living: number;
  exited: number;
  /** Those of the exited that a signal ended. */
  killed: number;
  /** How often the zygote was lost, and started again. */
  restarts: number;
  /** How many wait to be told what they are for. */
  standby: number;
};

/** To make others ahead keeps the machine busy for a while, in which the one that was taken is to answer first. */
const refillMs = 5;
/** How often a clone is tried again that was lost before it had begun. */
const retriesMax = 3;
/** A clone that was made ahead, or forked, says that it is there within a moment. */
const beginTimeoutMs = 10_000;
const trialTimeoutMs = 10_000;

/**
 * @example
 * await using zygote = await Zygote.start({ module: new URL("./service.ts", import.meta.url) });
 * const clone = await zygote.clone({ arguments: { user: "ada" }, limits: { memory: 64 * 2 ** 20 } });
 * for await (const message of clone.connection) console.log(message.text());
 */
export class Zygote implements AsyncDisposable {
  readonly #source: Source;
  readonly #graceMs: number;
  readonly #clonesMax: number;
  readonly #clones = new Set<Clone>();
  /** Those that were asked for, and are not there yet. */
  readonly #beginning = new Set<Promise<Clone>>();
  #made = 0;
  #exited = 0;
  #killed = 0;
  #closed: Promise<void> | undefined;

  /**
   * Resolves when the module is warm. Rejects with EMODULE if the module is no good (the text says why), ENOTSUP if forks
   * are asked for and do not work here, and the signal's reason; nothing is left of it then.
   */
  static async start(options: ZygoteOptions): Promise<Zygote> {
    const full = fullOptions(options);
    const source = await startSource(full);
    return new Zygote(source, full);
  }

  private constructor(source: Source, { launch, clonesMax }: FullOptions) {
    this.#source = source;
    this.#graceMs = launch.graceMs;
    this.#clonesMax = clonesMax;
  }

  /** How clones are made here. */
  get mode(): Mode {
    return this.#source.mode;
  }

  get statistics(): ZygoteStatistics {
    return {
      made: this.#made,
      living: this.#clones.size,
      exited: this.#exited,
      killed: this.#killed,
      restarts: this.#source.restarts,
      standby: this.#source.waiting,
    };
  }

  /**
   * Makes a clone, and resolves when it is there; with limits, when it has them, just before its `serve` is called. What is
   * sent to it waits for that. Rejects with EBUSY where there are as many as there may be, EAGAIN and EMFILE where the
   * system gives no more, EPERM for a limit that this user may not set; the zygote goes on all the same.
   */
  async clone(options: CloneOptions = {}): Promise<Clone> {
    this.#check(options);
    const beginning = this.#begin(options);
    this.#beginning.add(beginning);
    try {
      return await beginning;
    } finally {
      this.#beginning.delete(beginning);
      setTimeout(() => this.#source.fill(), refillMs);
    }
  }

  #check({ signal, limits }: CloneOptions): void {
    signal?.throwIfAborted();
    if (this.mode === "pool" && limits?.network === false) {
      // A thread leaves it alone, and those that warm() has started, for DNS or fetch, would stay.
      const text =
        "ENOTSUP: limits.network is for forks: a warmed process has threads, which keep the network; leave it out";
      throw new IpcError("ENOTSUP", text);
    }
    if (this.#closed !== undefined) throw new IpcError("ECLOSED", "ECLOSED: the zygote is closed");
    if (this.#clones.size + this.#beginning.size < this.#clonesMax) return;
    throw new IpcError(
      "EBUSY",
      `EBUSY: ${this.#clonesMax} clones live already; end some, or allow more (clonesMax)`,
    );
  }

  async #begin(options: CloneOptions): Promise<Clone> {
    const given = {
      limits: nativeLimits(options.limits),
      arguments: options.arguments,
      trial: false,
    };
    const limited = isLimited(given.limits);
    // What cannot be cloned is refused before anything is made.
    const bytes = encodeParticulars({ ...given, certified: limited });
    for (let attempt = 1; ; attempt += 1) {
      try {
        const blank = await this.#source.take();
        const certified = limited || blank.ahead;
        const told = certified === limited ? bytes : encodeParticulars({ ...given, certified });
        const begun = await begin(blank, told, certified, options, this.#graceMs);
        return this.#hold(new Clone(begun.connection, begun.process, this.#graceMs));
      } catch (error) {
        // One that was lost before it had begun has done nothing that another could not do.
        const wasLost = error instanceof IpcError && error.code === "ECONNRESET";
        if (!wasLost || attempt > retriesMax || this.#closed !== undefined) throw error;
      }
    }
  }

  #hold(clone: Clone): Clone {
    this.#made += 1;
    this.#clones.add(clone);
    void clone.exited.then(({ signal }) => {
      this.#clones.delete(clone);
      this.#exited += 1;
      if (signal !== null) this.#killed += 1;
    });
    return clone;
  }

  /** Ends all clones, and the zygote; resolves when nothing of them is left. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    await this.#inTime(Promise.allSettled(this.#beginning));
    await this.#inTime(this.#endClones());
    await this.#source.close();
    await Promise.allSettled(this.#beginning);
    await this.#endClones();
  }

  async #endClones(): Promise<void> {
    await Promise.all([...this.#clones].map((clone) => clone.close()));
  }

  /** A zygote that somebody has stopped does not say what has become of its clones; that it is gone says so too. */
  async #inTime(promise: Promise<unknown>): Promise<void> {
    const waits = new AbortController();
    const patienceMs = Math.min(this.#graceMs + reportTimeoutMs, timerMsMax);
    await Promise.race([promise, sleep(patienceMs, undefined, waits).catch(() => undefined)]);
    waits.abort();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

type FullOptions = {
  launch: LaunchOptions;
  mode: Mode | undefined;
  standby: number | undefined;
  clonesMax: number;
  restart: Restart;
};

function fullOptions(options: ZygoteOptions): FullOptions {
  const { mode, orphans = "end", restart = {} } = options;
  if (mode !== undefined) oneOf("mode", mode, ["fork", "pool"]);
  oneOf("orphans", orphans, ["end", "keep"]);
  return {
    launch: {
      mode: "fork",
      module: pathOf(options.module),
      graceMs: patience("grace", options.grace ?? 1000) ?? timerMsMax,
      startTimeoutMs: patience("startTimeout", options.startTimeout ?? 60_000) ?? timerMsMax,
      orphans,
      environment: options.environment,
      signal: options.signal ?? new AbortController().signal,
    },
    mode,
    standby: options.standby === undefined ? undefined : whole("standby", options.standby, 0, 1024),
    clonesMax: whole("clonesMax", options.clonesMax ?? 1024, 1, 1e6),
    restart: {
      first: patience("restart.first", restart.first ?? 50) ?? timerMsMax,
      most: patience("restart.most", restart.most ?? 2000) ?? timerMsMax,
      attempts: within("restart.attempts", restart.attempts ?? 8, 0, Infinity),
    },
  };
}

function oneOf(name: string, value: unknown, known: readonly [string, string]): void {
  if (known.includes(value as string)) return;
  const [first, second] = known;
  const text = `EINVAL: ${name} is "${first}" or "${second}", not ${JSON.stringify(value)}`;
  throw new IpcError("EINVAL", text);
}

function pathOf(module: string | URL): string {
  const isUrl = module instanceof URL || module.startsWith("file:");
  return isUrl ? fileURLToPath(module) : resolve(module);
}

async function startSource({ launch, mode, standby, restart }: FullOptions): Promise<Source> {
  if (mode !== "pool") {
    const forks = await tryForks(launch, { standby: standby ?? 0, restart }, mode === "fork");
    if (forks !== undefined) return forks;
  }
  return await Pool.start(launch, standby ?? 1);
}

/** Undefined where forks do not work. */
async function tryForks(
  launch: LaunchOptions,
  options: { standby: number; restart: Restart },
  insists: boolean,
): Promise<Forks | undefined> {
  const why = await reasonAgainstForks(launch, options);
  if (why instanceof Forks) return why;
  if (!insists) return undefined;
  throw new IpcError(
    "ENOTSUP",
    `ENOTSUP: forks do not work here (${why.message}); leave mode out, for a pool`,
    { cause: why },
  );
}

async function reasonAgainstForks(
  launch: LaunchOptions,
  options: { standby: number; restart: Restart },
): Promise<Forks | Error> {
  if (process.platform !== "linux") return new Error(`${process.platform} has no such fork`);
  const [input, output] = lifeline();
  const ends = [new Descriptor(input), new Descriptor(output)] as const;
  let zygote: ZygoteProcess | undefined;
  try {
    zygote = await ZygoteProcess.start(launch, ends);
    await tryOut(zygote, launch);
    launch.signal.throwIfAborted();
  } catch (error) {
    // What is wrong with the module is wrong in a pool as well, or would be hidden by one.
    const isOfModule =
      zygote === undefined && !(error instanceof IpcError && error.code === "ENOTSUP");
    await zygote?.close();
    for (const end of ends) end.close();
    launch.signal.throwIfAborted();
    if (isOfModule) throw error;
    return error instanceof Error ? error : new Error(String(error));
  }
  const forks = new Forks({ launch, lifeline: ends, ...options }, zygote);
  forks.fill();
  return forks;
}

/** Has a first fork do what a fork could have broken. */
async function tryOut(
  zygote: ZygoteProcess,
  { graceMs, signal }: Pick<LaunchOptions, "graceMs" | "signal">,
): Promise<void> {
  const blank = zygote.blank(false);
  const bytes = encodeParticulars({
    limits: {},
    arguments: undefined,
    trial: true,
    certified: true,
  });
  const { connection, process } = await begin(blank, bytes, true, { signal }, graceMs);
  const kill = () => process.kill("SIGKILL");
  const late = setTimeout(kill, trialTimeoutMs);
  signal.addEventListener("abort", kill);
  try {
    for await (const message of connection) {
      if (message.text() === trialAnswer) break;
    }
    await connection.close();
    const { code, signal } = await process.exited;
    if (code !== 0) throw new Error(`the first fork ended with ${signal ?? `code ${code}`}`);
  } finally {
    clearTimeout(late);
    signal.removeEventListener("abort", kill);
    kill();
    await process.exited;
  }
}

type Begun = { connection: Connection; process: CloneProcess };

/** Tells a process what it is for. Rejects with why it cannot be that, if it is to say so. */
async function begin(
  { end, process: made }: Blank,
  particulars: Uint8Array,
  certified: boolean,
  {
    connection: link = {},
    descriptors,
    signal,
  }: Pick<CloneOptions, "connection" | "descriptors" | "signal">,
  graceMs: number,
): Promise<Begun> {
  const connection = unattached("clone", link);
  attachSocket(connection, end, link);
  try {
    if (!certified) {
      connection.send(particulars, descriptors === undefined ? {} : { descriptors });
      connection.opened();
      return { connection, process: await abortable(made, signal) };
    }
    const asked = connection.request(particulars, {
      ...(descriptors === undefined ? {} : { descriptors }),
      timeout: beginTimeoutMs,
      signal,
    });
    // The one that fails first says why; the other follows.
    const [process, answer] = await Promise.all([made, asked]);
    const certificate = readCertificate(answer.copy().bytes);
    if (certificate.code === 0) {
      connection.opened();
      return { connection, process };
    }
    throw zygoteErrorOf(certificate.code, "the limits of the clone", certificate);
  } catch (error) {
    await connection.close({ now: true });
    void made.then(
      (one) => insist(one, graceMs),
      () => undefined,
    );
    throw error;
  }
}

async function abortable<Value>(promise: Promise<Value>, signal?: AbortSignal): Promise<Value> {
  if (signal === undefined) return await promise;
  const aborted = Promise.withResolvers<never>();
  const abort = () => aborted.reject(signal.reason);
  signal.addEventListener("abort", abort);
  try {
    return await Promise.race([promise, aborted.promise]);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}
