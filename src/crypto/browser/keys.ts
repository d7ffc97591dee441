/** What a page is known by: the same X25519 keys as everybody else's. */

import nacl from "tweetnacl";
import { base64Of, bytesOfBase64 } from "./base64.ts";
import { SealError } from "./noise.ts";

export type PageKeys = {
  /** 43 characters, for others to know. */
  readonly publicKey: string;
  /** 32 bytes, for nobody else. Where the page keeps it, whoever has the page's origin can read it. */
  readonly secretKey: Uint8Array;
};

const keyBytes = 32;

/** A new key pair; with a secret key the one that it belongs to. */
export function keyPair(secretKey?: Uint8Array): PageKeys {
  const made =
    secretKey === undefined ? nacl.box.keyPair() : nacl.box.keyPair.fromSecretKey(secretKey);
  return { publicKey: base64Of(made.publicKey), secretKey: made.secretKey };
}

/** The bytes of a public key. Throws a SealError for what is none. */
export function readKey(text: string): Uint8Array {
  const bytes = bytesOfBase64(text);
  if (bytes?.length === keyBytes) return bytes;
  throw new SealError("a public key is 43 letters, digits, '-' and '_', and this is none");
}
