/** What is in the memory of a copy, as root sees it: a secret while it is kept plain, and no trace of it else. */

import { expect, test } from "bun:test";
import { closeSync, openSync, readFileSync, readSync } from "node:fs";
import { canCount } from "../../kit/census.ts";
import { leaveNoCommand } from "../../kit/command.ts";
import { leaveNoTrace } from "../../kit/no-trace.ts";
import { bytes, started } from "./stage.ts";

leaveNoTrace();
leaveNoCommand();

// Elsewhere pages may be larger.
const isSeen = test.if(canCount && process.getuid!() === 0 && process.arch === "x64");
const pageBytes = 4096;
const entryBytes = 8;

/** How often `wanted` is in what a process has written to. */
function occurrences(pid: number, wanted: Uint8Array): number {
  const memory = openSync(`/proc/${pid}/mem`, "r");
  let count = 0;
  try {
    for (const [from, to] of presentIn(pid)) {
      const room = Buffer.alloc(to - from);
      const found = room.subarray(0, readAt(memory, room, from));
      for (let at = found.indexOf(wanted); at >= 0; at = found.indexOf(wanted, at + 1)) count += 1;
    }
    return count;
  } finally {
    closeSync(memory);
  }
}

function readAt(descriptor: number, room: Uint8Array, at: number): number {
  try {
    return readSync(descriptor, room, 0, room.length, at);
  } catch {
    // Guard pages and the like.
    return 0;
  }
}

/** The parts of its memory that it may write to and that are there, of which most of what is mapped is not. */
function presentIn(pid: number): [from: number, to: number][] {
  const pages = openSync(`/proc/${pid}/pagemap`, "r");
  const maps = readFileSync(`/proc/${pid}/maps`, "utf8").matchAll(/^([0-9a-f]+)-([0-9a-f]+) rw/gm);
  const parts: [number, number][] = [];
  for (const [, from, to] of maps) {
    const begin = Number.parseInt(from!, 16) / pageBytes;
    const end = Number.parseInt(to!, 16) / pageBytes;
    const entries = Buffer.alloc(entryBytes * (end - begin));
    readAt(pages, entries, entryBytes * begin);
    for (let page = begin; page < end; page++) {
      // Present, or swapped out: the two highest bits (pagemap.rst of the kernel).
      if (entries[entryBytes * (page - begin) + entryBytes - 1]! < 0x40) continue;
      const last = parts.at(-1);
      if (last?.[1] === page * pageBytes) last[1] += pageBytes;
      else parts.push([page * pageBytes, (page + 1) * pageBytes]);
    }
  }
  closeSync(pages);
  return parts;
}

/** As it comes from the keyboard of nobody. */
function secretOf(length: number): Uint8Array {
  return crypto.getRandomValues(new Uint8Array(length));
}

isSeen("what is kept plain is there once, and nowhere when it is deleted or replaced", async () => {
  await using stage = await started();
  for (const length of [32, 5000, 300_000]) {
    using passwords = await stage.open();
    const [pid] = stage.copies().slice(-1);
    const [first, second] = [secretOf(length), secretOf(length)];
    passwords.set(bytes("a"), first);
    passwords.get(bytes("a"));
    // The test looks: what it should find it does.
    expect(occurrences(pid!, first)).toBe(1);
    passwords.set(bytes("a"), second);
    expect([occurrences(pid!, first), occurrences(pid!, second)]).toEqual([0, 1]);
    passwords.delete(bytes("a"));
    expect(occurrences(pid!, second)).toBe(0);
    passwords.close();
    await stage.hasCopies(0);
  }
});

isSeen("what is sealed is not there, and neither is the key to it", async () => {
  await using stage = await started();
  using passwords = await stage.open();
  const [pid] = stage.copies();
  const sealKey = secretOf(32);
  const plain = secretOf(40);
  passwords.set(bytes("before"), plain);
  passwords.seal(sealKey);
  expect(occurrences(pid!, plain)).toBe(0);
  for (const length of [32, 5000, 300_000]) {
    const secret = secretOf(length);
    passwords.set(bytes("a"), secret);
    expect(Buffer.compare(passwords.get(bytes("a")), secret)).toBe(0);
    expect([occurrences(pid!, secret), occurrences(pid!, sealKey)]).toEqual([0, 0]);
  }
});
