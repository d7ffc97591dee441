/** Where services are found, and what is found there. */

import { readdirSync } from "node:fs";
import { join, resolve } from "node:path";
import type { Subject } from "../native/errors.ts";
import { errorOf } from "../native/errors.ts";
import { Failure, Inspection, inspectionStates } from "../native/layout.ts";
import { ipcLibrary } from "../native/library.ts";
import { Struct } from "../native/struct.ts";
import { bytesOf } from "./message.ts";
import { textOf } from "./numbers.ts";

/** More than any path that a socket can have, so that one which is too long can be shown. */
const pathBytesMax = 4096;
const noFailure = { errno: 0, syscall: 0, detail: 0 };

/** Text for a native call: never without memory, and its length apart. */
export function nativeText(text: string): [bytes: Uint8Array, length: number] {
  const bytes = bytesOf(text);
  return bytes.length === 0 ? [new Uint8Array(1), 0] : [bytes, bytes.length];
}

/**
 * The run directory: `option` if given, else EARSHOT_RUNDIR, else RUNDIR, else `$XDG_RUNTIME_DIR/earshot`, else
 * `/tmp/earshot-UID`. A variable that is empty counts as unset; a relative `option` is taken from the working directory.
 */
export function runDirectory(option?: string): string {
  const path = new Uint8Array(pathBytesMax);
  const length = ipcLibrary().calls.earshot_ipc_run_directory(
    ...nativeText(option === undefined || option === "" ? "" : resolve(option)),
    ...nativeText(process.env["EARSHOT_RUNDIR"] ?? ""),
    ...nativeText(process.env["RUNDIR"] ?? ""),
    ...nativeText(process.env["XDG_RUNTIME_DIR"] ?? ""),
    path,
    path.length,
  );
  if (length < 0) throw errorOf(length, noFailure, { path: option });
  return new TextDecoder().decode(path.subarray(0, length));
}

/** What is found at a name. */
export type Found = {
  name: string;
  /**
   * `live`: served; `stale`: its owner is gone; `foreign`: served by a program that keeps no lock;
   * `unknown`: we lack the permission to find out.
   */
  state: (typeof inspectionStates)[number];
  /** The owner's process, 0 where it cannot be told. */
  pid: number;
  /** The user whose socket it is. */
  uid: number;
  path: string;
  /** Whether it offers shared memory as well. */
  memory: boolean;
};

export type RunDirectoryOptions = {
  rundir?: string | undefined;
  /** Accept a run directory that others use as well: the own user's or root's, and sticky if others may write. */
  shared?: boolean | undefined;
};

/** How it stands with one service. Throws ENOENT if nothing has that name. A live one notices nothing. */
export function inspect(name: string, options: RunDirectoryOptions = {}): Found {
  textOf("name", name);
  const path = runDirectory(options.rundir);
  const { found, error } = look(path, name, options, { service: name, path });
  if (error !== undefined) throw error;
  const pid = found.get("pid");
  return {
    name,
    state: stateOf(found),
    pid,
    uid: found.get("uid") >>> 0,
    path: join(path, name),
    memory: offersMemory(path, name, options, pid),
  };
}

function stateOf(found: Struct<typeof Inspection>): Found["state"] {
  return inspectionStates[found.get("state")]!;
}

/** It is its owner who does. */
function offersMemory(
  directory: string,
  name: string,
  options: RunDirectoryOptions,
  pid: number,
): boolean {
  const { found, error } = look(directory, name + memoryEnding, options, {});
  return error === undefined && stateOf(found) === "live" && found.get("pid") === pid;
}

function look(directory: string, name: string, options: RunDirectoryOptions, subject: Subject) {
  const found = new Struct(Inspection);
  const failure = new Struct(Failure);
  const result = ipcLibrary().calls.earshot_ipc_inspect(
    ...nativeText(directory),
    options.shared === true ? 1 : 0,
    ...nativeText(name),
    found.bytes,
    failure.bytes,
  );
  if (result >= 0) return { found, error: undefined };
  const said = {
    errno: failure.get("errno"),
    syscall: failure.get("syscall"),
    detail: failure.get("detail"),
  };
  return { found, error: errorOf(result, said, subject) };
}

/** What follows a name where its owner offers to be taken over (`takeover.ts`). */
export const takeoverEnding = ".takeover";

/** What follows a name where its owner offers shared memory (`transport.ts`). */
export const memoryEnding = ".memory";

/**
 * Every service in the run directory, by name; where one offers to be taken over, or shared memory, that is none of its
 * own. A directory that does not exist holds none; one that breaks a rule throws, as it would for a service in it.
 */
export function list(options: RunDirectoryOptions = {}): Found[] {
  const directory = runDirectory(options.rundir);
  check(directory, options);
  const all = new Set(names(directory));
  const isOffer = (name: string) =>
    [takeoverEnding, memoryEnding].some(
      (ending) => name.endsWith(ending) && all.has(name.slice(0, -ending.length)),
    );
  return [...all]
    .filter((name) => !isOffer(name))
    .map((name) => inspectIfThere(name, options))
    .filter((found) => found !== undefined);
}

/** The directory is judged before the name; asking for what is no name looks at nothing else. */
function check(path: string, options: RunDirectoryOptions): void {
  const { error } = look(path, ".", options, { path });
  if (error !== undefined && error.code !== "ENAME" && error.code !== "ENOENT") throw error;
}

function names(directory: string): string[] {
  try {
    return readdirSync(directory, { withFileTypes: true })
      .filter((entry) => entry.isSocket())
      .map((entry) => entry.name)
      .sort();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}

/** A service may go, and a socket may have a name that is none of ours. */
function inspectIfThere(name: string, options: RunDirectoryOptions): Found | undefined {
  try {
    return inspect(name, options);
  } catch (error) {
    const { code } = error as { code?: string };
    if (code === "ENOENT" || code === "ENAME" || code === "EEXIST") return undefined;
    throw error;
  }
}
