/** A line that may be a command. */

import { splitWords } from "./words.ts";

const comment = "#".charCodeAt(0);
const blanks: ReadonlySet<number> = new Set(Buffer.from(" \t"));
const carriageReturn = 0x0d;

/** Its words. Undefined for a line that is no command: nothing, or a comment. Throws a WordsError. */
export function wordsOf(line: Uint8Array): Uint8Array[] | undefined {
  // Before it is taken for words: an apostrophe in it opens no quote.
  if (line.find((byte) => !blanks.has(byte)) === comment) return undefined;
  const end = line.at(-1) === carriageReturn ? line.length - 1 : line.length;
  const words = splitWords(line.subarray(0, end));
  return words.length === 0 ? undefined : words;
}
