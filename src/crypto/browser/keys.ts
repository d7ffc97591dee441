/** What a page is known by: the same X25519 keys as everybody else's. */

import nacl from "tweetnacl";
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
  return { publicKey: textOf(made.publicKey), secretKey: made.secretKey };
}

/** The bytes of a public key. Throws a SealError for what is none. */
export function readKey(text: string): Uint8Array {
  if (/^[A-Za-z0-9_-]{43}$/.test(text)) {
    const plain = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
    const bytes = Uint8Array.from(plain, (character) => character.charCodeAt(0));
    if (bytes.length === keyBytes && textOf(bytes) === text) return bytes;
  }
  throw new SealError("a public key is 43 letters, digits, '-' and '_', and this is none");
}

function textOf(bytes: Uint8Array): string {
  const text = btoa(String.fromCharCode(...bytes));
  return text.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}
