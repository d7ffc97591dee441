/** Key pairs, and public keys as text: one text a key, and nothing else is one. */

import { expect, test } from "bun:test";
import { inspect } from "node:util";
import { KeyPair, keyPair } from "../../src/crypto/key-pair.ts";
import { keyText, parsePublicKey } from "../../src/crypto/public-key.ts";
import { IpcError } from "../../src/native/errors.ts";
import { sealLibrary } from "../../src/native/library.ts";
import { leaveNoTrace } from "../kit/no-trace.ts";

leaveNoTrace();

test("each is another, and both libraries find the same public key to a secret one", () => {
  const found = new Set<string>();
  for (let count = 0; count < 20; count++) {
    const { publicKey, secretKey } = keyPair();
    found.add(publicKey);
    expect(publicKey).toMatch(/^[A-Za-z0-9_-]{43}$/);
    const native = new Uint8Array(32);
    expect(sealLibrary().calls.earshot_seal_public_key(secretKey, native)).toBe(0);
    expect(keyText(native)).toBe(publicKey);
    expect(parsePublicKey(publicKey).toHex()).toBe(native.toHex());
  }
  expect(found.size).toBe(20);
});

test("a public key of RFC 7748, 6.1, as text", () => {
  const alice = "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a";
  expect(parsePublicKey("hSDwCYkwp1R0i33ctD73Wg2_Og0mOBr066SpjqqbTmo").toHex()).toBe(alice);
  expect(keyText(Uint8Array.fromHex(alice))).toBe("hSDwCYkwp1R0i33ctD73Wg2_Og0mOBr066SpjqqbTmo");
});

test("the secret key shows nowhere by accident, and cannot be changed from outside", () => {
  const keys = keyPair();
  const secret = keys.secretKey;
  const shown = [inspect(keys), JSON.stringify(keys), String(keys), Bun.inspect(keys)].join();
  expect(shown).toContain(keys.publicKey);
  for (const text of [keyText(secret), secret.toHex(), secret.join()]) {
    expect(shown).not.toContain(text);
  }
  secret.fill(0);
  expect(keys.secretKey).not.toEqual(secret);
});

test("what is not a public key is told, and shown", () => {
  const { publicKey } = keyPair();
  // Of the four characters that stand for the same four bits in the end, only the first is right.
  const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  const last = alphabet.indexOf(publicKey.at(-1)!);
  expect(last % 4).toBe(0);
  for (const text of [
    "",
    publicKey.slice(1),
    `${publicKey}=`,
    `${publicKey}A`,
    ` ${publicKey.slice(1)}`,
    `${publicKey}\n`,
    publicKey.slice(0, -1) + alphabet[last + 1],
    publicKey.slice(0, -1) + alphabet[last + 3],
    `+${publicKey.slice(1)}`,
    `/${publicKey.slice(1)}`,
    "\u001b[2J",
    "x".repeat(10_000),
  ]) {
    let error: unknown;
    try {
      parsePublicKey(text);
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(IpcError);
    const { code, message } = error as IpcError;
    expect(code).toBe("EKEY");
    expect(message).toContain(JSON.stringify(text.slice(0, 60)));
    expect(message.length).toBeLessThan(250);
  }
});

test("keys of another length", () => {
  for (const length of [0, 31, 33, 64]) {
    expect(() => new KeyPair(new Uint8Array(length))).toThrow(`this one ${length}`);
    expect(() => keyText(new Uint8Array(length))).toThrow(`this one ${length}`);
  }
});
