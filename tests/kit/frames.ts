/** The wire by hand, so that tests of it do not lean on what they test: `u32` big-endian length, then the bytes. */

export const headerBytes = 4;

export function frame(payload: Uint8Array | string): Uint8Array {
  const bytes = typeof payload === "string" ? new TextEncoder().encode(payload) : payload;
  const framed = new Uint8Array(headerBytes + bytes.length);
  new DataView(framed.buffer).setUint32(0, bytes.length);
  framed.set(bytes, headerBytes);
  return framed;
}

/** A header alone, which announces what may never come. */
export function header(length: number): Uint8Array {
  const bytes = new Uint8Array(headerBytes);
  new DataView(bytes.buffer).setUint32(0, length);
  return bytes;
}

export function join(parts: readonly Uint8Array[]): Uint8Array {
  const joined = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}

/** Cuts a stream of bytes, in whatever pieces it comes, into payloads. */
export class FrameCutter {
  #rest: Uint8Array = new Uint8Array();
  readonly payloads: Uint8Array[] = [];

  push(bytes: Uint8Array): void {
    const all = this.#rest.length === 0 ? bytes : join([this.#rest, bytes]);
    const view = new DataView(all.buffer, all.byteOffset, all.byteLength);
    let at = 0;
    while (all.length - at >= headerBytes) {
      const end = at + headerBytes + view.getUint32(at);
      if (end > all.length) break;
      this.payloads.push(all.slice(at + headerBytes, end));
      at = end;
    }
    this.#rest = all.slice(at);
  }

  /** Bytes of a payload that is not whole. */
  get restBytes(): number {
    return this.#rest.length;
  }
}
