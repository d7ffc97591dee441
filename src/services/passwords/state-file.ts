/**
 * Initial keys and values, in a file of JSON: one object, whose keys are keys and whose values are
 *
 *     "text"                    its bytes in UTF-8
 *     { "base64": "AAECAw==" }  any bytes
 *
 * Nothing else is in it, and no key twice. What is wrong is told with its line, and then none of the file counts; values
 * are never shown.
 *
 * Nothing of a value is in memory but the value: it is read byte by byte, since a string can neither be overwritten nor be
 * kept from being copied, and whatever held it on its way is overwritten.
 */

import { isUtf8 } from "node:buffer";
import { closeSync, constants, fstatSync, openSync } from "node:fs";
import { readWhole } from "../../crypto/private-file.ts";
import { entryBytes, itemBytesMax } from "./format.ts";
import type { Entries } from "./store.ts";
import { keyText, shownKey } from "./store.ts";

const wholeFile = "the file";

/** JSON writes a byte as six characters at most. */
const writtenPerByte = 6;

/** The message says which line of which file, and what is wrong with it. */
export class StateError extends Error {
  override readonly name = "StateError";
}

/** Throws a StateError. `bytesMax` is what all of it may count for. */
export function loadState(path: string, bytesMax: number): Entries {
  const bytes = read(path, bytesMax);
  try {
    return parseState(path, bytes, bytesMax);
  } finally {
    bytes.fill(0);
  }
}

/** Of a pipe nobody knows when something comes, nor of a device when there is no more. */
function read(path: string, bytesMax: number): Buffer {
  try {
    const descriptor = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const found = fstatSync(descriptor);
      if (!found.isFile()) throw new StateError(`${path} is not a plain file; name one that is`);
      const bytes = readWhole(descriptor, writtenPerByte * bytesMax);
      if (bytes !== undefined) return bytes;
      throw new StateError(`${path} has ${found.size} bytes, more than can be kept (${bytesMax})`);
    } finally {
      closeSync(descriptor);
    }
  } catch (error) {
    if (error instanceof StateError) throw error;
    throw new StateError(`${path} cannot be read: ${(error as Error).message}`, { cause: error });
  }
}

/** Throws a StateError. */
export function parseState(path: string, bytes: Uint8Array, bytesMax: number): Entries {
  const entries = new Map<string, Uint8Array>();
  const scanner = new Scanner(path, bytes);
  let sum = 0;
  scanner.object(wholeFile, (key) => {
    const name = shownKey(Buffer.from(key).toString());
    const value = itemOf(scanner, name);
    for (const [what, { length }] of [
      ["key", key],
      ["value", value],
    ] as const) {
      if (length > itemBytesMax) scanner.fail(`a ${what} has ${itemBytesMax} bytes at most`);
    }
    const text = keyText(key);
    if (entries.has(text)) scanner.fail(`the key ${name} is there twice`);
    entries.set(text, value);
    sum += entryBytes + key.length + value.length;
    if (sum > bytesMax) {
      scanner.fail(`up to here it counts for ${sum} bytes, and ${bytesMax} may be kept`);
    }
  });
  scanner.end();
  return entries;
}

const base64Field = Buffer.from("base64");

function itemOf(scanner: Scanner, name: string): Uint8Array {
  if (scanner.peek() === quote) return scanner.string(`the value of ${name}`);
  let value: Uint8Array | undefined;
  scanner.object(`the value of ${name}`, (field) => {
    if (!base64Field.equals(field) || value !== undefined) {
      scanner.fail(`the value of ${name} is text, or { "base64": "…" } and nothing beside it`);
    }
    if (scanner.peek() !== quote) scanner.fail(`base64 of ${name} is no text`);
    const text = scanner.string(`base64 of ${name}`);
    value = base64(text);
    text.fill(0);
    if (value === undefined) scanner.fail(`base64 of ${name} is none`);
  });
  return value ?? scanner.fail(`the value of ${name} is empty; make it text, or { "base64": "…" }`);
}

const base64Digits = Buffer.from(
  "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
);
const sixBits = new Map([...base64Digits].map((digit, value) => [digit, value]));
const [padding] = Buffer.from("=");

/** RFC 4648, section 4, in the one way that it is written; undefined for anything else. */
function base64(text: Uint8Array): Uint8Array | undefined {
  if (text.length % 4 !== 0) return undefined;
  const padded = text.at(-1) !== padding ? 0 : text.at(-2) !== padding ? 1 : 2;
  const bytes = new Uint8Array((text.length / 4) * 3 - padded);
  let held = 0;
  let heldBits = 0;
  let length = 0;
  for (let at = 0; at < text.length - padded; at += 1) {
    const six = sixBits.get(text[at]!);
    if (six === undefined) return undefined;
    held = (held << 6) | six;
    heldBits += 6;
    if (heldBits < 8) continue;
    heldBits -= 8;
    bytes[length] = held >> heldBits;
    length += 1;
    held &= (1 << heldBits) - 1;
  }
  return held === 0 ? bytes : undefined;
}

const [quote, backslash, brace, closingBrace, comma, newline] = Buffer.from('"\\{},\n');
const blanks: ReadonlySet<number | undefined> = new Set(Buffer.from(" \t\r\n"));
const byteOrderMark = Buffer.from("\ufeff");
const firstPrintable = 0x20;

/** What a backslash and this byte stand for (RFC 8259, section 7). */
const escapes = new Map(
  Object.entries({
    '"': '"',
    "\\": "\\",
    "/": "/",
    b: "\b",
    f: "\f",
    n: "\n",
    r: "\r",
    t: "\t",
  }).map(([letter, meant]) => [letter.charCodeAt(0), meant.charCodeAt(0)]),
);
const [unicode] = Buffer.from("u");
/** As in \u00e9. */
const escapeBytes = 6;

const kindsOfValue: Readonly<Record<string, string>> = {
  "[": "a list",
  t: "true",
  f: "false",
  n: "null",
  "{": "an object",
  '"': "text",
};

/** Goes through JSON, and knows the line it is at. */
class Scanner {
  readonly #path: string;
  readonly #bytes: Uint8Array;
  #at: number;

  constructor(path: string, bytes: Uint8Array) {
    this.#path = path;
    this.#bytes = bytes;
    this.#at = byteOrderMark.every((byte, at) => bytes[at] === byte) ? byteOrderMark.length : 0;
    if (isUtf8(bytes)) return;
    throw new StateError(
      `${path} is not UTF-8; bytes that are not are written as { "base64": "…" }`,
    );
  }

  fail(what: string): never {
    let line = 1;
    for (let at = 0; at < this.#at; at += 1) if (this.#bytes[at] === newline) line += 1;
    throw new StateError(`${this.#path}, line ${line}: ${what}`);
  }

  /** What comes next that is no white space; undefined at the end. */
  peek(): number | undefined {
    while (blanks.has(this.#bytes[this.#at])) this.#at += 1;
    return this.#bytes[this.#at];
  }

  /** Calls `field` with each name, when it is at its value. */
  object(what: string, field: (name: Uint8Array) => void): void {
    this.#expectObject(what);
    this.#at += 1;
    if (this.peek() === closingBrace) {
      this.#at += 1;
      return;
    }
    while (this.#field(field)) {
      // Each of them takes itself.
    }
  }

  /** Returns whether another one follows. */
  #field(field: (name: Uint8Array) => void): boolean {
    if (this.peek() !== quote) {
      this.fail(`a key in quotes was expected, and not ${this.#found()}`);
    }
    const name = this.string("a key");
    this.#expect(":");
    this.peek();
    field(name);
    const next = this.peek();
    if (next !== comma && next !== closingBrace) {
      this.fail(`a comma or a closing brace was expected, and not ${this.#found()}`);
    }
    this.#at += 1;
    return next === comma;
  }

  #expectObject(what: string): void {
    if (this.peek() === brace) return;
    const found = kindsOfValue[this.#character() ?? ""] ?? this.#found();
    if (what === wholeFile) {
      this.fail(`the file is one object, { "KEY": "VALUE", … }; what was found is ${found}`);
    }
    this.fail(`${what} is ${found}; make it text, or { "base64": "…" }`);
  }

  /** What a string stands for, in UTF-8, as bytes of the caller's. It is at the quote before it. */
  string(what: string): Uint8Array {
    const end = this.#closingQuote();
    // A small array of JavaScriptCore's own may move, and leave a copy where it was.
    const room = new Uint8Array(new ArrayBuffer(end - this.#at));
    let length = 0;
    let at = this.#at + 1;
    while (at < end) {
      const byte = this.#bytes[at]!;
      const letter = this.#bytes[at + 1]!;
      if (byte < firstPrintable) this.#notAllowed();
      if (byte !== backslash) {
        room[length] = byte;
        length += 1;
        at += 1;
      } else if (letter !== unicode) {
        room[length] = escapes.get(letter) ?? this.#notAllowed();
        length += 1;
        at += 2;
      } else {
        const character = this.#escaped(at, what);
        length += new TextEncoder().encodeInto(character, room.subarray(length)).written;
        at += escapeBytes * character.length;
      }
    }
    this.#at = end + 1;
    const value = room.slice(0, length);
    room.fill(0);
    return value;
  }

  #closingQuote(): number {
    const bytes = this.#bytes;
    let end = this.#at + 1;
    while (bytes[end] !== quote && bytes[end] !== newline && end < bytes.length) {
      end += bytes[end] === backslash ? 2 : 1;
    }
    return bytes[end] === quote ? end : this.fail("a quote is not closed on its line");
  }

  /** The character that is escaped there, as one code unit or as a pair. */
  #escaped(at: number, what: string): string {
    const first = this.#unit(at);
    if (first.isWellFormed()) return first;
    const isPaired = this.#bytes[at + escapeBytes] === backslash;
    const pair = isPaired && this.#bytes[at + escapeBytes + 1] === unicode;
    const both = pair ? first + this.#unit(at + escapeBytes) : first;
    if (both.isWellFormed()) return both;
    return this.fail(`${what} holds half of a surrogate pair, which is no character`);
  }

  #unit(at: number): string {
    const digits = String.fromCharCode(...this.#bytes.subarray(at + 2, at + escapeBytes));
    if (!/^[0-9A-Fa-f]{4}$/.test(digits)) this.#notAllowed();
    return String.fromCharCode(Number.parseInt(digits, 16));
  }

  #notAllowed(): never {
    return this.fail("what stands in quotes holds something that JSON does not allow there");
  }

  end(): void {
    if (this.peek() !== undefined) this.fail(`there is ${this.#found()} after the end`);
  }

  #expect(character: string): void {
    this.peek();
    if (this.#character() !== character)
      this.fail(`"${character}" was expected, and not ${this.#found()}`);
    this.#at += 1;
  }

  /** The one that it is at. */
  #character(): string | undefined {
    // No character has more bytes, and none but the first of these is looked at.
    const [character] = new TextDecoder().decode(this.#bytes.subarray(this.#at, this.#at + 4));
    return character;
  }

  /** One character says where it is, and no secret. */
  #found(): string {
    const character = this.#character();
    if (character === undefined) return "the end of the file";
    return /[-0-9]/.test(character) ? "a number" : JSON.stringify(character);
  }
}
