/**
 * A key pair in a file that nobody else can read:
 *
 *     { "schema": 1, "publicKey": "43 characters", "secretKey": "43 characters" }
 */

import {
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  fsyncSync,
  openSync,
  readSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { IpcError } from "../native/errors.ts";
import { KeyPair } from "./key-pair.ts";
import { keyText, parseKey } from "./public-key.ts";

/** Of the file. Raised when a reader of the former would go wrong. */
const schema = 1;
/** Many times what one has. */
const fileBytesMax = 4096;
const ownerOnly = 0o600;
const ofOthers = 0o077;

const { O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_WRONLY } = constants;

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
    fsyncSync(descriptor);
  } catch (error) {
    unlinkSync(path);
    throw error;
  } finally {
    closeSync(descriptor);
  }
}

function make(path: string): number {
  try {
    return openSync(path, O_CREAT | O_EXCL | O_NOFOLLOW | O_WRONLY, ownerOnly);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    throw new IpcError(
      "EEXIST",
      `EEXIST: there is something at ${path} already, which was left alone; choose another file, or move that away`,
      { path, cause: error },
    );
  }
}

function writeWhole(descriptor: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length; ) at += writeSync(descriptor, bytes, at);
}

/**
 * The key pair of a file. Throws an IpcError (EKEY) that says what is wrong with the file and how to mend it: that it is a
 * link, that others can read it, that it belongs to another user, or that it holds something else.
 */
export function loadKeys(path: string): KeyPair {
  const descriptor = openPlain(path);
  try {
    expectPrivate(path, descriptor);
    return parse(path, readText(path, descriptor));
  } finally {
    closeSync(descriptor);
  }
}

/** A link could be turned elsewhere by others, and opening a pipe would wait for somebody to write to it. */
function openPlain(path: string): number {
  try {
    return openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  } catch (error) {
    // FreeBSD has EMLINK for it.
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ELOOP" || code === "EMLINK") {
      throw faulty(path, "is a link, which others could turn elsewhere; name the file itself");
    }
    if (code === "ENOENT") {
      throw new IpcError(
        "ENOENT",
        `ENOENT: there is no file ${path}; make one with: keys save FILE`,
        {
          path,
          cause: error,
        },
      );
    }
    throw error;
  }
}

function expectPrivate(path: string, descriptor: number): void {
  const found = fstatSync(descriptor);
  if (!found.isFile()) throw faulty(path, "is not a plain file; name one that is");
  if (found.uid !== process.getuid!()) {
    throw faulty(path, `belongs to user ${found.uid}; use a file of your own`);
  }
  if ((found.mode & ofOthers) !== 0) {
    const mode = (found.mode & 0o777).toString(8).padStart(4, "0");
    throw faulty(
      path,
      `can be read or written by others (mode ${mode}); if none of them has, chmod 0600 it, else make another`,
    );
  }
}

function readText(path: string, descriptor: number): string {
  const bytes = Buffer.alloc(fileBytesMax + 1);
  const length = readSync(descriptor, bytes, 0, bytes.length, 0);
  if (length > fileBytesMax) throw faulty(path, `is longer than ${fileBytesMax} bytes; ${another}`);
  return bytes.toString("utf8", 0, length);
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
