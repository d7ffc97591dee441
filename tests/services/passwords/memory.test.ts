/** What is in the memory of a copy, as root sees it: a secret while it is kept plain, and no trace of it else. */

import { expect, test } from "bun:test";
import { closeSync, openSync, readFileSync, readSync, writeFileSync } from "node:fs";
import { canCount } from "../../kit/census.ts";
import { leaveNoCommand } from "../../kit/command.ts";
import { leaveNoTrace } from "../../kit/no-trace.ts";
import { Scratch } from "../../kit/scratch.ts";
import { until } from "../../kit/until.ts";
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

/** Waits until each of them is there so often: a copy overwrites what it has answered when the answer is on its way. */
async function holds(pid: number, wanted: readonly Uint8Array[], counts: readonly number[]) {
  let found: number[] = [];
  await until(
    () => `it is there ${counts.join(", ")} times; it is ${found.join(", ")} times`,
    () => {
      found = wanted.map((one) => occurrences(pid, one));
      return Bun.deepEquals(found, counts);
    },
  );
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
    await holds(pid!, [first], [1]);
    passwords.set(bytes("a"), second);
    await holds(pid!, [first, second], [0, 1]);
    passwords.delete(bytes("a"));
    await holds(pid!, [second], [0]);
    passwords.close();
    await stage.hasCopies(0);
  }
});

/** Files, each with what is looked for of it. */
const files: Record<string, (word: (length: number) => string) => Record<string, string>> = {
  "one short text": (word) => ({ a: word(16) }),
  "many short texts": (word) =>
    Object.fromEntries(Array.from({ length: 100 }, (_, index) => [`key ${index}`, word(30)])),
  "long texts": (word) =>
    Object.fromEntries(Array.from({ length: 20 }, (_, index) => [`key ${index}`, word(5000)])),
  "one long text": (word) => ({ a: word(1_000_000) }),
  "texts with escapes": (word) => ({ a: `${word(20)}\n`, b: `é\u{1f511}${word(3000)}"` }),
};

for (const [name, make] of Object.entries(files)) {
  isSeen(`of ${name} in --state there is what is kept, once, and no text of it`, async () => {
    using scratch = new Scratch();
    const state = scratch.join("state.json");
    const entries = make((length) => Buffer.from(secretOf(length / 2)).toString("hex"));
    writeFileSync(state, JSON.stringify(entries));
    await using stage = await started("--state", state);
    using passwords = await stage.open();
    const [copy] = stage.copies();
    const { daemon, zygote } = stage;
    const all = Object.entries(entries);
    for (const [key, secret] of new Map([...all.slice(0, 2), ...all.slice(-1)])) {
      const word = /[0-9a-f]{16,}/.exec(secret)![0];
      // In two bytes a character it would be where some character of a text needs them.
      const [kept, wide] = [bytes(word), Buffer.from(word, "utf16le")];
      await holds(zygote, [kept, wide], [1, 0]);
      await holds(copy!, [kept], [1]);
      passwords.delete(bytes(key));
      await holds(copy!, [kept, wide], [0, 0]);
      await holds(daemon.pid, [kept], [0]);
    }
  });
}

isSeen("of bytes in --state there is no base64, and they are there once", async () => {
  using scratch = new Scratch();
  const state = scratch.join("state.json");
  const secrets = [30, 3000, 300_000].map((length) => Buffer.from(secretOf(length)));
  const items = secrets.map((secret) => [secret.length, { base64: secret.toString("base64") }]);
  writeFileSync(state, JSON.stringify(Object.fromEntries(items)));
  await using stage = await started("--state", state);
  for (const secret of secrets) {
    await holds(stage.zygote, [secret, bytes(secret.toString("base64"))], [1, 0]);
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
  await holds(pid!, [plain], [0]);
  for (const length of [32, 5000, 300_000]) {
    const secret = secretOf(length);
    passwords.set(bytes("a"), secret);
    expect(Buffer.compare(passwords.get(bytes("a")), secret)).toBe(0);
    await holds(pid!, [secret, sealKey], [0, 0]);
  }
});
