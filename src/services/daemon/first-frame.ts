/** The one message that comes first on a connection of bytes, which go on as something else behind it. */

import { constants } from "../../native/layout.ts";

export class FirstFrame {
  readonly #payloadBytesMax: number;
  #bytes = Buffer.alloc(0);

  constructor(payloadBytesMax: number) {
    this.#payloadBytesMax = payloadBytesMax;
  }

  /** Its payload, when it is whole. Throws if it is too long, or if more comes before it was answered. */
  hear(bytes: Uint8Array): Buffer | undefined {
    this.#bytes = Buffer.concat([this.#bytes, bytes]);
    if (this.#bytes.length < constants.header_bytes) return undefined;
    const length = this.#bytes.readUInt32BE(0);
    const rest = this.#bytes.subarray(constants.header_bytes);
    if (length > this.#payloadBytesMax || rest.length > length) {
      throw new Error(`a lookup is one message, of at most ${this.#payloadBytesMax} bytes`);
    }
    return rest.length === length ? rest : undefined;
  }
}
