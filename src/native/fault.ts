/** Why a file cannot be loaded into this process as a library: what was found, and what was expected instead. */

import type { Binary } from "./binary.ts";
import { readBinary } from "./binary.ts";
import { linuxLibc } from "./platforms.ts";

/** What a process can load. */
export type Host = Pick<Binary, "format" | "cpu" | "libc">;

/** What this one can. */
export function host(): Host {
  const { platform, arch } = process;
  return {
    format: platform === "darwin" ? "Mach-O" : "ELF",
    cpu: arch,
    libc: platform === "linux" ? linuxLibc() : platform === "freebsd" ? "FreeBSD" : undefined,
  };
}

/** What follows the file's name in a sentence; undefined if all is well. */
export function faultOf(bytes: Uint8Array, { format, cpu, libc }: Host): string | undefined {
  if (bytes.length === 0) return `is empty, and should be a shared library (${format})`;
  const found = readBinary(bytes);
  if (found === undefined) {
    return (
      `is no whole shared library of 64 bits (${format}): it has ${bytes.length} bytes ` +
      `and begins with ${beginning(bytes)}`
    );
  }
  if (found.format !== format) return `is of the format ${found.format}, and should be ${format}`;
  if (found.cpu !== cpu) return `is built for ${found.cpu}, and this process runs on ${cpu}`;
  if (!found.loadable) return `is ${format}, but no shared library`;
  if (bytes.length < found.bytesNeeded) {
    return `was cut short: it has ${bytes.length} bytes, and its headers speak of ${found.bytesNeeded}`;
  }
  if (found.libc !== undefined && libc !== undefined && found.libc !== libc) {
    return `is built for ${found.libc}'s libc, and this process runs on ${libc}'s`;
  }
  return undefined;
}

function beginning(bytes: Uint8Array): string {
  return [...bytes.subarray(0, 4)].map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
}
