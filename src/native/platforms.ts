/**
 * The platforms that have a package with the native libraries, and which of them this process runs on. A row here and a
 * target in `zig/build.zig` are all that a new one needs.
 */

import { closeSync, openSync, readSync } from "node:fs";
import { interpreterOf } from "./binary.ts";

export type Platform = {
  /** Its package is `@earshot/NAME`. */
  readonly name: string;
  readonly os: NodeJS.Platform;
  readonly cpu: NodeJS.Architecture;
  /** As npm calls it, where a system has more than one. */
  readonly libc?: "glibc" | "musl";
  /** As Zig calls it; the glibc is the oldest that Bun runs on. */
  readonly target: string;
  /** How the names of its libraries end. */
  readonly suffix: "so" | "dylib";
};

export const platforms: readonly Platform[] = [
  {
    name: "linux-x64-gnu",
    os: "linux",
    cpu: "x64",
    libc: "glibc",
    target: "x86_64-linux-gnu.2.17",
    suffix: "so",
  },
  {
    name: "linux-arm64-gnu",
    os: "linux",
    cpu: "arm64",
    libc: "glibc",
    target: "aarch64-linux-gnu.2.17",
    suffix: "so",
  },
  {
    name: "linux-x64-musl",
    os: "linux",
    cpu: "x64",
    libc: "musl",
    target: "x86_64-linux-musl",
    suffix: "so",
  },
  {
    name: "linux-arm64-musl",
    os: "linux",
    cpu: "arm64",
    libc: "musl",
    target: "aarch64-linux-musl",
    suffix: "so",
  },
  { name: "darwin-x64", os: "darwin", cpu: "x64", target: "x86_64-macos", suffix: "dylib" },
  { name: "darwin-arm64", os: "darwin", cpu: "arm64", target: "aarch64-macos", suffix: "dylib" },
  { name: "freebsd-x64", os: "freebsd", cpu: "x64", target: "x86_64-freebsd", suffix: "so" },
];

export function packageName(platform: string): string {
  return `@earshot/${platform}`;
}

/** The name of the platform that this process runs on, whether it has a package or not. */
export function platformName(): string {
  const { platform, arch } = process;
  if (platform !== "linux") return `${platform}-${arch}`;
  return `${platform}-${arch}-${linuxLibc() === "musl" ? "musl" : "gnu"}`;
}

let libc: "glibc" | "musl" | undefined;

/**
 * The C library that this process runs on. A machine may have both, so the program itself is asked, which names the
 * loader that it was started with; a program of one file is Bun's own with something behind it.
 */
export function linuxLibc(): "glibc" | "musl" {
  libc ??= interpreterOf(beginning(process.execPath))?.includes("musl") ? "musl" : "glibc";
  return libc;
}

/** Linkers put the name of the loader right behind the headers. */
const beginningBytes = 4096;

function beginning(path: string): Uint8Array {
  const bytes = new Uint8Array(beginningBytes);
  try {
    const descriptor = openSync(path, "r");
    try {
      return bytes.subarray(0, readSync(descriptor, bytes, 0, bytes.length, 0));
    } finally {
      closeSync(descriptor);
    }
  } catch {
    // It was replaced or made unreadable since it was started, and says nothing.
    return bytes.subarray(0, 0);
  }
}
