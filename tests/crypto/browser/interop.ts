/**
 * What a browser does in `sealed.test.ts`, there and in this runtime: the client's end of a conversation whose other end
 * is the native library's. It is bundled for the page, so that it imports nothing of Bun's.
 */

import nacl from "tweetnacl";
import { Initiator } from "../../../src/crypto/browser/noise.ts";
import { BrowserSeal, SealedHandshake } from "../../../src/crypto/browser/sealed.ts";

/** The service, asked over whatever there is: what goes and comes is in hexadecimal digits. */
export type Ask = (message: string) => Promise<string>;

const hex = {
  read: (digits: string) =>
    Uint8Array.from(digits.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16)),
  write: (bytes: Uint8Array) =>
    [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join(""),
};

/** Connects, and has texts sent back. Returns what came. */
export async function converse(
  keys: { secretKey: string; peerPublicKey: string },
  texts: readonly string[],
  ask: Ask,
): Promise<string[]> {
  const handshake = new SealedHandshake({
    secretKey: hex.read(keys.secretKey),
    peerPublicKey: hex.read(keys.peerPublicKey),
    prologue: new TextEncoder().encode("interop"),
  });
  const greeting = new TextEncoder().encode("from a browser");
  await handshake.read(hex.read(await ask(hex.write(await handshake.write(greeting)))));
  const seal = await handshake.finish();
  const answers: string[] = [];
  for (const text of texts) {
    const record = await seal.seal(1, new TextEncoder().encode(text));
    const answer = await seal.open(2, hex.read(await ask(hex.write(record))));
    answers.push(new TextDecoder().decode(answer));
  }
  return answers;
}

export type NoiseVector = {
  init_prologue: string;
  init_static: string;
  init_ephemeral: string;
  init_remote_static: string;
  messages: { payload: string; ciphertext: string }[];
};

/** The initiator's part of a published handshake: its message, what it reads, and the two keys. */
export async function initiate(vector: NoiseVector) {
  const initiator = new Initiator({
    secretKey: hex.read(vector.init_static),
    peerPublicKey: hex.read(vector.init_remote_static),
    prologue: hex.read(vector.init_prologue),
    ephemeral: hex.read(vector.init_ephemeral),
  });
  const [first, second] = vector.messages;
  const written = await initiator.write(hex.read(first!.payload));
  const read = await initiator.read(hex.read(second!.ciphertext));
  const { sending, receiving } = await initiator.split();
  return {
    written: hex.write(written),
    read: hex.write(read),
    sending: hex.write(sending),
    receiving: hex.write(receiving),
  };
}

export type RecordVector = {
  key: string;
  records_per_key: number;
  bytes_per_key: number;
  records: { kind: number; bytes: string; sealed: string }[];
};

/** The records of a direction, sealed; each is opened again. */
export async function records(vector: RecordVector): Promise<string[]> {
  const key = hex.read(vector.key);
  const limits = { recordsPerKey: vector.records_per_key, bytesPerKey: vector.bytes_per_key };
  const seal = new BrowserSeal({ sending: key, receiving: key }, limits);
  // All at once: they keep their order.
  return await Promise.all(
    vector.records.map(async ({ kind, bytes }) => {
      const record = await seal.seal(kind, hex.read(bytes));
      const opened = hex.write(await seal.open(kind, record));
      return opened === bytes ? hex.write(record) : `opened as ${opened}`;
    }),
  );
}

/** A key pair, as a page makes it. */
export function makeKeys(): { secretKey: string; publicKey: string } {
  const { secretKey, publicKey } = nacl.box.keyPair();
  return { secretKey: hex.write(secretKey), publicKey: hex.write(publicKey) };
}
