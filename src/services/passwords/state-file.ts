/**
 * Initial keys and values, in a file of JSON: one object, whose keys are keys and whose values are
 *
 *     "text"                    its bytes in UTF-8
 *     { "base64": "AAECAw==" }  any bytes
 *
 * Nothing else is in it, and no key twice. What is wrong is told with its line, and then none of the file counts; values
 * are never shown. The text of the file stays in memory, where it cannot be overwritten, until it is collected and its place
 * is used again.
 */

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
  scanner.object(wholeFile, (name) => {
    const key = scanner.utf8(name, "a key");
    const value = itemOf(scanner, shownKey(name));
    for (const [what, { length }] of [
      ["key", key],
      ["value", value],
    ] as const) {
      if (length > itemBytesMax) scanner.fail(`a ${what} has ${itemBytesMax} bytes at most`);
    }
    const text = keyText(key);
    if (entries.has(text)) scanner.fail(`the key ${shownKey(name)} is there twice`);
    entries.set(text, value);
    sum += entryBytes + key.length + value.length;
    if (sum > bytesMax) {
      scanner.fail(`up to here it counts for ${sum} bytes, and ${bytesMax} may be kept`);
    }
  });
  scanner.end();
  return entries;
}

function itemOf(scanner: Scanner, name: string): Uint8Array {
  if (scanner.peek() === '"') return scanner.utf8(scanner.string(), `the value of ${name}`);
  let value: Uint8Array | undefined;
  scanner.object(`the value of ${name}`, (field) => {
    if (field !== "base64" || value !== undefined) {
      scanner.fail(`the value of ${name} is text, or { "base64": "…" } and nothing beside it`);
    }
    if (scanner.peek() !== '"') scanner.fail(`base64 of ${name} is no text`);
    value = base64(scanner.string());
    if (value === undefined) scanner.fail(`base64 of ${name} is none`);
  });
  return value ?? scanner.fail(`the value of ${name} is empty; make it text, or { "base64": "…" }`);
}

function base64(text: string): Uint8Array | undefined {
  const bytes = Buffer.from(text, "base64");
  return bytes.toString("base64") === text ? new Uint8Array(bytes) : undefined;
}

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
  readonly #text: string;
  #at = 0;

  constructor(path: string, bytes: Uint8Array) {
    this.#path = path;
    try {
      this.#text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    } catch {
      throw new StateError(
        `${path} is not UTF-8; bytes that are not are written as { "base64": "…" }`,
      );
    }
  }

  fail(what: string): never {
    const line = this.#text.slice(0, this.#at).split("\n").length;
    throw new StateError(`${this.#path}, line ${line}: ${what}`);
  }

  /** What comes next that is no white space; undefined at the end. */
  peek(): string | undefined {
    while (" \t\r\n".includes(this.#text[this.#at] ?? "x")) this.#at += 1;
    return this.#text[this.#at];
  }

  /** Calls `field` with each name, when it is at its value. */
  object(what: string, field: (name: string) => void): void {
    this.#expectObject(what);
    this.#at += 1;
    if (this.peek() === "}") {
      this.#at += 1;
      return;
    }
    while (this.#field(field)) {
      // Each of them takes itself.
    }
  }

  /** Returns whether another one follows. */
  #field(field: (name: string) => void): boolean {
    const quote = this.peek();
    if (quote !== '"') this.fail(`a key in quotes was expected, and not ${this.#found(quote)}`);
    const name = this.string();
    this.#expect(":");
    this.peek();
    field(name);
    const next = this.peek();
    if (next !== "," && next !== "}") {
      this.fail(`a comma or a closing brace was expected, and not ${this.#found(next)}`);
    }
    this.#at += 1;
    return next === ",";
  }

  #expectObject(what: string): void {
    const first = this.peek();
    if (first === "{") return;
    const found = kindsOfValue[first ?? ""] ?? this.#found(first);
    if (what === wholeFile) {
      this.fail(`the file is one object, { "KEY": "VALUE", … }; what was found is ${found}`);
    }
    this.fail(`${what} is ${found}; make it text, or { "base64": "…" }`);
  }

  string(): string {
    const begin = this.#at;
    let end = begin + 1;
    while (this.#text[end] !== '"' && this.#text[end] !== "\n" && end < this.#text.length) {
      end += this.#text[end] === "\\" ? 2 : 1;
    }
    if (this.#text[end] !== '"') this.fail("a quote is not closed on its line");
    try {
      const text = JSON.parse(this.#text.slice(begin, end + 1)) as string;
      this.#at = end + 1;
      return text;
    } catch {
      return this.fail("what stands in quotes holds something that JSON does not allow there");
    }
  }

  utf8(text: string, what: string): Uint8Array {
    if (!text.isWellFormed())
      this.fail(`${what} holds half of a surrogate pair, which is no character`);
    return new TextEncoder().encode(text);
  }

  end(): void {
    const rest = this.peek();
    if (rest !== undefined) this.fail(`there is ${this.#found(rest)} after the end`);
  }

  #expect(character: string): void {
    const found = this.peek();
    if (found !== character)
      this.fail(`"${character}" was expected, and not ${this.#found(found)}`);
    this.#at += 1;
  }

  /** One character says where it is, and no secret. */
  #found(character: string | undefined): string {
    if (character === undefined) return "the end of the file";
    return /[-0-9]/.test(character) ? "a number" : JSON.stringify(character);
  }
}
