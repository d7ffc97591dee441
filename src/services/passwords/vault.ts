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
 *
 * Several may have it open. Whoever saves puts what it has changed itself to what is there then, under a lock on the file
 * that goes with the process:
 *
 *     lock ─▶ read ─▶ is it what was there last? ──yes──▶ write
 *                          └─no─▶ which keys are others than they were, here and there? ─▶ write both, in one
 *                                    └─ the same key, or it cannot be told ─▶ FILE.1, and from then on that
 */

import { createHash } from "node:crypto";
import {
  closeSync,
  fstatSync,
  fsyncSync,
  linkSync,
  lstatSync,
  openSync,
  renameSync,
  unlinkSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { createPrivate, openPrivate, readWhole, writeWhole } from "../../crypto/private-file.ts";
import { takeLock } from "../../ipc/file-lock.ts";
import { IpcError } from "../../native/errors.ts";
import type { Cost, Keys } from "./derive.ts";
import { cost, deriveKeys, memoryBytes, memoryBytesMax, newSalt, saltBytes } from "./derive.ts";
import { itemBytesMax, storeBytesLimit } from "./format.ts";
import type { Entries } from "./store.ts";
import { keyBytes, keyText, opened, sealed, shownKey, wipe } from "./store.ts";

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

/** To write one takes some milliseconds, unless the one who does has been stopped. */
const lockWaitMsMax = 10_000;
const lockPauseMs = 5;

/** So many that nobody has looked at. */
const asidesMax = 100;
/** Of keys that two have changed. */
const disputedShownMax = 5;

/** The message says which file, what is wrong with it and what to do. That file is as it was. */
export class VaultError extends Error {
  override readonly name = "VaultError";
  /** Whether what was to be saved is in another file, which the message names. */
  readonly kept: boolean;

  constructor(message: string, { kept = false, cause }: { kept?: boolean; cause?: unknown } = {}) {
    super(message, { cause });
    this.kept = kept;
  }
}

type Content = { readonly keys: Keys; readonly salt: Uint8Array; readonly entries: Entries };

export class Vault implements Disposable {
  /** What it held when it was opened, for the caller to overwrite; undefined if there was no file. */
  readonly entries: Entries | undefined;
  readonly #keys: Keys;
  readonly #salt: Uint8Array;
  #path: string;
  /** Of what is known to be in the file; undefined while there is none. */
  #digest: Uint8Array | undefined;
  /** What is in it, sealed. */
  #held: Uint8Array;
  /** What the caller knows to be in it, sealed: what was read or saved here last, without what others have put there since. */
  #known: Uint8Array;

  private constructor(path: string, { keys, salt, entries }: Content, digest?: Uint8Array) {
    this.#path = path;
    this.#keys = keys;
    this.#salt = salt;
    this.#digest = digest;
    this.entries = digest === undefined ? undefined : entries;
    this.#held = this.#known = sealedEntries(entries, keys.vault);
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

  /** Where it is saved: where it was opened, or beside that since somebody else has changed the same there. */
  get path(): string {
    return this.#path;
  }

  /** What a copy seals under. */
  get sessionKey(): Uint8Array {
    return this.#keys.session;
  }

  /**
   * Puts what is another in `entries` than it was to what is in the file by now. Throws a VaultError; then the file is as it
   * was.
   */
  save(entries: Entries): void {
    try {
      while (!this.#save(entries)) {
        // Somebody else has made it in that moment.
      }
    } catch (error) {
      if (error instanceof VaultError) throw error;
      const why = error instanceof Error ? error.message : String(error);
      throw new VaultError(`${this.#path} could not be written, and is as it was: ${why}`, {
        cause: error,
      });
    }
  }

  /** False if it is to be tried again. */
  #save(entries: Entries): boolean {
    const descriptor = openLocked(this.#path);
    if (descriptor === undefined) {
      if (this.#digest === undefined) return this.#make(entries);
      return this.#saveAside(entries, "has been moved or removed since it was opened");
    }
    try {
      this.#saveOver(readAll(this.#path, descriptor), entries);
      return true;
    } finally {
      closeSync(descriptor);
    }
  }

  #make(entries: Entries): boolean {
    const bytes = encodeVault(this.#keys.vault, this.#salt, entries);
    if (!writeNew(this.#path, bytes)) return false;
    this.#written(bytes, boxOf(bytes));
    return true;
  }

  #saveOver(found: Uint8Array, entries: Entries): void {
    const isSame = this.#digest !== undefined && isEqual(digestOf(found), this.#digest);
    if (isSame && this.#held === this.#known) {
      const bytes = encodeVault(this.#keys.vault, this.#salt, entries);
      writeOver(this.#path, bytes);
      this.#written(bytes, boxOf(bytes));
      return;
    }
    const theirs = isSame ? this.#opened(this.#held) : this.#read(found);
    if (theirs === undefined) {
      this.#saveAside(
        entries,
        "was left as it is: somebody else has written it since it was opened, and the two cannot be put together",
      );
    }
    const known = this.#opened(this.#known)!;
    try {
      const { both, disputed } = joined(known, entries, theirs);
      if (disputed.length > 0) {
        const has = disputed.length === 1 ? "has" : "have";
        this.#saveAside(
          entries,
          `was left as it is: ${shownKeys(disputed)} ${has} been changed by somebody else as well`,
        );
      }
      const bytes = encodeVault(this.#keys.vault, this.#salt, both);
      writeOver(this.#path, bytes);
      this.#written(bytes, sealedEntries(entries, this.#keys.vault));
    } finally {
      wipe(known.values());
      wipe(theirs.values());
    }
  }

  /** Undefined for what was sealed under another key, or is no vault. */
  #read(bytes: Uint8Array): Entries | undefined {
    try {
      const isOfKey = Bun.deepEquals(readHead(this.#path, bytes), cost);
      return isOfKey && isEqual(saltOf(bytes), this.#salt) ? this.#opened(boxOf(bytes)) : undefined;
    } catch (error) {
      if (error instanceof VaultError) return undefined;
      throw error;
    }
  }

  #opened(box: Uint8Array): Entries | undefined {
    return openedEntries(this.#path, box, this.#keys.vault);
  }

  /** Nothing of either is lost: what is to be saved has a file of its own, and it is told which. */
  #saveAside(entries: Entries, fault: string): never {
    const bytes = encodeVault(this.#keys.vault, this.#salt, entries);
    for (let number = 1; number <= asidesMax; number += 1) {
      const path = `${this.#path}.${number}`;
      if (!writeNew(path, bytes)) continue;
      const message = `${this.#path} ${fault}; all that this session keeps is in ${path}, under the same passphrase`;
      this.#path = path;
      this.#written(bytes, boxOf(bytes));
      throw new VaultError(message, { kept: true });
    }
    throw faulty(
      this.#path,
      `${fault}; there are ${asidesMax} files beside it already, from .1 to .${asidesMax}: take some away`,
    );
  }

  #written(bytes: Uint8Array, known: Uint8Array): void {
    this.#digest = digestOf(bytes);
    this.#known = known;
    const box = boxOf(bytes);
    this.#held = isEqual(box, known) ? known : box;
    keepName(this.#path);
  }

  /** Overwrites the keys. */
  [Symbol.dispose](): void {
    this.#keys.session.fill(0);
    this.#keys.vault.fill(0);
  }
}

/** What is in `theirs`, but for what is another in `ours` than it was. Disputed are keys that both have changed, each otherwise. */
function joined(
  known: Entries,
  ours: Entries,
  theirs: Entries,
): { both: Entries; disputed: string[] } {
  const both = new Map(theirs);
  const disputed: string[] = [];
  for (const key of new Set([...known.keys(), ...ours.keys()])) {
    const [was, own, other] = [known.get(key), ours.get(key), theirs.get(key)];
    if (isEqual(was, own)) continue;
    if (!isEqual(was, other) && !isEqual(own, other)) disputed.push(key);
    else if (own === undefined) both.delete(key);
    else both.set(key, own);
  }
  return { both, disputed };
}

function isEqual(one: Uint8Array | undefined, other: Uint8Array | undefined): boolean {
  if (one === undefined || other === undefined) return one === other;
  return Buffer.compare(one, other) === 0;
}

function shownKeys(keys: readonly string[]): string {
  const shown = keys.slice(0, disputedShownMax).map((key) => shownKey(keyBytes(key).toString()));
  const more = keys.length - shown.length;
  return shown.join(", ") + (more > 0 ? ` and ${more} more` : "");
}

/** The bytes of a file, sealed under the key that passphrase and salt have made. `how` is what they made it by. */
export function encodeVault(
  vaultKey: Uint8Array,
  salt: Uint8Array,
  entries: Entries,
  { logN, r, p }: Cost = cost,
): Uint8Array {
  const box = sealedEntries(entries, vaultKey);
  const head = Buffer.concat([magic, Uint8Array.of(vaultFormat, logN, r, p), salt, box]);
  return Buffer.concat([head, createHash("sha256").update(head).digest()]);
}

/** Throws a VaultError. */
export function decodeVault(path: string, bytes: Uint8Array, passphrase: Uint8Array): Content {
  const how = readHead(path, bytes);
  const salt = saltOf(bytes);
  const keys = deriveKeys(passphrase, salt, how);
  const entries = openedEntries(path, boxOf(bytes), keys.vault);
  if (entries === undefined) {
    throw faulty(path, "does not open with this passphrase; it was left as it is");
  }
  if (Bun.deepEquals(how, cost)) return { keys, salt, entries };
  // It is written as costly as all others the next time. By the same salt whoever else has it open comes to the same keys.
  for (const key of [keys.session, keys.vault]) key.fill(0);
  return { keys: deriveKeys(passphrase, salt), salt, entries };
}

const saltOf = (bytes: Uint8Array) => new Uint8Array(bytes.subarray(saltAt, boxAt));
const boxOf = (bytes: Uint8Array) => new Uint8Array(bytes.subarray(boxAt, -digestBytes));

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

function sealedEntries(entries: Entries, vaultKey: Uint8Array): Uint8Array {
  const plain = entriesBytes(entries);
  const box = sealed(plain, vaultKey);
  plain.fill(0);
  return box;
}

/** Undefined if it was sealed under another key. */
function openedEntries(path: string, box: Uint8Array, vaultKey: Uint8Array): Entries | undefined {
  const plain = opened(box, vaultKey);
  if (plain === undefined) return undefined;
  const entries = readEntries(path, plain);
  plain.fill(0);
  return entries;
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

const termsOf = (path: string) => ({
  faulty: (fault: string) => faulty(path, fault),
  exposed: "take new passwords, and a vault with another passphrase",
});

/** Undefined if there is none. */
function readFile(path: string): Buffer | undefined {
  const descriptor = openFound(path);
  if (descriptor === undefined) return undefined;
  try {
    return readAll(path, descriptor);
  } finally {
    closeSync(descriptor);
  }
}

function readAll(path: string, descriptor: number): Buffer {
  const bytes = readWhole(descriptor, fileBytesMax);
  if (bytes !== undefined) return bytes;
  throw faulty(path, `is longer than a vault can be (${fileBytesMax} bytes)`);
}

function openFound(path: string, access: "read" | "write" = "read"): number | undefined {
  try {
    return openPrivate(path, termsOf(path), access);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

/**
 * The file for this process alone, as long as the descriptor is open; undefined if there is none. It is another file each
 * time that it was written: who has waited for one looks again whether it still is the one.
 */
function openLocked(path: string): number | undefined {
  const until = performance.now() + lockWaitMsMax;
  while (true) {
    const descriptor = openFound(path, "write");
    if (descriptor === undefined) return undefined;
    try {
      if (isLocked(descriptor) && leadsTo(path, descriptor)) return descriptor;
    } catch (error) {
      closeSync(descriptor);
      throw error;
    }
    closeSync(descriptor);
    if (performance.now() > until) {
      throw faulty(
        path,
        "is just being written by another session, which has taken too long; it is as it was: try again",
      );
    }
    Bun.sleepSync(lockPauseMs);
  }
}

function isLocked(descriptor: number): boolean {
  try {
    return takeLock(descriptor);
  } catch (error) {
    // Some file systems have no locks. What others have written is noticed all the same, unless it is in that very moment.
    if (error instanceof IpcError) return true;
    throw error;
  }
}

function leadsTo(path: string, descriptor: number): boolean {
  const file = fstatSync(descriptor, { bigint: true });
  const found = lstatSync(path, { bigint: true, throwIfNoEntry: false });
  return found !== undefined && found.dev === file.dev && found.ino === file.ino;
}

/** Puts it where there is nothing; false if there is something. */
function writeNew(path: string, bytes: Uint8Array): boolean {
  return writeBeside(path, bytes, (beside) => {
    try {
      linkSync(beside, path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
      throw error;
    } finally {
      unlinkSync(beside);
    }
    return true;
  });
}

/** Has it take the place of what is there. */
function writeOver(path: string, bytes: Uint8Array): void {
  writeBeside(path, bytes, (beside) => renameSync(beside, path));
}

/** Calls `place` with the name of a new file, which it is to take away, when its bytes are on the disk. */
function writeBeside<Value>(
  path: string,
  bytes: Uint8Array,
  place: (beside: string) => Value,
): Value {
  const suffix = Buffer.from(newSalt()).toString("hex", 0, 8);
  const beside = join(dirname(path), `.${basename(path)}.${process.pid}.${suffix}`);
  try {
    const descriptor = createPrivate(beside);
    try {
      writeWhole(descriptor, bytes);
    } finally {
      closeSync(descriptor);
    }
    return place(beside);
  } catch (error) {
    removeQuietly(beside);
    throw error;
  }
}

/**
 * Until the directory is on the disk too, the file may have its former name after a crash. One that may be written to but
 * not read cannot be waited for.
 */
function keepName(path: string): void {
  let descriptor: number | undefined;
  try {
    descriptor = openSync(dirname(path), "r");
    fsyncSync(descriptor);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EACCES") return;
    const why = (error as Error).message;
    throw new VaultError(`${path} was written, but may not be on the disk yet: ${why}`, {
      cause: error,
    });
  } finally {
    if (descriptor !== undefined) closeSync(descriptor);
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
