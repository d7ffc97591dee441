/** The one message that comes first on a connection of bytes, which go on as something else behind it. */

import { constants } from "../../native/layout.ts";

export class FirstFrame {
  readonly #payloadBytesMax: number;
  readonly #header = Buffer.alloc(constants.header_bytes);
  #payload: Buffer | undefined;
  /** Of header and payload together. */
  #bytes = 0;

  constructor(payloadBytesMax: number) {
    this.#payloadBytesMax = payloadBytesMax;
  }

  /** Its payload, when it is whole. Throws if it is too long, or if more comes before it was answered. */
  hear(bytes: Uint8Array): Buffer | undefined {
    const missing = Math.min(Math.max(0, this.#header.length - this.#bytes), bytes.length);
    if (missing > 0) this.#header.set(bytes.subarray(0, missing), this.#bytes);
    this.#bytes += missing;
    if (this.#bytes < this.#header.length) return undefined;
    const length = this.#header.readUInt32BE(0);
    const rest = bytes.subarray(missing);
    const at = this.#bytes - this.#header.length;
    if (length > this.#payloadBytesMax || at + rest.length > length) {
      throw new Error(`a lookup is one message, of at most ${this.#payloadBytesMax} bytes`);
    }
    this.#payload ??= Buffer.alloc(length);
    this.#payload.set(rest, at);
    this.#bytes += rest.length;
    return at + rest.length === length ? this.#payload : undefined;
  }
}
