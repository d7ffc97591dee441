/** The module of which clones are made. */

import type { Connection } from "../ipc/connection.ts";
import type { Descriptor } from "../ipc/descriptor.ts";
import { IpcError } from "../native/errors.ts";

/** What came with a clone. */
export type CloneStart<Arguments = unknown> = {
  /** Those that were given to `clone`, now this process's own. */
  descriptors: Descriptor[];
  arguments: Arguments;
};

/**
 * What a module exports so that it can be cloned.
 *
 * @example
 * const words = new Map<string, number>();
 * export function warm() { for (const [index, word] of load().entries()) words.set(word, index); }
 * export async function serve(connection) {
 *   for await (const message of connection) connection.send(String(words.get(message.text())));
 * }
 */
export type ServiceModule = {
  /** Runs once, before the first clone is made. What it leaves behind is what every clone has from the beginning. */
  warm?(): void | Promise<void>;
  /**
   * Runs after `warm`, and asks of `serve` what an owner asks first, over a connection like his: so what both of them need
   * is compiled before the first clone is made, and a clone that is made ahead has done it once already when it is taken.
   * It runs a few times. That `serve` is given no arguments and no descriptors, and its connection ends; but no process does,
   * so that what it has changed, or leaves running, as timers, is in each clone.
   *
   * @example
   * export async function rehearse(connection) { await connection.request("a word"); }
   */
  rehearse?(connection: Connection): void | Promise<void>;
  /** Runs in each clone. The clone lives as long as its connection does. */
  serve(connection: Connection, start: CloneStart): void | Promise<void>;
};

/** Throws EMODULE, with what is wrong, and where. */
export async function loadModule(path: string): Promise<ServiceModule> {
  const module = await load(path);
  if (typeof module["serve"] !== "function")
    throw fault(path, "exports no function serve(connection, { descriptors, arguments })");
  for (const name of ["warm", "rehearse"]) {
    if (module[name] === undefined || typeof module[name] === "function") continue;
    throw fault(path, `exports a ${name} that is no function; leave it out, or make it one`);
  }
  return module as unknown as ServiceModule;
}

async function load(path: string): Promise<Record<string, unknown>> {
  try {
    return (await import(path)) as Record<string, unknown>;
  } catch (cause) {
    throw fault(path, `could not be imported: ${told(cause)}`, cause);
  }
}

/** Throws EMODULE if what runs in `part` of it throws. */
export async function tried(
  path: string,
  part: string,
  run: () => void | Promise<void>,
): Promise<void> {
  try {
    await run();
  } catch (cause) {
    throw fault(path, `failed in ${part}: ${told(cause)}`, cause);
  }
}

export function fault(path: string, what: string, cause?: unknown): IpcError {
  return new IpcError("EMODULE", `EMODULE: ${path} ${what}`, { path, cause });
}

/** More of it would not be read. */
const toldMax = 4096;

/** Anything can be thrown, and not all of it can be made a string. */
function told(error: unknown): string {
  try {
    return textOf(error).slice(0, toldMax);
  } catch {
    return "what was thrown cannot be shown";
  }
}

function textOf(error: unknown): string {
  if (error instanceof Error) return `${error.name}: ${error.message}`;
  return typeof error === "string" ? error : Bun.inspect(error);
}
