/** What is read from a file or a pipe, of which nothing stays in memory but what is returned. */

import { readSync } from "node:fs";
import { isatty } from "node:tty";
import { CommandError } from "../command.ts";

const readBytes = 64 * 1024;

/** What there is until its end, piece by piece; each is good until the next is asked for. */
export function* piecesOf(descriptor: number): Generator<Uint8Array, void, undefined> {
  const buffer = Buffer.alloc(readBytes);
  try {
    for (let count = 1; count > 0; ) {
      count = readSome(descriptor, buffer);
      if (count > 0) yield buffer.subarray(0, count);
    }
  } finally {
    buffer.fill(0);
  }
}

function readSome(descriptor: number, buffer: Uint8Array): number {
  while (true) {
    try {
      return readSync(descriptor, buffer);
    } catch (error) {
      const { code = "" } = error as NodeJS.ErrnoException;
      if (code === "EAGAIN" || code === "EWOULDBLOCK") Bun.sleepSync(1);
      // A terminal that has hung up.
      else if (code === "EIO" && isatty(descriptor)) return 0;
      else if (code !== "EINTR") {
        throw new CommandError(`the input cannot be read: ${(error as Error).message}`);
      }
    }
  }
}

/** All of an input. `what` it is says who is told that it is too long. */
export function readInput(descriptor: number, bytesMax: number, what: string): Uint8Array {
  // One more, so that what is longer shows.
  const room = Buffer.alloc(bytesMax + 1);
  let length = 0;
  try {
    for (const piece of piecesOf(descriptor)) {
      const taken = piece.subarray(0, room.length - length);
      room.set(taken, length);
      length += taken.length;
      if (length > bytesMax) throw new CommandError(`${what} has ${bytesMax} bytes at most`);
    }
    return Uint8Array.from(room.subarray(0, length));
  } finally {
    room.fill(0);
  }
}
