/** Zygotes for tests: all that a test starts is gone at its end. */

import { join } from "node:path";
import { IpcError } from "../../src/index.ts";
import type { Clone, Mode, ZygoteOptions } from "../../src/zygote/index.ts";
import { Zygote } from "../../src/zygote/index.ts";

export const services = join(import.meta.dir, "services");
export const worker = join(services, "worker.ts");

/** Whether forks are to be had here at all. */
export const canFork = process.platform === "linux";
export const modes: readonly Mode[] = canFork ? ["fork", "pool"] : ["pool"];

export function start(mode: Mode, options: Partial<ZygoteOptions> = {}): Promise<Zygote> {
  return Zygote.start({ module: worker, mode, grace: 500, ...options });
}

/** What a clone of `worker.ts` says of itself. */
export type State = {
  words: number;
  warmedBy: number;
  warmedAt: number;
  pid: number;
  ppid: number;
};

/** Has a clone of `worker.ts` do something; rejects with what went wrong there. */
export async function ask<Value>(
  clone: Clone,
  command: string,
  argument?: unknown,
): Promise<Value> {
  const answer = await clone.connection.request(JSON.stringify({ command, argument }));
  const { value, error } = JSON.parse(answer.text()) as { value: Value; error?: string };
  if (error !== undefined) throw new Error(error);
  return value;
}

/** What a promise is rejected with; undefined if it is not. */
export async function failure(promise: Promise<unknown>): Promise<IpcError | undefined> {
  try {
    await promise;
    return undefined;
  } catch (error) {
    if (error instanceof IpcError) return error;
    throw error;
  }
}
