/** Cuts a stream of bytes into lines, wherever the reads that bring it happen to end. */

import { CommandError } from "./command.ts";

const newline = 0x0a;

export class Lines {
  readonly #lineBytesMax: number;
  readonly #limit: string;
  /** What has been read of a line whose end is still to come. */
  #pieces: Uint8Array[] = [];
  #pieceBytes = 0;

  /** Longer lines throw, so that an input without newlines ends before the memory does; `limit` says whose they are. */
  constructor(lineBytesMax: number, limit = "that a message may have (--message-max)") {
    this.#lineBytesMax = lineBytesMax;
    this.#limit = limit;
  }

  /** The lines that `bytes` completes, without their newlines. They are good for as long as `bytes` is. */
  *cut(bytes: Uint8Array): Generator<Uint8Array, void, undefined> {
    let start = 0;
    for (let end = bytes.indexOf(newline); end >= 0; end = bytes.indexOf(newline, start)) {
      this.#add(bytes.subarray(start, end));
      yield this.#take();
      start = end + 1;
    }
    // A copy: a Buffer's `slice` would be none, and the next read overwrites this one.
    if (start < bytes.length) this.#add(new Uint8Array(bytes.subarray(start)));
  }

  /** At the end of input: a last line that has no newline, if there is one. */
  rest(): Uint8Array | undefined {
    return this.#pieces.length === 0 ? undefined : this.#take();
  }

  #add(piece: Uint8Array): void {
    this.#pieces.push(piece);
    this.#pieceBytes += piece.length;
    if (this.#pieceBytes <= this.#lineBytesMax) return;
    throw new CommandError(`a line is longer than the ${this.#lineBytesMax} bytes ${this.#limit}`);
  }

  #take(): Uint8Array {
    const pieces = this.#pieces;
    this.#pieces = [];
    this.#pieceBytes = 0;
    return pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces);
  }
}
