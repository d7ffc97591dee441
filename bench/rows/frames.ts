/**
 * Frames for the peers that have only bytes: a u32 in big-endian order with the length, then the
 * bytes. It is what their user would have to write, and written to be fast: a message that lies
 * whole in one chunk is never copied.
 */

const headerBytes = 4;

/** One frame in a buffer that is used again for the next. */
export class FrameWriter {
  #buffer = new Uint8Array(headerBytes);

  frame(payload: Uint8Array): Uint8Array {
    const bytes = headerBytes + payload.length;
    if (this.#buffer.length < bytes) this.#buffer = new Uint8Array(bytes);
    writeFrame(this.#buffer, 0, payload);
    return this.#buffer.subarray(0, bytes);
  }
}

/** Returns where the next frame goes. */
export function writeFrame(buffer: Uint8Array, at: number, payload: Uint8Array): number {
  const bytes = payload.length;
  buffer[at] = bytes >>> 24;
  buffer[at + 1] = bytes >>> 16;
  buffer[at + 2] = bytes >>> 8;
  buffer[at + 3] = bytes;
  buffer.set(payload, at + headerBytes);
  return at + headerBytes + bytes;
}

/** Cuts what arrives into messages. A message is a view, good until the handler returns. */
export class FrameCutter {
  readonly #message: (bytes: Uint8Array) => void;
  /** The beginning of a frame whose end has not come yet. */
  #partial = new Uint8Array(headerBytes);
  #partialBytes = 0;

  constructor(message: (bytes: Uint8Array) => void) {
    this.#message = message;
  }

  push(chunk: Uint8Array): void {
    let at = this.#partialBytes === 0 ? 0 : this.#complete(chunk);
    while (chunk.length - at >= headerBytes) {
      const end = at + headerBytes + lengthAt(chunk, at);
      if (end > chunk.length) break;
      this.#message(chunk.subarray(at + headerBytes, end));
      at = end;
    }
    if (at < chunk.length) this.#keep(chunk.subarray(at));
  }

  /** Adds to the partial frame what it lacks. Returns how much of the chunk that took. */
  #complete(chunk: Uint8Array): number {
    let at = this.#take(chunk, 0, headerBytes);
    if (this.#partialBytes < headerBytes) return at;
    const whole = headerBytes + lengthAt(this.#partial, 0);
    at = this.#take(chunk, at, whole);
    if (this.#partialBytes < whole) return at;
    this.#partialBytes = 0;
    this.#message(this.#partial.subarray(headerBytes, whole));
    return at;
  }

  #take(chunk: Uint8Array, at: number, wanted: number): number {
    const end = Math.min(chunk.length, at + Math.max(0, wanted - this.#partialBytes));
    this.#keep(chunk.subarray(at, end));
    return end;
  }

  #keep(bytes: Uint8Array): void {
    const needed = this.#partialBytes + bytes.length;
    if (this.#partial.length < needed) {
      const larger = new Uint8Array(2 * needed);
      larger.set(this.#partial.subarray(0, this.#partialBytes));
      this.#partial = larger;
    }
    this.#partial.set(bytes, this.#partialBytes);
    this.#partialBytes = needed;
  }
}

function lengthAt(bytes: Uint8Array, at: number): number {
  const high = bytes[at]! * 0x1000000; // a shift would make the highest bit a sign
  return high + ((bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!);
}
