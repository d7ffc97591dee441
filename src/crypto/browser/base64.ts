/** Base64url (RFC 4648, 5) without padding; not every browser has it in its arrays yet. */

import type { Bytes } from "./noise.ts";

export function base64Of(bytes: Uint8Array): string {
  const text = btoa(String.fromCharCode(...bytes));
  return text.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/** Undefined for what is not the one text that some bytes have. */
export function bytesOfBase64(text: string): Bytes | undefined {
  if (!/^[A-Za-z0-9_-]*$/.test(text) || text.length % 4 === 1) return undefined;
  const plain = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
  const bytes = Uint8Array.from(plain, (character) => character.charCodeAt(0));
  return base64Of(bytes) === text ? bytes : undefined;
}
