/**
 * The keys and values of one client. Where they are sealed, there is no key to them here: it comes with each request, and
 * what is opened is the caller's to overwrite. What is replaced, deleted or left behind is overwritten here.
 */

import nacl from "tweetnacl";
import { entryBytes, FormatError, sealKeyBytes } from "./format.ts";

const { nonceLength: nonceBytes, overheadLength: tagBytes } = nacl.secretbox;

/** What secretbox is made of, which the declarations leave out: zero bytes, of so many, come before a message. */
type Lowlevel = {
  crypto_secretbox(
    box: Uint8Array,
    message: Uint8Array,
    bytes: number,
    nonce: Uint8Array,
    key: Uint8Array,
  ): number;
  /** 0 if it is what was sealed under that key. */
  crypto_secretbox_open(
    message: Uint8Array,
    box: Uint8Array,
    bytes: number,
    nonce: Uint8Array,
    key: Uint8Array,
  ): number;
};
const { lowlevel } = nacl as unknown as { readonly lowlevel: Lowlevel };
const plainBytes = 32;

/** A value as it is, or a nonce and what it was sealed to. */
type Entry = { bytes: Uint8Array };

/** By the bytes of a key, a character for each. */
export type Entries = ReadonlyMap<string, Uint8Array>;

export const keyText = (key: Uint8Array): string =>
  Buffer.from(key.buffer, key.byteOffset, key.length).toString("latin1");
export const keyBytes = (text: string): Buffer => Buffer.from(text, "latin1");

/** For people. A key may be long, and hold anything. */
export function shownKey(key: string): string {
  return JSON.stringify(key.length > 40 ? `${key.slice(0, 40)}…` : key);
}

/** Overwrites them. */
export function wipe(secrets: Iterable<Uint8Array>): void {
  for (const secret of secrets) secret.fill(0);
}

/** What keys and values count for. */
export function bytesOf(entries: Entries): number {
  let sum = 0;
  for (const [key, value] of entries) sum += entryBytes + key.length + value.length;
  return sum;
}

export class Store {
  readonly #entries = new Map<string, Entry>();
  readonly #bytesMax: number;
  /** What they count for: as long as they were when they came. */
  #bytes = 0;
  /** Something sealed under the key, by which another is told from it; undefined while nothing is sealed. */
  #proof: Uint8Array | undefined;

  /** Begins with `initial`, whose values it takes over. */
  constructor(bytesMax: number, initial: Entries = new Map()) {
    this.#bytesMax = bytesMax;
    for (const [key, bytes] of initial) this.#entries.set(key, { bytes });
    this.#bytes = bytesOf(initial);
  }

  /** Throws a FormatError (`full`, `sealed`, `wrong_key`), with everything as it was. */
  set(key: Uint8Array, value: Uint8Array, sealKey?: Uint8Array): void {
    this.#expect(sealKey);
    const name = keyText(key);
    const former = this.#entries.get(name);
    const bytes =
      this.#bytes - this.#countOf(name, former) + entryBytes + key.length + value.length;
    if (bytes > this.#bytesMax) {
      throw new FormatError(
        "full",
        `this would be ${bytes} bytes, and ${this.#bytesMax} are the most; delete some first`,
      );
    }
    const kept = this.#proof === undefined ? new Uint8Array(value) : sealed(value, sealKey!);
    if (former === undefined) this.#entries.set(name, { bytes: kept });
    else {
      former.bytes.fill(0);
      former.bytes = kept;
    }
    this.#bytes = bytes;
  }

  /** A view of what is kept, or where that is sealed bytes of the caller's. Throws a FormatError (`missing`, …). */
  get(key: Uint8Array, sealKey?: Uint8Array): Uint8Array {
    const { bytes } = this.#entry(key);
    if (this.#proof === undefined) return bytes;
    const value = opened(bytes, this.#keyOf(sealKey));
    if (value === undefined) throw wrongKey();
    return value;
  }

  /** Throws a FormatError (`missing`). */
  delete(key: Uint8Array): void {
    const entry = this.#entry(key);
    const name = keyText(key);
    this.#bytes -= this.#countOf(name, entry);
    entry.bytes.fill(0);
    this.#entries.delete(name);
  }

  has(key: Uint8Array): boolean {
    return this.#entries.has(keyText(key));
  }

  *keys(): Generator<Uint8Array, void, undefined> {
    for (const name of this.#entries.keys()) yield keyBytes(name);
  }

  /** Whether values come as they are kept, and not in bytes of their own. */
  get plain(): boolean {
    return this.#proof === undefined;
  }

  /** Seals everything. Throws a FormatError (`wrong_key`) if it is, under another key. */
  seal(sealKey: Uint8Array): void {
    if (this.#proof !== undefined) {
      this.#expect(sealKey);
      return;
    }
    for (const entry of this.#entries.values()) {
      const plain = entry.bytes;
      entry.bytes = sealed(plain, sealKey);
      plain.fill(0);
    }
    this.#proof = sealed(new Uint8Array(sealKeyBytes), sealKey);
  }

  /** Overwrites all that is here. */
  wipe(): void {
    for (const { bytes } of this.#entries.values()) bytes.fill(0);
    this.#entries.clear();
    this.#proof?.fill(0);
    this.#bytes = 0;
  }

  #entry(key: Uint8Array): Entry {
    const entry = this.#entries.get(keyText(key));
    if (entry !== undefined) return entry;
    throw new FormatError("missing", "there is no such key");
  }

  #countOf(name: string, entry: Entry | undefined): number {
    if (entry === undefined) return 0;
    const overhead = this.#proof === undefined ? 0 : nonceBytes + tagBytes;
    return entryBytes + name.length + entry.bytes.length - overhead;
  }

  /** Before something is sealed under it. */
  #expect(sealKey: Uint8Array | undefined): void {
    if (this.#proof === undefined) return;
    if (opened(this.#proof, this.#keyOf(sealKey)) === undefined) throw wrongKey();
  }

  #keyOf(sealKey: Uint8Array | undefined): Uint8Array {
    if (sealKey !== undefined) return sealKey;
    throw new FormatError("sealed", "what is kept here is sealed, and no key came along");
  }
}

function wrongKey(): FormatError {
  return new FormatError("wrong_key", "what is kept here is sealed under another key");
}

/** A nonce that was not there before, and the box. */
export function sealed(value: Uint8Array, sealKey: Uint8Array): Uint8Array {
  const nonce = crypto.getRandomValues(new Uint8Array(nonceBytes));
  const message = new Uint8Array(plainBytes + value.length);
  message.set(value, plainBytes);
  const box = new Uint8Array(message.length);
  lowlevel.crypto_secretbox(box, message, message.length, nonce, sealKey);
  message.fill(0);
  const bytes = new Uint8Array(nonceBytes + tagBytes + value.length);
  bytes.set(nonce);
  bytes.set(box.subarray(plainBytes - tagBytes), nonceBytes);
  return bytes;
}

/** Undefined if it was sealed under another key, or changed since. Overwriting it leaves no copy. */
export function opened(bytes: Uint8Array, sealKey: Uint8Array): Uint8Array | undefined {
  const length = bytes.length - nonceBytes - tagBytes;
  if (length < 0) return undefined;
  const box = new Uint8Array(plainBytes + length);
  box.set(bytes.subarray(nonceBytes), plainBytes - tagBytes);
  // Of a small array without a buffer of its own, JavaScriptCore makes a copy for the first view of it, and forgets the first.
  const message = new Uint8Array(new ArrayBuffer(box.length));
  const nonce = bytes.subarray(0, nonceBytes);
  const result = lowlevel.crypto_secretbox_open(message, box, box.length, nonce, sealKey);
  return result === 0 ? message.subarray(plainBytes) : undefined;
}
