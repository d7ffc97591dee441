/**
 * ChaCha20-Poly1305 as RFC 8439 writes it down, with the Poly1305 of tweetnacl: made of nothing that the library is made
 * of, for a Bun whose node:crypto lacks it.
 */

import nacl from "tweetnacl";

const blockBytes = 64;

function quarter(state: Uint32Array, a: number, b: number, c: number, d: number): void {
  const rotate = (value: number, by: number) => (value << by) | (value >>> (32 - by));
  const mix = (into: number, from: number, turned: number, by: number) => {
    state[into] = state[into]! + state[from]!;
    state[turned] = rotate(state[turned]! ^ state[into]!, by);
  };
  mix(a, b, d, 16);
  mix(c, d, b, 12);
  mix(a, b, d, 8);
  mix(c, d, b, 7);
}

/** 2.3. */
function block(key: Uint8Array, counter: number, nonce: Uint8Array): Uint8Array {
  const words = (bytes: Uint8Array) => new Uint32Array(bytes.slice().buffer);
  const constants = new TextEncoder().encode("expand 32-byte k");
  const first = new Uint32Array([...words(constants), ...words(key), counter, ...words(nonce)]);
  const state = first.slice();
  for (let round = 0; round < 10; round++) {
    for (let column = 0; column < 4; column++) {
      quarter(state, column, column + 4, column + 8, column + 12);
    }
    for (let row = 0; row < 4; row++) {
      quarter(state, row, ((row + 1) % 4) + 4, ((row + 2) % 4) + 8, ((row + 3) % 4) + 12);
    }
  }
  return new Uint8Array(state.map((word, index) => word + first[index]!).buffer);
}

/** tweetnacl exports it for such uses, and its types leave it out. */
const { crypto_onetimeauth: authenticate } = (
  nacl as unknown as {
    lowlevel: {
      crypto_onetimeauth(
        out: Uint8Array,
        at: number,
        bytes: Uint8Array,
        from: number,
        length: number,
        key: Uint8Array,
      ): void;
    };
  }
).lowlevel;

export const chacha20Poly1305 = {
  /** The bytes, encrypted, and the tag (2.8). */
  seal(
    key: Uint8Array,
    nonce: Uint8Array,
    beside: Uint8Array,
    bytes: Uint8Array,
  ): [Uint8Array, Uint8Array] {
    const out = bytes.slice();
    for (let at = 0; at < out.length; at += blockBytes) {
      const stream = block(key, at / blockBytes + 1, nonce);
      for (let index = at; index < Math.min(at + blockBytes, out.length); index++) {
        out[index] = out[index]! ^ stream[index - at]!;
      }
    }
    const padding = (length: number) => new Uint8Array((16 - (length % 16)) % 16);
    const sizes = new BigUint64Array([BigInt(beside.length), BigInt(out.length)]);
    const whole = Buffer.concat([
      beside,
      padding(beside.length),
      out,
      padding(out.length),
      new Uint8Array(sizes.buffer),
    ]);
    const tag = new Uint8Array(16);
    authenticate(tag, 0, whole, 0, whole.length, block(key, 0, nonce).subarray(0, 32));
    return [out, tag];
  },
};
