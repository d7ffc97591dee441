/** What an end of sealed connections is known by: an X25519 key pair (RFC 7748), made with tweetnacl. */

import nacl from "tweetnacl";
import type { OwnKeys } from "../ipc/seal.ts";
import { IpcError } from "../native/errors.ts";
import { keyBytes, keyText } from "./public-key.ts";

/** The secret key is left out when one is printed or made into JSON. */
export class KeyPair {
  /** For others to know: 43 characters, as `allow` and `peer` take it. */
  readonly publicKey: string;
  readonly #secretKey: Uint8Array;

  constructor(secretKey: Uint8Array) {
    if (secretKey.length !== keyBytes) {
      const found = secretKey.length;
      throw new IpcError("EKEY", `EKEY: a secret key has ${keyBytes} bytes, and this one ${found}`);
    }
    this.#secretKey = secretKey.slice();
    this.publicKey = keyText(nacl.box.keyPair.fromSecretKey(this.#secretKey).publicKey);
  }

  /** The 32 bytes that nobody else may know. */
  get secretKey(): Uint8Array {
    return this.#secretKey.slice();
  }
}

/** What somebody gave as his keys. Throws an IpcError (EKEY) if they are none, or do not belong together. */
export function keysOf(given: OwnKeys): KeyPair {
  if (given instanceof KeyPair) return given;
  const { publicKey, secretKey } = Object(given) as Partial<OwnKeys>;
  if (!(secretKey instanceof Uint8Array)) {
    throw new IpcError("EKEY", "EKEY: keys are what keyPair() or loadKeys() has returned");
  }
  const keys = new KeyPair(secretKey);
  if (publicKey === keys.publicKey) return keys;
  throw new IpcError("EKEY", "EKEY: the public key of keys is not that of their secret key");
}

/**
 * A new key pair.
 *
 * @example
 * const keys = keyPair();
 * console.log(keys.publicKey);      // 43 characters, for the `allow` or `peer` of others
 */
export function keyPair(): KeyPair {
  return new KeyPair(nacl.box.keyPair().secretKey);
}
