/**
 * Public keys as text, which is how people hand them on: the 32 bytes of an X25519 key in base64url (RFC 4648, 5) without
 * padding, 43 characters. Each key has one text and no other.
 */

import { IpcError } from "../native/errors.ts";

export const keyBytes = 32;
const characters = /^[A-Za-z0-9_-]{43}$/;

/** The text of a key of 32 bytes. */
export function keyText(bytes: Uint8Array): string {
  if (bytes.length !== keyBytes) {
    throw new IpcError("EKEY", `EKEY: a key has ${keyBytes} bytes, and this one ${bytes.length}`);
  }
  return bytes.toBase64({ alphabet: "base64url", omitPadding: true });
}

/**
 * The 32 bytes of a public key. Throws an IpcError (EKEY) for anything but the one text that a key has.
 *
 * @example
 * parsePublicKey("hSDwCYkwp1R0i33ctD73Wg2_Og0mOBr066SpjqqbTmo");
 */
export function parsePublicKey(text: string): Uint8Array {
  const bytes = parseKey(text);
  if (bytes !== undefined) return bytes;
  const shown = text.length > 60 ? `${JSON.stringify(text.slice(0, 60))}…` : JSON.stringify(text);
  throw new IpcError(
    "EKEY",
    `EKEY: ${shown} is not a public key, which is 43 letters, digits, '-' and '_'; "keys show FILE" shows one`,
  );
}

/** Undefined for what is not the text of a key. */
export function parseKey(text: string): Uint8Array | undefined {
  if (!characters.test(text)) return undefined;
  const bytes = Uint8Array.fromBase64(text, { alphabet: "base64url" });
  // The last character has two bits more than the key needs, which must be 0, or a key would have four texts.
  return keyText(bytes) === text ? bytes : undefined;
}
