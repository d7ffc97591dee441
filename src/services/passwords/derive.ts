/** Keys from a passphrase, by scrypt (RFC 7914). */

import { scryptSync } from "node:crypto";
import { sealKeyBytes } from "./format.ts";

/** Two to this power is scrypt's N. */
export type Cost = { readonly logN: number; readonly r: number; readonly p: number };

/**
 * What OWASP's Password Storage Cheat Sheet names first for scrypt: 128 MiB and some tenths of a second, once a session
 * for the owner, and again for every guess of somebody else's.
 */
export const cost: Cost = { logN: 17, r: 8, p: 1 };

/** So that no file has a reader take all of its memory: four times what this writes. */
export const memoryBytesMax = 512 * 1024 * 1024;

export const saltBytes = 32;

/** 128 N r, as RFC 7914 has it, and what stands beside it. */
export function memoryBytes({ logN, r, p }: Cost): number {
  return 128 * 2 ** logN * r + 128 * r * p;
}

export type Keys = {
  /** What a copy seals under. */
  readonly session: Uint8Array;
  /** What a vault is sealed under. */
  readonly vault: Uint8Array;
};

/** Both are the caller's to overwrite. */
export function deriveKeys(passphrase: Uint8Array, salt: Uint8Array, how: Cost = cost): Keys {
  const { logN, r, p } = how;
  const bytes = scryptSync(passphrase, salt, 2 * sealKeyBytes, {
    N: 2 ** logN,
    r,
    p,
    maxmem: memoryBytes(how) + 1024 * 1024,
  });
  const session = new Uint8Array(bytes.subarray(0, sealKeyBytes));
  const vault = new Uint8Array(bytes.subarray(sealKeyBytes));
  bytes.fill(0);
  return { session, vault };
}

export function newSalt(): Uint8Array {
  return crypto.getRandomValues(new Uint8Array(saltBytes));
}
