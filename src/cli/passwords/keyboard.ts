/**
 * Lines typed at a terminal, of which a part or all stays unseen. The terminal shows nothing by itself then (raw mode), so
 * what may be seen is shown from here, and nothing is kept of a line once it is read: there is no history.
 *
 *     Enter   the line is done            ^C   the line is thrown away
 *     Del, ^H takes a character back      ^D   on an empty line: the end
 *     ^U      takes all of it back        paste: bytes as they are, newlines in it included where all is unseen
 *
 * Keys that send more than a character, as arrows do, do nothing.
 */

import { printable, tell, writeAll } from "../output.ts";

const enters = new Set([0x0a, 0x0d]);
const takesBack = new Set([0x08, 0x7f]);
const [controlC, controlD, tab, controlU, escapeByte, blank] = [0x03, 0x04, 0x09, 0x15, 0x1b, 0x20];
const shows = 1;

/** xterm's "bracketed paste": what is pasted comes between two sequences of its own. */
const pasteOn = "\x1b[?2004h";
const pasteOff = "\x1b[?2004l";
const pasteBegin = "[200~";
const pasteEnd = "[201~";
/** A sequence is over by then, or it is none. */
const sequenceMax = 16;

const endings = ["SIGHUP", "SIGINT", "SIGTERM"] as const;

/** A line, or why there is none. */
export type Typed = Uint8Array | "interrupted" | "end";

/** How many bytes of what was typed may be seen. */
export type Seen = (line: Uint8Array) => number;

export const unseen: Seen = () => 0;

export class Keyboard implements Disposable {
  readonly #input = process.stdin;
  /** What came and was not used yet. */
  #waiting: number[] = [];
  #isOver = false;
  #wake: () => void = () => undefined;
  #line: number[] = [];
  #shown = "";
  /** An escape sequence, without the escape; undefined outside of one. */
  #sequence: string | undefined;
  #pasting = false;

  constructor() {
    this.#input.on("data", this.#take);
    this.#input.on("end", this.#hangUp);
    this.#input.on("error", this.#hangUp);
    for (const signal of endings) process.on(signal, this.#end);
    // From now on: what is typed ahead, before it is asked for, is not shown either.
    this.#setRaw(true);
  }

  /** The next line. The bytes are the caller's, to overwrite. */
  async read(prompt: string, seen: Seen): Promise<Typed> {
    this.#line = [];
    this.#shown = "";
    this.#begin(prompt);
    try {
      while (true) {
        const byte = this.#waiting.shift();
        if (byte !== undefined) {
          const typed = this.#press(byte, seen);
          if (typed !== undefined) return typed;
          // Not with each of what was pasted.
          if (this.#waiting.length === 0) this.#show(prompt, seen);
        } else if (this.#isOver) return "end";
        else await this.#more();
      }
    } finally {
      this.#line.fill(0);
      this.#finish();
    }
  }

  [Symbol.dispose](): void {
    this.#waiting.fill(0);
    this.#input.off("data", this.#take);
    this.#input.off("end", this.#hangUp);
    this.#input.off("error", this.#hangUp);
    this.#input.pause();
    this.#setRaw(false);
    for (const signal of endings) process.off(signal, this.#end);
  }

  #begin(prompt: string): void {
    this.#input.resume();
    print(`${pasteOn}${prompt}`);
  }

  #finish(): void {
    print(`${pasteOff}\n`);
  }

  #setRaw(on: boolean): void {
    try {
      this.#input.setRawMode(on);
    } catch {
      // It has hung up.
    }
  }

  readonly #take = (bytes: Buffer): void => {
    this.#waiting.push(...bytes);
    bytes.fill(0);
    this.#wake();
  };

  readonly #hangUp = (): void => {
    this.#isOver = true;
    this.#wake();
  };

  /** What a signal ends leaves the terminal as it was. */
  readonly #end = (signal: NodeJS.Signals): void => {
    this.#setRaw(false);
    tell(shows, pasteOff);
    for (const other of endings) process.off(other, this.#end);
    process.kill(process.pid, signal);
  };

  async #more(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#wake = resolve;
    await promise;
  }

  /** What the line has come to, if it has come to its end. */
  #press(byte: number, seen: Seen): Typed | undefined {
    if (this.#sequence !== undefined) return this.#continue(byte);
    if (byte === escapeByte) {
      this.#sequence = "";
      return undefined;
    }
    if (this.#pasting) return this.#paste(byte, seen);
    if (enters.has(byte)) return this.#done(seen);
    if (byte === controlC) return "interrupted";
    if (byte === controlD) return this.#line.length === 0 ? "end" : undefined;
    if (byte === controlU) this.#empty();
    else if (takesBack.has(byte)) this.#takeBack();
    else if (byte >= blank || byte === tab) this.#line.push(byte);
    return undefined;
  }

  /** A newline that can be seen is a line's end; in what is unseen it is a byte like others. */
  #paste(byte: number, seen: Seen): Typed | undefined {
    const ends = enters.has(byte) && seen(Uint8Array.from(this.#line)) > 0;
    if (ends) return this.#done(seen);
    // Terminals send the newlines of what is pasted as if Enter was pressed.
    this.#line.push(byte === 0x0d ? 0x0a : byte);
    return undefined;
  }

  #done(seen: Seen): Uint8Array {
    const line = Uint8Array.from(this.#line);
    this.#show("", seen);
    return line;
  }

  #continue(byte: number): undefined {
    this.#sequence += String.fromCharCode(byte);
    const { length } = this.#sequence!;
    const isLonger = length === 1 && (byte === 0x5b || byte === 0x4f);
    const isFinal = byte >= 0x40 && byte <= 0x7e;
    if (isLonger || (!isFinal && length > 1 && length < sequenceMax)) return;
    if (this.#sequence === pasteBegin) this.#pasting = true;
    if (this.#sequence === pasteEnd) this.#pasting = false;
    this.#sequence = undefined;
  }

  /** A character, however many bytes of UTF-8 it has. */
  #takeBack(): void {
    while (this.#line.length > 0) {
      const byte = this.#line.pop()!;
      if ((byte & 0xc0) !== 0x80) return;
    }
  }

  #empty(): void {
    this.#line.fill(0);
    this.#line = [];
  }

  /** Brings what can be seen up to date: by what was added, or anew. */
  #show(prompt: string, seen: Seen): void {
    const line = Uint8Array.from(this.#line);
    const text = Buffer.from(line.subarray(0, seen(line))).toString();
    const shown = printable(text.replaceAll("\t", " "));
    line.fill(0);
    if (shown === this.#shown) return;
    if (shown.startsWith(this.#shown)) print(shown.slice(this.#shown.length));
    else print(`\r\x1b[K${prompt}${shown}`);
    this.#shown = shown;
  }
}

function print(text: string): void {
  writeAll(shows, Buffer.from(text));
}
