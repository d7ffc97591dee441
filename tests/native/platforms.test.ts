/** The platforms that have packages are those that the libraries are built for, and this one is found among them. */

import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { linuxLibc, packageName, platformName, platforms } from "../../src/native/platforms.ts";

const zig = readFileSync(join(import.meta.dir, "..", "..", "zig", "build.zig"), "utf8");

test("they are those that `zig build cross` builds for", () => {
  const [, list] = /const platforms = \[_\]\[\]const u8\{(.*?)\};/s.exec(zig)!;
  const targets = [...list!.matchAll(/"(.*?)"/g)].map(([, target]) => target!);
  expect(platforms.map(({ target }) => target).sort()).toEqual(targets.sort());
});

test("each has a name of its own, which says what it is", () => {
  expect(new Set(platforms.map(({ name }) => packageName(name))).size).toBe(platforms.length);
  for (const { name, os, cpu, libc } of platforms) {
    const endings = { glibc: "-gnu", musl: "-musl" };
    expect(name).toBe(`${os}-${cpu}${libc === undefined ? "" : endings[libc]}`);
  }
});

test("this one is the one that the process runs on", () => {
  const found = platforms.find(({ name }) => name === platformName());
  expect(found).toMatchObject({ os: process.platform, cpu: process.arch });
});

test.skipIf(process.platform !== "linux")("the libc is the one that is mapped", () => {
  const maps = readFileSync("/proc/self/maps", "utf8");
  expect(linuxLibc()).toBe(/\/(ld-musl|libc\.musl)-/.test(maps) ? "musl" : "glibc");
});
