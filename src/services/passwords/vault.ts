/**
 * Keys and values in a file, sealed under a passphrase. Its owner's side keeps it: the service then needs to know neither
 * the file nor the passphrase, and a copy of it still is one of nothing but what its client has told it. Format 1; numbers
 * are big-endian:
 *
 *     "esvault", 0         8 bytes
 *     format               u8, 1
 *     log2 N, r, p         u8 each: of scrypt, by which passphrase and salt make a key
 *     salt                 32 bytes
 *     nonce                24 bytes, anew each time that it is written
 *     box                  secretbox of: u32 length and the key, u32 length and the value, for each
 *     SHA-256              of all before it, by which damage is told from a wrong passphrase
 *
 * It is written beside itself and takes its own place when it is whole and on the disk, so that there always is one, the
 * former or the next.
 */

import { createHash } from "node:crypto";
import { closeSync, fsyncSync, linkSync, openSync, renameSync, unlinkSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { createPrivate, openPrivate, readWhole, writeWhole } from "../../crypto/private-file.ts";
import type { Cost, Keys } from "./derive.ts";
import { cost, deriveKeys, memoryBytes, memoryBytesMax, newSalt, saltBytes } from "./derive.ts";
import { itemBytesMax, storeBytesLimit } from "./format.ts";
import type { Entries } from "./store.ts";
import { keyBytes, keyText, opened, sealed } from "./store.ts";

export const vaultFormat = 1;

const magic = Buffer.from("esvault\0", "latin1");
const costBytes = 4;
const lengthBytes = 4;
const boxOverheadBytes = 24 + 16;
const digestBytes = 32;
const saltAt = magic.length + costBytes;
const boxAt = saltAt + saltBytes;
const fileBytesMin = boxAt + boxOverheadBytes + digestBytes;
/** More than a copy could hold. */
const fileBytesMax = 2 * storeBytesLimit;

/** The message says which file, what is wrong with it and what to do. Nothing was written. */
export class VaultError extends Error {
  override readonly name = "VaultError";
}

type Content = { readonly keys: Keys; readonly salt: Uint8Array; readonly entries: Entries };

export class Vault implements Disposable {
  readonly path: string;
  /** What it held when it was opened, for the caller to overwrite; undefined if there was no file. */
  readonly entries: Entries | undefined;
  readonly #keys: Keys;
  readonly #salt: Uint8Array;
  /** Of what is known to be in the file; undefined while there is none. */
  #digest: Uint8Array | undefined;

  private constructor(path: string, { keys, salt, entries }: Content, digest?: Uint8Array) {
    this.path = path;
    this.#keys = keys;
    this.#salt = salt;
    this.#digest = digest;
    this.entries = digest === undefined ? undefined : entries;
  }

  /** Whether there is one to open, so that whoever makes a new one can be asked twice. */
  static exists(path: string): boolean {
    const bytes = readFile(path);
    return bytes !== undefined;
  }

  /** Throws a VaultError for one that is damaged, of others, or does not open with this passphrase. */
  static open(path: string, passphrase: Uint8Array): Vault {
    const bytes = readFile(path);
    if (bytes === undefined) {
      const salt = newSalt();
      return new Vault(path, { keys: deriveKeys(passphrase, salt), salt, entries: new Map() });
    }
    const content = decodeVault(path, bytes, passphrase);
    return new Vault(path, content, digestOf(bytes));
  }

  /** What a copy seals under. */
  get sessionKey(): Uint8Array {
    return this.#keys.session;
  }

  /** Throws a VaultError; then the file is as it was. */
  save(entries: Entries): void {
    try {
      this.#write(entries);
    } catch (error) {
      if (error instanceof VaultError) throw error;
      const why = error instanceof Error ? error.message : String(error);
      throw new VaultError(`${this.path} could not be written, and is as it was: ${why}`, {
        cause: error,
      });
    }
  }

  #write(entries: Entries): void {
    const bytes = encodeVault(this.#keys.vault, this.#salt, entries);
    const beside = join(
      dirname(this.path),
      `.${basename(this.path)}.${process.pid}.${Buffer.from(newSalt()).toString("hex", 0, 8)}`,
    );
    try {
      const descriptor = createPrivate(beside);
      try {
        writeWhole(descriptor, bytes);
      } finally {
        closeSync(descriptor);
      }
      this.#replace(beside);
    } catch (error) {
      removeQuietly(beside);
      throw error;
    }
    this.#digest = digestOf(bytes);
    this.#keepName();
  }

  /**
   * Until the directory is on the disk too, the file may have its former name after a crash. One that may be written to but
   * not read cannot be waited for.
   */
  #keepName(): void {
    let descriptor: number | undefined;
    try {
      descriptor = openSync(dirname(this.path), "r");
      fsyncSync(descriptor);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "EACCES") return;
      const why = (error as Error).message;
      throw new VaultError(`${this.path} was written, but may not be on the disk yet: ${why}`, {
        cause: error,
      });
    } finally {
      if (descriptor !== undefined) closeSync(descriptor);
    }
  }

  /** Overwrites the keys. */
  [Symbol.dispose](): void {
    this.#keys.session.fill(0);
    this.#keys.vault.fill(0);
  }

  /** Throws a VaultError if somebody else has written there. */
  #replace(beside: string): void {
    if (this.#digest === undefined) {
      try {
        linkSync(beside, this.path);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === "EEXIST") throw this.#changed();
        throw error;
      }
      unlinkSync(beside);
      return;
    }
    const found = readFile(this.path);
    if (found === undefined || !Buffer.from(digestOf(found)).equals(this.#digest)) {
      throw this.#changed();
    }
    renameSync(beside, this.path);
  }

  #changed(): VaultError {
    return faulty(
      this.path,
      "has been written, moved or removed by somebody else since it was opened, and was left alone; open it again",
    );
  }
}

/** The bytes of a file, sealed under the key that passphrase and salt have made. `how` is what they made it by. */
export function encodeVault(
  vaultKey: Uint8Array,
  salt: Uint8Array,
  entries: Entries,
  { logN, r, p }: Cost = cost,
): Uint8Array {
  const plain = entriesBytes(entries);
  const box = sealed(plain, vaultKey);
  plain.fill(0);
  const head = Buffer.concat([magic, Uint8Array.of(vaultFormat, logN, r, p), salt, box]);
  return Buffer.concat([head, createHash("sha256").update(head).digest()]);
}

/** Throws a VaultError. */
export function decodeVault(path: string, bytes: Uint8Array, passphrase: Uint8Array): Content {
  const how = readHead(path, bytes);
  const salt = new Uint8Array(bytes.subarray(saltAt, boxAt));
  const keys = deriveKeys(passphrase, salt, how);
  const plain = opened(bytes.subarray(boxAt, bytes.length - digestBytes), keys.vault);
  if (plain === undefined) {
    throw faulty(path, "does not open with this passphrase; it was left as it is");
  }
  const entries = readEntries(path, plain);
  plain.fill(0);
  if (Bun.deepEquals(how, cost)) return { keys, salt, entries };
  // It is written as costly as all others the next time.
  for (const key of [keys.session, keys.vault]) key.fill(0);
  const own = newSalt();
  return { keys: deriveKeys(passphrase, own), salt: own, entries };
}

function readHead(path: string, bytes: Uint8Array): Cost {
  const isVault = Buffer.from(bytes.subarray(0, magic.length)).equals(magic);
  if (!isVault) throw faulty(path, "is no vault; name one, or a file that is not there yet");
  const [format, logN, r, p] = bytes.subarray(magic.length, saltAt);
  if (format !== undefined && format !== vaultFormat) {
    throw faulty(path, `is of format ${format}, and this reads ${vaultFormat}`);
  }
  const at = Math.max(0, bytes.length - digestBytes);
  const digest = createHash("sha256").update(bytes.subarray(0, at)).digest();
  if (bytes.length < fileBytesMin || !digest.equals(bytes.subarray(at))) {
    throw faulty(
      path,
      "is damaged: it is not as it was written. It was left as it is; take a copy of it from elsewhere",
    );
  }
  const how = { logN: logN!, r: r!, p: p! };
  const isCost = how.logN > 0 && how.r > 0 && how.p > 0;
  if (isCost && memoryBytes(how) <= memoryBytesMax) return how;
  throw faulty(
    path,
    `asks for more than ${memoryBytesMax / 1024 / 1024} MiB of memory to be opened, or for none`,
  );
}

function entriesBytes(entries: Entries): Uint8Array {
  const length = [...entries].reduce(
    (sum, [key, value]) => sum + 2 * lengthBytes + key.length + value.length,
    0,
  );
  const bytes = Buffer.alloc(length);
  let at = 0;
  const put = (part: Uint8Array) => {
    at = bytes.writeUInt32BE(part.length, at);
    bytes.set(part, at);
    at += part.length;
  };
  for (const [key, value] of entries) {
    put(keyBytes(key));
    put(value);
  }
  return bytes;
}

function readEntries(path: string, plain: Uint8Array): Entries {
  const entries = new Map<string, Uint8Array>();
  const view = new DataView(plain.buffer, plain.byteOffset, plain.byteLength);
  let at = 0;
  const take = () => {
    const begin = at + lengthBytes;
    const end = begin > plain.length ? Infinity : begin + view.getUint32(at);
    if (end > plain.length || end - begin > itemBytesMax) {
      throw faulty(path, "opens, but does not hold what a vault of this format does");
    }
    at = end;
    return new Uint8Array(plain.subarray(begin, end));
  };
  while (at < plain.length) {
    const key = keyText(take());
    entries.set(key, take());
  }
  return entries;
}

/** Undefined if there is none. */
function readFile(path: string): Buffer | undefined {
  let descriptor: number;
  try {
    descriptor = openPrivate(path, {
      faulty: (fault) => faulty(path, fault),
      exposed: "take new passwords, and a vault with another passphrase",
    });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
  try {
    const bytes = readWhole(descriptor, fileBytesMax);
    if (bytes !== undefined) return bytes;
    throw faulty(path, `is longer than a vault can be (${fileBytesMax} bytes)`);
  } finally {
    closeSync(descriptor);
  }
}

function digestOf(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes.subarray(-digestBytes));
}

function removeQuietly(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // It was never made, or is in its place.
  }
}

function faulty(path: string, fault: string): VaultError {
  return new VaultError(`${path} ${fault}`);
}
