/**
 * A line of commands, in words as a shell has them: blanks part them; a backslash takes the next byte as it is; quotes keep
 * blanks, 'all as it is', "but for \" \\ \$ and \`", $'with \n, \t, \x00 and the like'. Bytes in, bytes out.
 */

/** The line cannot be understood; the message says why. */
export class WordsError extends Error {
  override readonly name = "WordsError";
}

const [tab, blank, double, dollar, single, backslash, backquote] = Buffer.from("\t \"$'\\`");
const newline = 0x0a;
const lettered: Readonly<Record<string, number>> = {
  a: 0x07,
  b: 0x08,
  e: 0x1b,
  f: 0x0c,
  n: 0x0a,
  r: 0x0d,
  t: 0x09,
  v: 0x0b,
  "\\": 0x5c,
  "'": 0x27,
  '"': 0x22,
};

/** What quotes and a backslash have begun. */
type Quote = "none" | "single" | "double" | "dollar";

const closing = {
  single: "a quote (') is not closed",
  double: 'a quote (") is not closed',
  dollar: "a quote ($') is not closed",
};

/** Throws a WordsError. */
export function splitWords(line: Uint8Array): Uint8Array[] {
  const splitter = new Splitter(line);
  splitter.run();
  splitter.finish();
  return splitter.words;
}

/**
 * Where the third word of a line that begins with these two begins, as in `set KEY VALUE`; undefined if it is not begun. It
 * need not be understood to its end.
 */
export function thirdWordAt(line: Uint8Array, first: string): number | undefined {
  const splitter = new Splitter(line);
  try {
    splitter.run(2);
  } catch (error) {
    if (error instanceof WordsError) return undefined;
    throw error;
  }
  const [verb, key] = splitter.words;
  if (key === undefined || Buffer.from(verb!).toString("latin1") !== first) return undefined;
  return splitter.at;
}

class Splitter {
  readonly words: Uint8Array[] = [];
  at = 0;
  readonly #line: Uint8Array;
  #quote: Quote = "none";
  /** Undefined between words: one may be empty. */
  #word: number[] | undefined;

  constructor(line: Uint8Array) {
    this.#line = line;
  }

  /** To the end, or to the blank behind so many words. */
  run(wordsMax = Infinity): void {
    while (this.at < this.#line.length && this.words.length < wordsMax) this.#step();
  }

  finish(): void {
    if (this.#quote !== "none") throw new WordsError(closing[this.#quote]);
    this.#endWord();
  }

  #step(): void {
    const byte = this.#line[this.at]!;
    this.at += 1;
    switch (this.#quote) {
      case "none":
        this.#plain(byte);
        break;
      case "single":
        if (byte === single) this.#close();
        else this.#put(byte);
        break;
      case "double":
        this.#doubled(byte);
        break;
      case "dollar":
        this.#dollared(byte);
        break;
    }
  }

  #plain(byte: number): void {
    if (byte === blank || byte === tab) this.#endWord();
    else if (byte === single) this.#open("single");
    else if (byte === double) this.#open("double");
    else if (byte === dollar && this.#line[this.at] === single) {
      this.at += 1;
      this.#open("dollar");
    } else if (byte === backslash) this.#put(this.#next("nothing follows a backslash"));
    else this.#put(byte);
  }

  #doubled(byte: number): void {
    if (byte === double) this.#close();
    else if (byte === backslash) this.#escapeDoubled();
    else this.#put(byte);
  }

  #escapeDoubled(): void {
    const next = this.#next(closing.double);
    const isEscape = next === double || next === dollar || next === backslash || next === backquote;
    if (!isEscape) this.#put(backslash!);
    this.#put(next);
  }

  #dollared(byte: number): void {
    if (byte === single) this.#close();
    else if (byte === backslash) this.#escapeDollared();
    else this.#put(byte);
  }

  #escapeDollared(): void {
    const letter = String.fromCharCode(this.#next(closing.dollar));
    if (/[0-7]/.test(letter)) {
      this.at -= 1;
      this.#number(/^[0-7]{1,3}/, 8);
    } else if (letter === "x") this.#number(/^[0-9A-Fa-f]{1,2}/, 16);
    else this.#put(this.#meant(letter));
  }

  #meant(letter: string): number {
    const meant = lettered[letter];
    if (meant !== undefined) return meant;
    throw new WordsError(`\\${letter} means nothing between $' and '; a backslash itself is \\\\`);
  }

  #number(digits: RegExp, base: number): void {
    const next = Buffer.from(this.#line.subarray(this.at, this.at + 3)).toString("latin1");
    const [found] = digits.exec(next) ?? [];
    if (found === undefined) throw new WordsError("\\x takes one or two hexadecimal digits");
    const byte = Number.parseInt(found, base);
    if (byte > 255) throw new WordsError(`\\${found} is more than a byte holds`);
    this.at += found.length;
    this.#put(byte);
  }

  #next(fault: string): number {
    const byte = this.#line[this.at];
    if (byte === undefined) throw new WordsError(fault);
    this.at += 1;
    return byte;
  }

  #open(quote: Quote): void {
    this.#quote = quote;
    this.#word ??= [];
  }

  #close(): void {
    this.#quote = "none";
  }

  #put(byte: number): void {
    this.#word ??= [];
    this.#word.push(byte);
  }

  #endWord(): void {
    if (this.#word === undefined) return;
    this.words.push(Uint8Array.from(this.#word));
    this.#word.fill(0);
    this.#word = undefined;
  }
}

/** The same bytes as one word, for people to read and for `splitWords` to understand. */
export function quoted(word: Uint8Array): string {
  const text = textOf(word);
  if (text !== undefined && /^[\w@%+=:,./-]+$/.test(text)) return text;
  // Control characters, those of C1 among them, a terminal would obey.
  if (text !== undefined && !/\p{C}/u.test(text)) return `'${text.replaceAll("'", "'\\''")}'`;
  const bytes = [...word].map((byte) => {
    if (byte === single || byte === backslash) return `\\${String.fromCharCode(byte)}`;
    if (byte >= blank! && byte < 0x7f) return String.fromCharCode(byte);
    return byte === newline ? "\\n" : `\\x${byte.toString(16).padStart(2, "0")}`;
  });
  return `$'${bytes.join("")}'`;
}

/** Undefined for bytes that are not UTF-8. */
export function textOf(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return undefined;
  }
}
