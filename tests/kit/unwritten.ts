/** Bytes that are to go over a socket of Bun's in their order, as the other side makes room. */

export class Unwritten {
  readonly #parts: Uint8Array[] = [];

  /** How many the kernel has not taken yet. */
  get bytes(): number {
    return this.#parts.reduce((sum, part) => sum + part.length, 0);
  }

  push(bytes: Uint8Array): void {
    this.#parts.push(bytes);
  }

  /** Writes what the socket takes now; one that has ended takes nothing. */
  writeTo(socket: Bun.Socket<undefined>): void {
    while (this.#parts.length > 0) {
      const first = this.#parts[0]!;
      const count = socket.write(first);
      if (count < 0) return;
      if (count < first.length) {
        this.#parts[0] = first.subarray(count);
        return;
      }
      this.#parts.shift();
    }
  }
}
