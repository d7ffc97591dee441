/**
 * The client's half of a handshake in a browser: Noise_KK_25519_AESGCM_SHA256 of the Noise Protocol Framework, revision
 * 34, to whose sections the comments refer. It is written from that document, with tweetnacl for X25519 and WebCrypto
 * for the rest, and shares nothing with the native library but the vectors that both are held against.
 *
 *     -> e, es, ss
 *     <- e, ee, se
 */

import nacl from "tweetnacl";

const protocol = new TextEncoder().encode("Noise_KK_25519_AESGCM_SHA256");
const keyBytes = 32;
const tagBytes = 16;

export type Bytes = Uint8Array<ArrayBuffer>;

/** It is not what the other end has sent, or a key is no good. Nothing can be done but to begin again. */
export class SealError extends Error {
  override readonly name = "SealError";
}

export type Initiation = {
  readonly secretKey: Uint8Array;
  readonly peerPublicKey: Uint8Array;
  readonly prologue?: Uint8Array | undefined;
  /** For vectors alone: a secret key that is used twice gives away both connections. */
  readonly ephemeral?: Uint8Array | undefined;
};

/** The keys of what follows. */
export type Keys = { readonly sending: Bytes; readonly receiving: Bytes };

export class Initiator {
  readonly #static: nacl.BoxKeyPair;
  readonly #ephemeral: nacl.BoxKeyPair;
  readonly #peer: Bytes;
  readonly #prologue: Bytes;
  readonly #state = new Symmetric();

  constructor({ secretKey, peerPublicKey, prologue, ephemeral }: Initiation) {
    this.#static = nacl.box.keyPair.fromSecretKey(secretKey);
    this.#ephemeral =
      ephemeral === undefined ? nacl.box.keyPair() : nacl.box.keyPair.fromSecretKey(ephemeral);
    this.#peer = peerPublicKey.slice();
    this.#prologue = (prologue ?? new Uint8Array(0)).slice();
  }

  /** The first message. */
  async write(payload: Uint8Array): Promise<Bytes> {
    const state = this.#state;
    for (const known of [this.#prologue, this.#static.publicKey, this.#peer]) {
      await state.mixHash(known);
    }
    await state.mixHash(this.#ephemeral.publicKey);
    await state.mixKey(agree(this.#ephemeral.secretKey, this.#peer));
    await state.mixKey(agree(this.#static.secretKey, this.#peer));
    return joined(this.#ephemeral.publicKey, await state.encrypt(payload));
  }

  /** Reads the answer, and returns its payload. */
  async read(message: Uint8Array): Promise<Bytes> {
    if (message.length < keyBytes + tagBytes) {
      throw new SealError("the answer to the handshake was cut short");
    }
    const state = this.#state;
    const remote = message.slice(0, keyBytes);
    await state.mixHash(remote);
    await state.mixKey(agree(this.#ephemeral.secretKey, remote));
    await state.mixKey(agree(this.#static.secretKey, remote));
    return await state.decrypt(message.slice(keyBytes));
  }

  /** After the answer (5.2, Split). */
  async split(): Promise<Keys> {
    const [sending, receiving] = await this.#state.split();
    return { sending, receiving };
  }
}

/** DH. What everybody would agree on is refused (RFC 7748, 6.1). */
function agree(secretKey: Uint8Array, publicKey: Uint8Array): Uint8Array {
  const shared = nacl.scalarMult(secretKey, publicKey);
  if (nacl.verify(shared, new Uint8Array(keyBytes))) {
    throw new SealError("a public key is one of the few with which nothing is secret");
  }
  return shared;
}

/** SymmetricState and CipherState (5.1, 5.2). */
class Symmetric {
  /** Both begin as the name of the protocol, which is short enough to be filled up with zeros (5.2). */
  #chaining: Bytes = joined(protocol, new Uint8Array(keyBytes - protocol.length));
  #hash: Bytes = this.#chaining.slice();
  #key: Bytes = new Uint8Array(keyBytes);
  #nonce = 0n;

  async mixHash(data: Uint8Array): Promise<void> {
    const sum = await crypto.subtle.digest("SHA-256", joined(this.#hash, data));
    this.#hash = new Uint8Array(sum);
  }

  async mixKey(material: Uint8Array): Promise<void> {
    [this.#chaining, this.#key] = await derive(this.#chaining, material);
    this.#nonce = 0n;
  }

  async encrypt(payload: Uint8Array): Promise<Bytes> {
    const sealed = await encrypt(this.#key, this.#nonce++, this.#hash, payload);
    await this.mixHash(sealed);
    return sealed;
  }

  async decrypt(sealed: Uint8Array): Promise<Bytes> {
    const payload = await decrypt(this.#key, this.#nonce++, this.#hash, sealed);
    await this.mixHash(sealed);
    return payload;
  }

  async split(): Promise<[Bytes, Bytes]> {
    return await derive(this.#chaining, new Uint8Array(0));
  }
}

/** HKDF with two outputs (4.3). */
async function derive(chaining: Uint8Array, material: Uint8Array): Promise<[Bytes, Bytes]> {
  const temporary = await authenticate(chaining, material);
  const first = await authenticate(temporary, Uint8Array.of(1));
  const second = await authenticate(temporary, joined(first, Uint8Array.of(2)));
  return [first, second];
}

async function authenticate(key: Uint8Array, data: Uint8Array): Promise<Bytes> {
  const hmac = { name: "HMAC", hash: "SHA-256" };
  const imported = await crypto.subtle.importKey("raw", key.slice(), hmac, false, ["sign"]);
  return new Uint8Array(await crypto.subtle.sign("HMAC", imported, data.slice()));
}

/** AES-256-GCM with Noise's nonce: four zero bytes, then the number, big-endian (12.4). */
function algorithm(nonce: bigint, beside: Uint8Array) {
  const iv = new DataView(new ArrayBuffer(12));
  iv.setBigUint64(4, nonce);
  return {
    name: "AES-GCM",
    iv: iv.buffer,
    additionalData: beside.slice(),
    tagLength: tagBytes * 8,
  };
}

async function importKey(key: Uint8Array) {
  return await crypto.subtle.importKey("raw", key.slice(), "AES-GCM", false, [
    "encrypt",
    "decrypt",
  ]);
}

/** The bytes, encrypted, and the tag. */
export async function encrypt(
  key: Uint8Array,
  nonce: bigint,
  beside: Uint8Array,
  bytes: Uint8Array,
): Promise<Bytes> {
  const imported = await importKey(key);
  const way = algorithm(nonce, beside);
  return new Uint8Array(await crypto.subtle.encrypt(way, imported, bytes.slice()));
}

export async function decrypt(
  key: Uint8Array,
  nonce: bigint,
  beside: Uint8Array,
  sealed: Uint8Array,
): Promise<Bytes> {
  const imported = await importKey(key);
  try {
    const way = algorithm(nonce, beside);
    return new Uint8Array(await crypto.subtle.decrypt(way, imported, sealed.slice()));
  } catch (cause) {
    throw new SealError("what came is not what the other end has sealed, or it has other keys", {
      cause,
    });
  }
}

export function joined(...parts: readonly Uint8Array[]): Bytes {
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
