/** Forks, and what is done to them and by them: a shape of libearshot-zygote. */

import { zygoteLibrary } from "./library.ts";
import { Struct } from "./struct.ts";
import { zygoteErrorOf } from "./zygote-errors.ts";
import {
  orphans as orphanKinds,
  reportKinds,
  ZygoteCertificate,
  ZygoteClone,
  ZygoteLimits,
  ZygoteReport,
  ZygoteRequest,
  ZygoteSettings,
} from "./zygote-layout.ts";

export type Orphans = keyof typeof orphanKinds;

/** What a clone gives up before it begins. */
export type NativeLimits = {
  memoryBytes?: number | undefined;
  cpuSeconds?: number | undefined;
  files?: number | undefined;
  uid?: number | undefined;
  gid?: number | undefined;
  noNewPrivileges?: boolean | undefined;
  noNetwork?: boolean | undefined;
};

export type Certificate = { code: number; errno: number; syscall: number; pid: number };

export type Report =
  | { kind: "forked"; id: number; pid: number }
  | { kind: "failed"; id: number; code: number; errno: number; syscall: number }
  | { kind: "ended"; id: number; code: number | null; signal: number };

function checked(result: number, what: string): number {
  if (result >= 0) return result;
  throw zygoteErrorOf(result, what);
}

const namesBytes = 4096;

/** The names of the threads of this process besides the one that asks. Throws ENOTSUP where that cannot be told. */
export function otherThreads(): string[] {
  const names = new Uint8Array(namesBytes);
  const count = checked(
    zygoteLibrary().calls.earshot_zygote_threads(names, namesBytes),
    "the threads of the process",
  );
  const text = new TextDecoder().decode(names.subarray(0, Math.max(0, names.indexOf(0))));
  const found = text.split("\n").filter((name) => name !== "");
  while (found.length < count) found.push("?");
  return found;
}

/** A pipe: the end to read from, and the one to write to. */
export function lifeline(): [number, number] {
  const ends = new Int32Array(2);
  checked(zygoteLibrary().calls.earshot_zygote_lifeline(ends), "a pipe");
  return [ends[0]!, ends[1]!];
}

/** Has this process killed when its parent ends; with 0 not any more. False if that has ended already. */
export function follow(parent: number): boolean {
  return checked(zygoteLibrary().calls.earshot_zygote_follow(parent), "the parent") === 1;
}

/** Has this process killed when nobody holds the other end of a lifeline any more. */
export function attach(end: number): void {
  checked(zygoteLibrary().calls.earshot_zygote_attach(end), "the lifeline");
}

export type ZygoteOptions = {
  control: number;
  lifeline: number;
  graceMs: number;
  orphans: Orphans;
  /** Both ends of a socket pair, which each clone has anew under the same numbers. */
  pair: readonly [number, number];
};

/** What a clone is told of itself: its end of its connection, and whether it was forked before it is known what for. */
export type Fork = { connection: number; pid: number; ahead: boolean };

/**
 * Forks for each request of the owner. Returns what it is, in a clone; undefined when the owner is gone, and all clones are.
 */
export function serveForks(options: ZygoteOptions): Fork | undefined {
  const settings = new Struct(ZygoteSettings)
    .set("control", options.control)
    .set("lifeline", options.lifeline)
    .set("grace_ns", options.graceMs * 1e6)
    .set("orphans", orphanKinds[options.orphans])
    .set("near", options.pair[0])
    .set("far", options.pair[1]);
  const clone = new Struct(ZygoteClone);
  const { earshot_zygote_serve: serve } = zygoteLibrary().calls;
  if (checked(serve(settings.bytes, clone.bytes), "the zygote") === 0) return undefined;
  return {
    connection: clone.get("connection"),
    pid: clone.get("pid"),
    ahead: clone.get("ahead") === 1,
  };
}

/** Waits until all bytes are taken. False when the other side has ended. */
export function writeBytes(descriptor: number, bytes: Uint8Array): boolean {
  const { earshot_zygote_write: write } = zygoteLibrary().calls;
  return checked(write(descriptor, bytes, bytes.length), "writing") === 1;
}

/** Gives it up, and returns what is to be told of that. */
export function applyLimits(limits: NativeLimits): Uint8Array {
  const given = new Struct(ZygoteLimits)
    .set("memory_bytes", limits.memoryBytes ?? -1)
    .set("cpu_seconds", limits.cpuSeconds ?? -1)
    .set("files", limits.files ?? -1)
    .set("uid", limits.uid ?? -1)
    .set("gid", limits.gid ?? -1)
    .set("no_new_privileges", limits.noNewPrivileges === true ? 1 : 0)
    .set("no_network", limits.noNetwork === true ? 1 : 0);
  const certificate = new Struct(ZygoteCertificate);
  zygoteLibrary().calls.earshot_zygote_limit(given.bytes, certificate.bytes);
  return certificate.bytes;
}

export function readCertificate(bytes: Uint8Array): Certificate {
  const certificate = new Struct(ZygoteCertificate, bytes);
  return {
    code: certificate.get("code"),
    errno: certificate.get("errno_value"),
    syscall: certificate.get("syscall"),
    pid: certificate.get("pid"),
  };
}

/** What is sent to a zygote with one end of a pair. */
export function requestOf(id: number, ahead: boolean): Uint8Array {
  return new Struct(ZygoteRequest).set("id", id).set("ahead", ahead ? 1 : 0).bytes;
}

/** Undefined for what is none. */
export function readReport(bytes: Uint8Array): Report | undefined {
  if (bytes.length !== ZygoteReport.size) return undefined;
  const report = new Struct(ZygoteReport, bytes);
  const id = report.get("id");
  switch (report.get("kind")) {
    case reportKinds.forked:
      return { kind: "forked", id, pid: report.get("pid") };
    case reportKinds.failed:
      return {
        kind: "failed",
        id,
        code: report.get("code"),
        errno: report.get("errno_value"),
        syscall: report.get("syscall"),
      };
    case reportKinds.ended: {
      const code = report.get("code");
      return { kind: "ended", id, code: code < 0 ? null : code, signal: report.get("signal") };
    }
    default:
      return undefined;
  }
}

/** A descriptor for a process, which cannot be mistaken for a later one of its number. Undefined where there is none. */
export function openProcess(pid: number): number | undefined {
  const result = zygoteLibrary().calls.earshot_zygote_process(pid);
  return result < 0 ? undefined : result;
}

/** Sends a process a signal. False if it has ended. */
export function signalProcess(descriptor: number, signal: number): boolean {
  const result = zygoteLibrary().calls.earshot_zygote_signal(descriptor, signal);
  const error = result < 0 ? zygoteErrorOf(result, `signal ${signal}`) : undefined;
  if (error === undefined) return true;
  if (error.code === "ECLOSED") return false;
  throw error;
}
