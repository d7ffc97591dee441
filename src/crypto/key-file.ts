/**
 * A key pair in a file that nobody else can read:
 *
 *     { "schema": 1, "publicKey": "43 characters", "secretKey": "43 characters" }
 */

import { closeSync, fchmodSync, unlinkSync } from "node:fs";
import { IpcError } from "../native/errors.ts";
import { KeyPair } from "./key-pair.ts";
import { createPrivate, openPrivate, ownerOnly, readWhole, writeWhole } from "./private-file.ts";
import { keyText, parseKey } from "./public-key.ts";

/** Of the file. Raised when a reader of the former would go wrong. */
const schema = 1;
/** Many times what one has. */
const fileBytesMax = 4096;

/**
 * Writes a key pair to a new file, which only its owner can read. Throws an IpcError (EEXIST) if there is something
 * already, a link that leads nowhere included: a key that is overwritten is lost.
 */
export function saveKeys(path: string, keys: KeyPair): void {
  const descriptor = make(path);
  try {
    // The mask of the process may have left even the owner without.
    fchmodSync(descriptor, ownerOnly);
    const { publicKey, secretKey } = keys;
    const text = JSON.stringify({ schema, publicKey, secretKey: keyText(secretKey) }, null, 2);
    writeWhole(descriptor, Buffer.from(`${text}\n`));
  } catch (error) {
    unlinkSync(path);
    throw error;
  } finally {
    closeSync(descriptor);
  }
}

function make(path: string): number {
  try {
    return createPrivate(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    throw new IpcError(
      "EEXIST",
      `EEXIST: there is something at ${path} already, which was left alone; choose another file, or move that away`,
      { path, cause: error },
    );
  }
}

/**
 * The key pair of a file. Throws an IpcError (EKEY) that says what is wrong with the file and how to mend it: that it is a
 * link, that others can read it, that it belongs to another user, or that it holds something else.
 */
export function loadKeys(path: string): KeyPair {
  const descriptor = open(path);
  try {
    return parse(path, readText(path, descriptor));
  } finally {
    closeSync(descriptor);
  }
}

function open(path: string): number {
  try {
    return openPrivate(path, {
      faulty: (fault) => faulty(path, fault),
      exposed: "make another",
    });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    throw new IpcError(
      "ENOENT",
      `ENOENT: there is no file ${path}; make one with: keys save FILE`,
      {
        path,
        cause: error,
      },
    );
  }
}

function readText(path: string, descriptor: number): string {
  const bytes = readWhole(descriptor, fileBytesMax);
  if (bytes === undefined) throw faulty(path, `is longer than ${fileBytesMax} bytes; ${another}`);
  return bytes.toString("utf8");
}

const another = "name one that keys save has made";

function parse(path: string, text: string): KeyPair {
  let found: unknown;
  try {
    found = JSON.parse(text);
  } catch {
    throw faulty(path, `holds no JSON; ${another}`);
  }
  if (typeof found !== "object" || found === null) throw faulty(path, `holds no keys; ${another}`);
  const { schema: format, publicKey, secretKey } = found as Record<string, unknown>;
  if (format !== schema) {
    throw faulty(
      path,
      `is of format ${JSON.stringify(format)}, and this reads ${schema}; ${another}`,
    );
  }
  const bytes = typeof secretKey === "string" ? parseKey(secretKey) : undefined;
  // What it holds instead is not shown: it may be a key with a slip in it.
  if (bytes === undefined) throw faulty(path, `holds no secret key; ${another}`);
  const keys = new KeyPair(bytes);
  if (publicKey === keys.publicKey) return keys;
  throw faulty(path, `holds a public key that is not that of its secret key; ${another}`);
}

function faulty(path: string, fault: string): IpcError {
  return new IpcError("EKEY", `EKEY: ${path} ${fault}`, { path });
}
