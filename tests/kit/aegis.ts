/**
 * AEGIS-256 as draft-irtf-cfrg-aegis-aead, sections 2.4 and 4, writes it down, with a tag of 128 bits: slow, short, and
 * made of nothing that the library is made of, so that the two can be held against each other.
 */

const blockBytes = 16;

/** Multiplication by x in the field of AES (FIPS 197, 4.2). */
function double(value: number): number {
  return ((value << 1) ^ (value & 0x80 ? 0x11b : 0)) & 255;
}

/** The S-box of FIPS 197, 5.1.1, worked out: the inverse in the field, then an affine map. */
function substitutions(): Uint8Array {
  const box = new Uint8Array(256);
  const powers = new Uint8Array(255);
  // 3 generates the field without 0.
  for (let index = 0, value = 1; index < 255; index++, value ^= double(value))
    powers[index] = value;
  const rotated = (value: number, by: number) => ((value << by) | (value >> (8 - by))) & 255;
  for (let index = 0; index < 255; index++) {
    const inverse = powers[(255 - index) % 255]!;
    box[powers[index]!] =
      inverse ^
      rotated(inverse, 1) ^
      rotated(inverse, 2) ^
      rotated(inverse, 3) ^
      rotated(inverse, 4) ^
      0x63;
  }
  box[0] = 0x63;
  return box;
}

const box = substitutions();

/** One round of AES: SubBytes, ShiftRows, MixColumns, AddRoundKey. */
function round(block: Uint8Array, key: Uint8Array): Uint8Array {
  const out = new Uint8Array(blockBytes);
  for (let column = 0; column < 4; column++) {
    const of = (row: number) => box[block[((column + row) % 4) * 4 + row]!]!;
    for (let row = 0; row < 4; row++) {
      const [a, b, c, d] = [0, 1, 2, 3].map((ahead) => of((row + ahead) % 4)) as [
        number,
        number,
        number,
        number,
      ];
      out[column * 4 + row] = double(a) ^ double(b) ^ b ^ c ^ d ^ key[column * 4 + row]!;
    }
  }
  return out;
}

function combine(by: (a: number, b: number) => number, ...blocks: Uint8Array[]): Uint8Array {
  return blocks.reduce((left, right) => left.map((byte, index) => by(byte, right[index]!)));
}

const xor = (...blocks: Uint8Array[]) => combine((a, b) => a ^ b, ...blocks);
const and = (...blocks: Uint8Array[]) => combine((a, b) => a & b, ...blocks);

const fibonacci = Uint8Array.fromHex(
  "000101020305080d1522375990e97962db3d18556dc22ff12011314273b528dd",
);

type State = Uint8Array[];

function update(state: State, message: Uint8Array): void {
  const [s0, s1, s2, s3, s4, s5] = state as [
    Uint8Array,
    Uint8Array,
    Uint8Array,
    Uint8Array,
    Uint8Array,
    Uint8Array,
  ];
  state[0] = round(s5, xor(s0, message));
  state[1] = round(s0, s1);
  state[2] = round(s1, s2);
  state[3] = round(s2, s3);
  state[4] = round(s3, s4);
  state[5] = round(s4, s5);
}

function begin(key: Uint8Array, nonce: Uint8Array): State {
  const halves = (bytes: Uint8Array) => [bytes.slice(0, 16), bytes.slice(16)] as const;
  const [k0, k1] = halves(key);
  const [n0, n1] = halves(nonce);
  const [c0, c1] = halves(fibonacci);
  const state = [xor(k0, n0), xor(k1, n1), c1, c0, xor(k0, c0), xor(k1, c1)];
  for (let times = 0; times < 4; times++) {
    for (const block of [k0, k1, xor(k0, n0), xor(k1, n1)]) update(state, block);
  }
  return state;
}

/** In blocks, of which the last is filled up with zeros. */
function* blocksOf(bytes: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += blockBytes) {
    const block = new Uint8Array(blockBytes);
    block.set(bytes.subarray(at, at + blockBytes));
    yield block;
  }
}

export const aegis256 = {
  /** The bytes, encrypted, and the tag. */
  seal(
    key: Uint8Array,
    nonce: Uint8Array,
    beside: Uint8Array,
    bytes: Uint8Array,
  ): [Uint8Array, Uint8Array] {
    const state = begin(key, nonce);
    for (const block of blocksOf(beside)) update(state, block);
    const out: number[] = [];
    for (const block of blocksOf(bytes)) {
      const stream = xor(state[1]!, state[4]!, state[5]!, and(state[2]!, state[3]!));
      out.push(...xor(block, stream));
      update(state, block);
    }
    const sizes = new DataView(new ArrayBuffer(blockBytes));
    sizes.setBigUint64(0, BigInt(beside.length) * 8n, true);
    sizes.setBigUint64(8, BigInt(bytes.length) * 8n, true);
    const last = xor(state[3]!, new Uint8Array(sizes.buffer));
    for (let times = 0; times < 7; times++) update(state, last);
    return [new Uint8Array(out).slice(0, bytes.length), xor(...state)];
  },
};
