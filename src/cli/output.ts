/** What a command writes, on descriptors that somebody else may have closed, or set not to block. */

import { writeSync } from "node:fs";

const full = new Set(["EAGAIN", "EWOULDBLOCK"]);
/** So long a full pipe that does not block is left alone, in milliseconds. */
const retryMs = 1;

/** Writes all of it, and waits while the reader is slow. Throws EPIPE if the reader is gone. */
export function writeAll(descriptor: number, bytes: Uint8Array): void {
  let written = 0;
  while (written < bytes.length) {
    try {
      written += writeSync(descriptor, bytes, written);
    } catch (error) {
      if (!full.has((error as NodeJS.ErrnoException).code ?? "")) throw error;
      Bun.sleepSync(retryMs);
    }
  }
}

/** Text for whoever still listens: that nobody does is no reason to stop. */
export function tell(descriptor: 1 | 2, text: string): void {
  try {
    writeAll(descriptor, Buffer.from(text));
  } catch {
    // Whoever wanted to read this has gone.
  }
}

/** Control characters, which a name or a path may hold, shown instead of obeyed; so that a line stays one. */
export function printable(text: string): string {
  return text.replace(
    // Deliberate: these are what is looked for.
    // biome-ignore lint/suspicious/noControlCharactersInRegex: see above
    /[\u0000-\u001f\u007f-\u009f]/g,
    (character) => `\\x${character.charCodeAt(0).toString(16).padStart(2, "0")}`,
  );
}
