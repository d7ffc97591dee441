/** A vault: what it keeps, who may read it, and that nothing ever destroys one. */

import { expect, test } from "bun:test";
import {
  chmodSync,
  chownSync,
  closeSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { takeLock } from "../../../src/ipc/file-lock.ts";
import { deriveKeys, newSalt } from "../../../src/services/passwords/derive.ts";
import {
  decodeVault,
  encodeVault,
  Vault,
  VaultError,
} from "../../../src/services/passwords/vault.ts";
import { hexOf, unhex } from "../../kit/bytes.ts";
import { Command, leaveNoCommand, run } from "../../kit/command.ts";
import { leaveNoTrace } from "../../kit/no-trace.ts";
import { Random } from "../../kit/random.ts";
import { Scratch } from "../../kit/scratch.ts";
import { until } from "../../kit/until.ts";
import vectors from "../../vectors/passwords.json";

leaveNoTrace();
leaveNoCommand();

const passphrase = new Uint8Array(Buffer.from("correct horse"));
const cheap = { logN: 4, r: 8, p: 1 };
const entries = new Map([
  ["mail", new Uint8Array(Buffer.from("secret"))],
  ["\0\xff", new Random(1).bytes(1000)],
]);

function shown(found: ReadonlyMap<string, Uint8Array> | undefined) {
  return found && [...found].map(([key, value]) => [key, hexOf(value)]);
}

function written(path: string, what = entries): Uint8Array {
  const salt = newSalt();
  const bytes = encodeVault(deriveKeys(passphrase, salt, cheap).vault, salt, what, cheap);
  writeFileSync(path, bytes, { mode: 0o600 });
  return bytes;
}

function fault(act: () => unknown): string {
  try {
    act();
  } catch (error) {
    if (error instanceof VaultError) return error.message;
    throw error;
  }
  throw new Error("it was taken");
}

for (const { name, passphrase: words, entries: held, bytes } of vectors.vaults) {
  test(`format 1: ${name}`, () => {
    const found = decodeVault("vault", unhex(bytes), Buffer.from(words));
    expect(shown(found.entries)).toEqual(
      held.map(({ key, value }) => [Buffer.from(key, "hex").toString("latin1"), value]),
    );
  });
}

test("a new one is there when something was saved, for its owner alone, and opens again", () => {
  using scratch = new Scratch();
  const path = scratch.join("vault");
  using made = Vault.open(path, passphrase);
  expect(made.entries).toBeUndefined();
  expect(Vault.exists(path)).toBe(false);
  made.save(entries);
  made.save(entries);
  expect(scratch.entries()).toEqual(["vault"]);
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(readFileSync(path).includes("secret")).toBe(false);
  using again = Vault.open(path, passphrase);
  expect(shown(again.entries)).toEqual(shown(entries)!);
  again.save(new Map());
  using empty = Vault.open(path, passphrase);
  expect(shown(empty.entries)).toEqual([]);
});

test("the same entries are never written as the same bytes", () => {
  const salt = newSalt();
  const { vault } = deriveKeys(passphrase, salt, cheap);
  const [one, other] = [1, 2].map(() => encodeVault(vault, salt, entries, cheap));
  expect(hexOf(one!)).not.toBe(hexOf(other!));
});

test("a wrong passphrase is told from damage, and neither changes the file", () => {
  using scratch = new Scratch();
  const path = scratch.join("vault");
  const bytes = written(path);
  expect(fault(() => Vault.open(path, Buffer.from("wrong")))).toBe(
    `${path} does not open with this passphrase; it was left as it is`,
  );
  expect(hexOf(readFileSync(path))).toBe(hexOf(bytes));
});

test("any byte that is another, and any that is missing, is noticed before the passphrase counts", () => {
  using scratch = new Scratch();
  const path = scratch.join("vault");
  const bytes = written(path, new Map([["a", Uint8Array.of(1)]]));
  for (let at = 0; at < bytes.length; at++) {
    const other = Uint8Array.from(bytes);
    other[at]! ^= 0x10;
    expect(fault(() => decodeVault(path, other, passphrase))).toMatch(
      at < 8 ? /is no vault/ : at === 8 ? /is of format 17, and this reads 1/ : /is damaged/,
    );
    expect(fault(() => decodeVault(path, bytes.subarray(0, at), passphrase))).toMatch(
      at < 8 ? /is no vault/ : /is damaged/,
    );
  }
  expect(fault(() => decodeVault(path, Buffer.concat([bytes, bytes]), passphrase))).toMatch(
    /is damaged/,
  );
});

test("one that asks for too much memory is not opened", () => {
  const salt = newSalt();
  const bytes = ([logN, r, p]: readonly [number, number, number]) =>
    encodeVault(new Uint8Array(32), salt, entries, { logN, r, p });
  for (const cost of [
    [30, 8, 1],
    [255, 255, 255],
    [17, 255, 1],
    [0, 8, 1],
    [10, 0, 1],
    [10, 8, 0],
  ] as const) {
    expect(fault(() => decodeVault("vault", bytes(cost), passphrase))).toMatch(
      /asks for more than 512 MiB of memory to be opened, or for none/,
    );
  }
});

test("what others can read, what is a link and what is no file is refused", () => {
  using scratch = new Scratch();
  const path = scratch.join("vault");
  written(path);
  chmodSync(path, 0o640);
  expect(fault(() => Vault.open(path, passphrase))).toMatch(/can be read .* \(mode 0640\)/);
  chmodSync(path, 0o600);
  symlinkSync(path, scratch.join("link"));
  expect(fault(() => Vault.open(scratch.join("link"), passphrase))).toMatch(/is a link/);
  mkdirSync(scratch.join("folder"), 0o700);
  expect(fault(() => Vault.open(scratch.join("folder"), passphrase))).toMatch(/not a plain file/);
  writeFileSync(scratch.join("other"), "something else entirely", { mode: 0o600 });
  expect(fault(() => Vault.open(scratch.join("other"), passphrase))).toMatch(/is no vault/);
  expect(readFileSync(scratch.join("other"), "utf8")).toBe("something else entirely");
});

const byte = (value: number) => Uint8Array.of(value);

function held(path: string) {
  using vault = Vault.open(path, passphrase);
  return Object.fromEntries([...vault.entries!].map(([key, [value]]) => [key, value]));
}

/** Two who have opened the same, which has these entries. */
function twoOf(path: string, what: Record<string, number>): [one: Vault, other: Vault] {
  using made = Vault.open(path, passphrase);
  made.save(new Map(Object.entries(what).map(([key, value]) => [key, byte(value)])));
  return [Vault.open(path, passphrase), Vault.open(path, passphrase)];
}

test("what two have changed is all there, whoever saves last", () => {
  using scratch = new Scratch();
  const path = scratch.join("vault");
  const [one, other] = twoOf(path, { a: 1, b: 2, c: 3, d: 4 });
  one.save(new Map(Object.entries({ a: byte(10), c: byte(3), d: byte(4), e: byte(5) })));
  const others = { a: byte(1), b: byte(2), d: byte(40), f: byte(6) };
  other.save(new Map(Object.entries(others)));
  expect(held(path)).toEqual({ a: 10, d: 40, e: 5, f: 6 });
  // What the other one has put there is not forgotten by who has never seen it.
  other.save(new Map(Object.entries({ ...others, g: byte(7) })));
  one.save(new Map(Object.entries({ a: byte(11), c: byte(3), d: byte(4), e: byte(5) })));
  expect(held(path)).toEqual({ a: 11, d: 40, e: 5, f: 6, g: 7 });
  // Both have done the same.
  other.save(new Map(Object.entries({ a: byte(1), b: byte(2), d: byte(40), f: byte(6) })));
  expect(held(path)).toEqual({ a: 11, d: 40, e: 5, f: 6 });
  for (const vault of [one, other]) vault[Symbol.dispose]();
  expect(scratch.entries()).toEqual(["vault"]);
});

test("where two have changed the same key both are kept, the second in a file of its own", () => {
  using scratch = new Scratch();
  const path = scratch.join("vault");
  for (const [theirs, ours] of [
    [2, 3],
    [2, undefined],
    [undefined, 3],
  ]) {
    const entriesOf = (value: number | undefined, other: number) =>
      new Map([...(value === undefined ? [] : [["a", byte(value)] as const]), ["b", byte(other)]]);
    const [one, other] = twoOf(path, { a: 1, b: 1 });
    one.save(entriesOf(theirs, 1));
    const bytes = readFileSync(path);
    const message = fault(() => other.save(entriesOf(ours, 2)));
    expect(message).toContain(`${path} was left as it is`);
    expect(message).toContain('"a" has been changed by somebody else as well');
    expect(message).toContain(`is in ${path}.1, under the same passphrase`);
    expect(hexOf(readFileSync(path))).toBe(hexOf(bytes));
    expect(statSync(`${path}.1`).mode & 0o777).toBe(0o600);
    expect(held(`${path}.1`)).toEqual({ ...(ours !== undefined && { a: ours }), b: 2 });
    // There it goes on.
    other.save(new Map([["a", byte(9)]]));
    expect(held(`${path}.1`)).toEqual({ a: 9 });
    expect(hexOf(readFileSync(path))).toBe(hexOf(bytes));
    for (const vault of [one, other]) vault[Symbol.dispose]();
    expect(scratch.entries()).toEqual(["vault", "vault.1"]);
    rmSync(`${path}.1`);
    rmSync(path);
  }
});

test("what is there and cannot be opened, and what is not there any more, is left alone", () => {
  using scratch = new Scratch();
  const path = scratch.join("vault");
  const [one, other] = twoOf(path, { a: 1 });
  renameSync(path, scratch.join("moved"));
  expect(fault(() => one.save(new Map([["a", byte(2)]])))).toContain("has been moved or removed");
  expect(scratch.entries()).toEqual(["moved", "vault.1"]);
  // Of others, of the same passphrase with another salt, and nonsense.
  const foreign = encodeVault(new Uint8Array(32), newSalt(), new Map());
  const same = written(path);
  for (const [at, bytes] of [foreign, same, Buffer.from("nonsense")].entries()) {
    writeFileSync(path, bytes, { mode: 0o600 });
    using fresh = Vault.open(scratch.join("moved"), passphrase);
    writeFileSync(scratch.join("moved"), bytes);
    expect(fault(() => fresh.save(new Map([["a", byte(at)]])))).toContain("cannot be put together");
    expect(hexOf(readFileSync(scratch.join("moved")))).toBe(hexOf(bytes));
    expect(held(`${scratch.join("moved")}.${at + 1}`)).toEqual({ a: at });
    using back = Vault.open(`${path}.1`, passphrase);
    back.save(new Map([["a", byte(2)]]));
    writeFileSync(scratch.join("moved"), readFileSync(`${path}.1`));
  }
  // One that two make at once.
  const fresh = [1, 2].map(() => Vault.open(scratch.join("new"), passphrase));
  fresh[0]!.save(new Map([["a", byte(1)]]));
  expect(fault(() => fresh[1]!.save(new Map([["b", byte(2)]])))).toContain("new.1");
  expect([held(scratch.join("new")), held(scratch.join("new.1"))]).toEqual([{ a: 1 }, { b: 2 }]);
  for (const vault of [one, other, ...fresh]) vault[Symbol.dispose]();
});

test("one that was sealed at another cost has what two have changed", () => {
  using scratch = new Scratch();
  const path = scratch.join("vault");
  written(path, new Map([["a", byte(1)]]));
  using one = Vault.open(path, passphrase);
  one.save(new Map([["b", byte(2)]]));
  expect(held(path)).toEqual({ b: 2 });
});

const saver = new URL("programs/saver.ts", import.meta.url).pathname;

test("what many processes save at the same time is all there", async () => {
  using scratch = new Scratch();
  const path = scratch.join("vault");
  written(path, new Map([["there", Uint8Array.of(1)]]));
  // Each opens it before any of them has saved, and then as fast as it can.
  const savers = ["a", "b", "c"].map(
    (name) => new Command([process.execPath, saver, path, name, "40"], { keyboard: true }),
  );
  await using all = new AsyncDisposableStack();
  for (const one of savers) all.use(one);
  for (const one of savers) await one.says("open\n");
  for (const one of savers) one.type("go\n");
  for (const one of savers) {
    const { code, stderr } = await one.whenEnded();
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  }
  using found = Vault.open(path, passphrase);
  expect(found.entries!.size).toBe(1 + 3 * 40);
  expect(scratch.entries()).toEqual(["vault"]);
});

test("whoever is killed while saving harms nothing, and keeps nobody out", async () => {
  using scratch = new Scratch();
  const path = scratch.join("vault");
  written(path);
  for (let round = 0; round < 4; round += 1) {
    await using one = new Command([process.execPath, saver, path, `r${round}-`, "100000"], {
      keyboard: true,
    });
    await one.says("open\n");
    using other = Vault.open(path, passphrase);
    const before = readFileSync(path);
    one.type("go\n");
    await until("it saves", () => !readFileSync(path).equals(before));
    await one.end("SIGKILL");
    other.save(new Map([...entries, ["other", Uint8Array.of(round)]]));
    using again = Vault.open(path, passphrase);
    expect(again.entries!.get("other")).toEqual(Uint8Array.of(round));
    expect(shown(again.entries)).toContainEqual(["mail", hexOf(entries.get("mail")!)]);
    expect(again.entries!.has(`r${round}-0`)).toBe(true);
  }
});

test("whoever comes while another one writes waits for that", async () => {
  using scratch = new Scratch();
  const path = scratch.join("vault");
  written(path);
  await using one = new Command([process.execPath, saver, path, "a", "1"], { keyboard: true });
  await one.says("open\n");
  const descriptor = openSync(path, "r+");
  try {
    expect(takeLock(descriptor)).toBe(true);
    one.type("go\n");
    await until("it has asked for the lock", () => one.stdout.includes("saving\n"));
    await Bun.sleep(50);
    expect(one.stdout).not.toContain("saved");
  } finally {
    closeSync(descriptor);
  }
  expect(await one.whenEnded()).toMatchObject({ code: 0, stderr: "" });
  using found = Vault.open(path, passphrase);
  expect(found.entries!.has("a0")).toBe(true);
});

test("a lock is one descriptor's, and goes with it", () => {
  using scratch = new Scratch();
  const path = scratch.join("file");
  writeFileSync(path, "");
  const [one, other] = [openSync(path, "r+"), openSync(path, "r+")];
  try {
    expect([takeLock(one), takeLock(one), takeLock(other)]).toEqual([true, true, false]);
  } finally {
    closeSync(one);
  }
  expect(takeLock(other)).toBe(true);
  closeSync(other);
  expect(() => takeLock(-1)).toThrow("EINVAL");
});

test("where it cannot be written nothing is left, and the former stays", () => {
  using scratch = new Scratch();
  mkdirSync(scratch.join("folder"));
  const path = scratch.join("folder/vault");
  using vault = Vault.open(path, passphrase);
  renameSync(scratch.join("folder"), scratch.join("gone"));
  expect(fault(() => vault.save(entries))).toContain(
    "could not be written, and is as it was: ENOENT",
  );
  expect(scratch.entries("gone")).toEqual([]);
});

test.skipIf(process.getuid!() !== 0)(
  "a directory that may be written to and not read has it all the same",
  async () => {
    const stranger = 65_534;
    using scratch = new Scratch();
    chmodSync(scratch.path, 0o711);
    const folder = scratch.join("folder");
    mkdirSync(folder);
    chownSync(folder, stranger, stranger);
    chmodSync(folder, 0o300);
    const program = new URL("programs/unreadable.ts", import.meta.url).pathname;
    const words = [process.execPath, program, join(folder, "vault"), String(stranger)];
    const { code, stdout, stderr } = await run(words);
    expect({ code, stdout, stderr }).toEqual({ code: 0, stdout: "saved\n", stderr: "" });
    expect(scratch.entries("folder")).toEqual(["vault"]);
  },
);
