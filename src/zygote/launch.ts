/** Starts a process that warms a module up, and hears whether that went well. */

import { extname, join } from "node:path";
import { connect } from "../ipc/connect.ts";
import type { Connection } from "../ipc/connection.ts";
import type { Descriptor } from "../ipc/descriptor.ts";
import { loop } from "../ipc/loop.ts";
import type { Message } from "../ipc/message.ts";
import type { IpcErrorCode } from "../native/errors.ts";
import { IpcError } from "../native/errors.ts";
import type { Settings } from "./settings.ts";
import { formerEnvironment, threadless } from "./settings.ts";
import type { Word } from "./word.ts";
import { readWord } from "./word.ts";

export type Launched = {
  readonly process: Bun.Subprocess;
  readonly control: Connection;
  /** How long the module took. */
  readonly warmMs: number;
};

export type LaunchOptions = Omit<Settings, "owner" | "environment"> & {
  environment: Record<string, string> | undefined;
  startTimeoutMs: number;
  signal: AbortSignal;
};

type Hear = (message: Message) => void;

/**
 * `given` follow the control socket, from 4 on, and stay the caller's. What comes on that socket once all is ready goes to
 * `hear`. Rejects with EMODULE if the module is no good, ETIMEDOUT if it takes too long.
 */
export async function launch(
  options: LaunchOptions,
  given: readonly Descriptor[],
  hear: Hear,
): Promise<Launched> {
  const { startTimeoutMs, signal, environment, ...rest } = options;
  signal.throwIfAborted();
  const [ours, theirs] = loop().context.pair();
  const word = Promise.withResolvers<Word>();
  let process: Bun.Subprocess;
  try {
    process = spawn(
      { ...rest, owner: globalThis.process.pid, environment: formerEnvironment() },
      [theirs, ...given],
      environment,
    );
  } catch (cause) {
    ours.close();
    throw new IpcError(
      "EAGAIN",
      `EAGAIN: the process of ${options.module} could not be started: ${cause}`,
      {
        cause,
      },
    );
  } finally {
    theirs.close();
  }
  const control = await connect("zygote", {
    descriptor: ours,
    descriptors: { max: 1 },
    message(_, message) {
      const said = readWord(message.bytes);
      if (said === undefined) hear(message);
      else word.resolve(said);
    },
  });
  try {
    const said = await firstWord(word.promise, process, control, options);
    if (said.kind === "fault") throw faultOf(said, options.module);
    return { process, control, warmMs: said.warmMs };
  } catch (error) {
    process.kill("SIGKILL");
    await control.close({ now: true });
    await process.exited;
    throw error;
  }
}

function spawn(
  settings: Settings,
  descriptors: readonly Descriptor[],
  environment: Record<string, string> | undefined,
): Bun.Subprocess {
  return Bun.spawn({
    cmd: [process.execPath, entryPath(), JSON.stringify(settings)],
    env: { ...process.env, ...environment, ...(settings.mode === "fork" ? threadless : {}) },
    stdio: ["ignore", "inherit", "inherit", ...descriptors.map(({ number }) => number)],
  });
}

/** Beside this file, in the repository and in the package. Throws ENOTSUP in a program of one file, which has none. */
function entryPath(): string {
  if (!import.meta.dir.startsWith("/$bunfs")) {
    return join(import.meta.dir, `entry${extname(import.meta.path)}`);
  }
  throw new IpcError(
    "ENOTSUP",
    "ENOTSUP: a program that was built into one file (bun build --compile) holds no program for a zygote; run it by bun",
  );
}

async function firstWord(
  word: Promise<Word>,
  process: Bun.Subprocess,
  control: Connection,
  { module, startTimeoutMs, signal }: LaunchOptions,
): Promise<Word> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    const text = `ETIMEDOUT: ${module} was not warm after ${startTimeoutMs} ms; give it longer (startTimeout)`;
    late.reject(new IpcError("ETIMEDOUT", text, { path: module }));
  }, startTimeoutMs);
  const abort = () => late.reject(signal.reason);
  signal.addEventListener("abort", abort);
  const ended = process.exited.then(async () => {
    // What it had to say may still be on its way; what it has started may hold the other end open.
    await Promise.race([control.ended, Bun.sleep(graceForWordsMs)]);
    const how = process.signalCode ?? `code ${process.exitCode}`;
    const text = `EMODULE: ${module} ended its process while it was warmed up (${how}); it must do that in a clone at the earliest`;
    throw new IpcError("EMODULE", text, { path: module });
  });
  try {
    return await Promise.race([word, ended, late.promise]);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", abort);
    late.promise.catch(() => undefined);
    ended.catch(() => undefined);
  }
}

const graceForWordsMs = 1000;

function faultOf(word: Word & { kind: "fault" }, path: string): IpcError {
  const cause = word.stack === undefined ? undefined : new Error(word.stack);
  return new IpcError(word.code as IpcErrorCode, word.message, { path, cause });
}
