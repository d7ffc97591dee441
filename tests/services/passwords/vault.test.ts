/** A vault: what it keeps, who may read it, and that nothing ever destroys one. */

import { expect, test } from "bun:test";
import {
  chmodSync,
  chownSync,
  linkSync,
  mkdirSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { deriveKeys, newSalt } from "../../../src/services/passwords/derive.ts";
import {
  decodeVault,
  encodeVault,
  Vault,
  VaultError,
} from "../../../src/services/passwords/vault.ts";
import { hexOf, unhex } from "../../kit/bytes.ts";
import { run } from "../../kit/command.ts";
import { leaveNoTrace } from "../../kit/no-trace.ts";
import { Random } from "../../kit/random.ts";
import { Scratch } from "../../kit/scratch.ts";
import vectors from "../../vectors/passwords.json";

leaveNoTrace();

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

test("what somebody else has written meanwhile stays", () => {
  using scratch = new Scratch();
  const path = scratch.join("vault");
  written(path);
  using one = Vault.open(path, passphrase);
  using other = Vault.open(path, passphrase);
  other.save(new Map([["theirs", Uint8Array.of(1)]]));
  const bytes = readFileSync(path);
  expect(fault(() => one.save(new Map()))).toMatch(/written, moved or removed by somebody else/);
  expect(hexOf(readFileSync(path))).toBe(hexOf(bytes));
  renameSync(path, scratch.join("moved"));
  expect(fault(() => other.save(new Map()))).toMatch(/written, moved or removed/);
  using fresh = Vault.open(path, passphrase);
  linkSync(scratch.join("moved"), path);
  expect(fault(() => fresh.save(new Map()))).toMatch(/written, moved or removed/);
  expect(scratch.entries()).toEqual(["moved", "vault"]);
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
