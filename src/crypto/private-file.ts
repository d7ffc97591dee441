/**
 * A file that nobody else can read or write: checked as it is opened, so that what is read is what was checked.
 */

import { closeSync, constants, fstatSync, fsyncSync, openSync, readSync, writeSync } from "node:fs";

export const ownerOnly = 0o600;
const ofOthers = 0o077;

const { O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_RDWR, O_WRONLY } = constants;

export type Terms = {
  /** What is thrown for a file that is no good: what is wrong with it, and what to do. */
  readonly faulty: (fault: string) => Error;
  /** What to do, beside chmod, where others may have read it. */
  readonly exposed: string;
};

/**
 * Its descriptor, to read from. A link could be turned elsewhere by others, and opening a pipe would wait for somebody to
 * write to it. What the system says of one that is missing, or not ours to read, is thrown as it says it. One that is to be
 * locked is opened for writing as well.
 */
export function openPrivate(
  path: string,
  { faulty, exposed }: Terms,
  access: "read" | "write" = "read",
): number {
  const descriptor = openPlain(path, faulty, access === "read" ? O_RDONLY : O_RDWR);
  try {
    const found = fstatSync(descriptor);
    if (!found.isFile()) throw faulty("is not a plain file; name one that is");
    if (found.uid !== process.getuid!()) {
      throw faulty(`belongs to user ${found.uid}; use a file of your own`);
    }
    if ((found.mode & ofOthers) === 0) return descriptor;
    const mode = (found.mode & 0o777).toString(8).padStart(4, "0");
    throw faulty(
      `can be read or written by others (mode ${mode}); if none of them has, chmod 0600 it, else ${exposed}`,
    );
  } catch (error) {
    closeSync(descriptor);
    throw error;
  }
}

function openPlain(path: string, faulty: Terms["faulty"], access: number): number {
  try {
    return openSync(path, access | O_NOFOLLOW | O_NONBLOCK);
  } catch (error) {
    // FreeBSD has EMLINK for it.
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ELOOP" || code === "EMLINK") {
      throw faulty("is a link, which others could turn elsewhere; name the file itself");
    }
    throw error;
  }
}

/** A new file, to write to. Throws EEXIST if there is something already, a link that leads nowhere included. */
export function createPrivate(path: string): number {
  return openSync(path, O_CREAT | O_EXCL | O_NOFOLLOW | O_WRONLY, ownerOnly);
}

/** All of it, if that is at most so many bytes; else undefined. */
export function readWhole(descriptor: number, bytesMax: number): Buffer | undefined {
  const { size } = fstatSync(descriptor);
  if (size > bytesMax) return undefined;
  // One more, so that one that grows meanwhile is seen to. A small array of JavaScriptCore's own would be copied for its first
  // view, and what it held could not be overwritten.
  const bytes = Buffer.from(new ArrayBuffer(Math.min(size, bytesMax) + 1));
  let length = 0;
  while (length < bytes.length) {
    const count = readSync(descriptor, bytes, length, bytes.length - length, length);
    if (count === 0) return bytes.subarray(0, length);
    length += count;
  }
  return length > bytesMax ? undefined : bytes;
}

/** Returns when all of it is on the disk. */
export function writeWhole(descriptor: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length; ) at += writeSync(descriptor, bytes, at);
  fsyncSync(descriptor);
}
