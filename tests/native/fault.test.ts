/** What is found wrong with a file before it is loaded: every way to be cut short, and to be somebody else's. */

import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { interpreterOf, readBinary } from "../../src/native/binary.ts";
import type { Host } from "../../src/native/fault.ts";
import { faultOf, host } from "../../src/native/fault.ts";
import { ipcLibrary } from "../../src/native/library.ts";
import { leaveNoTrace } from "../kit/no-trace.ts";
import { Random } from "../kit/random.ts";

leaveNoTrace();

const built = new Uint8Array(readFileSync(ipcLibrary().path));
const here = host();

test("the library that was built can be loaded here", () => {
  expect(faultOf(built, here)).toBeUndefined();
  expect(readBinary(built)).toMatchObject(here);
});

test("cut anywhere, it is told from a whole one", () => {
  const unnoticed: number[] = [];
  for (let length = 0; length < built.length; length += length < 4096 ? 1 : 61) {
    if (faultOf(built.subarray(0, length), here) === undefined) unnoticed.push(length);
  }
  for (const missing of [1, 2, 8, 63, 64]) {
    const length = built.length - missing;
    if (faultOf(built.subarray(0, length), here) === undefined) unnoticed.push(length);
  }
  expect(unnoticed).toEqual([]);
});

test("what was cut short is told with both lengths", () => {
  expect(faultOf(built.subarray(0, 8192), here)).toBe(
    `was cut short: it has 8192 bytes, and its headers speak of ${readBinary(built)!.bytesNeeded}`,
  );
});

test("an empty file, and one of something else", () => {
  expect(faultOf(new Uint8Array(), here)).toContain("is empty");
  const script = new TextEncoder().encode("#!/bin/sh\n");
  expect(faultOf(script, here)).toContain("has 10 bytes and begins with 23 21 2f 62");
});

test("headers of random bytes do no harm when they are read", () => {
  const random = new Random(20);
  for (let round = 0; round < 5_000; round++) {
    const bytes = built.slice(0, 4096);
    // The magic number stays, so that what follows is looked at.
    for (let count = random.below(40); count >= 0; count--) {
      bytes[4 + random.below(round % 2 === 0 ? 60 : 4092)] = random.below(256);
    }
    readBinary(bytes);
    interpreterOf(bytes);
  }
});

/** An ELF file that is as short as one can be that names its libc, and tells so. */
function elf({ machine = 62, type = 3, libc = "libc.so.6" } = {}): Uint8Array {
  const bytes = new Uint8Array(512);
  const view = new DataView(bytes.buffer);
  const word = (at: number, value: number) => view.setBigUint64(at, BigInt(value), true);
  bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  view.setUint16(16, type, true);
  view.setUint16(18, machine, true);
  word(32, 64); // program headers
  view.setUint16(54, 56, true);
  view.setUint16(56, 3, true);
  const segment = (index: number, kind: number, offset: number, length: number) => {
    const at = 64 + index * 56;
    view.setUint32(at, kind, true);
    word(at + 8, offset);
    word(at + 16, 0x1000 + offset);
    word(at + 32, length);
  };
  segment(0, 1, 0, bytes.length);
  segment(1, 2, 256, 48);
  segment(2, 3, 400, 32);
  word(256, 5); // the strings, by their address
  word(264, 0x1000 + 320);
  word(272, 1); // a library that is needed
  word(280, 1);
  bytes.set(new TextEncoder().encode(libc), 321);
  bytes.set(new TextEncoder().encode("/lib/ld-musl-x86_64.so.1"), 400);
  return bytes;
}

/** A dylib that is a header and one segment. */
function mach({ cpu = 0x0100000c, type = 6, length = 256 } = {}): Uint8Array {
  const bytes = new Uint8Array(length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, 0xfeedfacf, true);
  view.setUint32(4, cpu, true);
  view.setUint32(12, type, true);
  view.setUint32(16, 1, true);
  view.setUint32(20, 72, true);
  view.setUint32(32, 0x19, true);
  view.setUint32(36, 72, true);
  view.setBigUint64(32 + 40, 128n, true);
  view.setBigUint64(32 + 48, 128n, true);
  return bytes;
}

const linux: Host = { format: "ELF", cpu: "x64", libc: "glibc" };
const mac: Host = { format: "Mach-O", cpu: "arm64", libc: undefined };

describe("a library that is another's", () => {
  test("none of these is wrong where it belongs", () => {
    expect(faultOf(elf(), linux)).toBeUndefined();
    expect(faultOf(elf({ libc: "libc.so" }), { ...linux, libc: "musl" })).toBeUndefined();
    expect(faultOf(elf({ libc: "libc.so.7" }), { ...linux, libc: "FreeBSD" })).toBeUndefined();
    expect(faultOf(elf({ libc: "libm.so.6" }), linux)).toBeUndefined();
    expect(faultOf(elf({ machine: 183 }), { ...linux, cpu: "arm64" })).toBeUndefined();
    expect(faultOf(mach(), mac)).toBeUndefined();
  });

  test.each([
    [
      "arm64 on x64",
      elf({ machine: 183 }),
      linux,
      "is built for arm64, and this process runs on x64",
    ],
    ["a processor unknown here", elf({ machine: 243 }), linux, "is built for machine 243"],
    [
      "musl on glibc",
      elf({ libc: "libc.so" }),
      linux,
      "built for musl's libc, and this process runs on glibc's",
    ],
    ["Alpine's musl on glibc", elf({ libc: "libc.musl-x86_64.so.1" }), linux, "built for musl's"],
    ["glibc on musl", elf(), { ...linux, libc: "musl" } as const, "built for glibc's"],
    ["FreeBSD's on Linux", elf({ libc: "libc.so.7" }), linux, "built for FreeBSD's"],
    ["a program", elf({ type: 2 }), linux, "is ELF, but no shared library"],
    ["macOS on Linux", mach(), linux, "is of the format Mach-O, and should be ELF"],
    ["Linux on macOS", elf(), mac, "is of the format ELF, and should be Mach-O"],
    [
      "x64 on arm64 macOS",
      mach({ cpu: 0x01000007 }),
      mac,
      "is built for x64, and this process runs on arm64",
    ],
    ["a program of macOS", mach({ type: 2 }), mac, "is Mach-O, but no shared library"],
    [
      "a dylib cut short",
      mach({ length: 200 }),
      mac,
      "it has 200 bytes, and its headers speak of 256",
    ],
  ] as const)("%s", (_, bytes, host, fault) => {
    expect(faultOf(bytes, host)).toContain(fault);
  });

  test("32 bits, and big end first", () => {
    for (const [at, value] of [
      [4, 1],
      [5, 2],
    ] as const) {
      const bytes = elf();
      bytes[at] = value;
      expect(faultOf(bytes, linux)).toContain("no whole shared library of 64 bits");
    }
  });
});

test("which loader a program asks for", () => {
  expect(interpreterOf(elf())).toBe("/lib/ld-musl-x86_64.so.1");
  expect(interpreterOf(mach())).toBeUndefined();
  expect(interpreterOf(elf().subarray(0, 410))).toBeUndefined();
  expect(interpreterOf(new Uint8Array())).toBeUndefined();
});
