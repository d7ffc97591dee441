/** What the two ends of a sealed connection say to each other before they talk. */

import { expect, test } from "bun:test";
import { Initiator } from "../../src/crypto/browser/noise.ts";
import { BrowserSeal } from "../../src/crypto/browser/sealed.ts";
import {
  about,
  formatHello,
  formatRefusal,
  formatWelcome,
  helloBytesMax,
  parseAnswer,
  parseHello,
  type Refusal,
  refusalIn,
  version,
} from "../../src/crypto/hello.ts";
import { KeyPair } from "../../src/crypto/key-pair.ts";
import { sealKinds } from "../../src/crypto/kinds.ts";
import { parsePublicKey } from "../../src/crypto/public-key.ts";
import { bytesOf, vectorBytes } from "../kit/bytes.ts";
import vectors from "../vectors/seals.json" with { type: "json" };

const nothing = new Uint8Array();
const base64url = { alphabet: "base64url", omitPadding: true } as const;

test("the vectors are those that this was written for", () => {
  expect(vectors.version).toBe(1);
  expect(version).toBe(1);
});

test.each(vectors.hellos)("$what is understood", ({ text, key, message, exact }) => {
  expect(parseHello(bytesOf(text))).toEqual({ key, message });
  if (exact) expect(formatHello({ key, message })).toBe(text);
});

test.each(vectors.welcomes)("$what is understood", ({ text, message, exact }) => {
  expect(parseAnswer(bytesOf(text))).toEqual({ message });
  if (exact) expect(formatWelcome(message)).toBe(text);
});

test.each(vectors.refusals)("$what", ({ text, code, message }) => {
  const error = { code, message } as Refusal;
  expect(formatRefusal(error)).toBe(text);
  expect(parseAnswer(bytesOf(text))).toEqual({ error });
  expect(refusalIn(bytesOf(text))).toEqual(error);
  // Nobody else writes it so by chance.
  for (const other of [` ${text}`, `${text}\n`, `\ufeff${text}`, text.replace(":", ": ")]) {
    expect(refusalIn(bytesOf(other))).toBeUndefined();
  }
});

test.each([...vectors.hellos, ...vectors.welcomes])("$what is no refusal", ({ text }) => {
  expect(refusalIn(bytesOf(text))).toBeUndefined();
});

test.each(vectors.malformed)("$what is refused", (vector) => {
  expect(() => parseHello(vectorBytes(vector))).toThrow(vector.why);
  expect(() => parseAnswer(vectorBytes(vector))).toThrow(vector.why);
});

test.each(vectors.malformed_hellos)("$what is no hello", ({ text, why }) => {
  expect(() => parseHello(bytesOf(text))).toThrow(why);
});

test.each(vectors.malformed_welcomes)("$what is no welcome", ({ text, why }) => {
  expect(() => parseAnswer(bytesOf(text))).toThrow(why);
});

test("what is longer than any hello is refused before it is looked at", () => {
  const most = JSON.stringify({ seal: 1, key: "", message: "", pad: "" });
  const padded = (length: number) => most.replace('"pad":""', `"pad":"${"x".repeat(length)}"`);
  const room = helloBytesMax - most.length;
  expect(parseHello(bytesOf(padded(room)))).toEqual({ key: "", message: "" });
  expect(() => parseHello(bytesOf(padded(room + 1)))).toThrow(`and this ${helloBytesMax + 1}`);
});

test("a whole conversation is what another implementation says, byte for byte", async () => {
  const { conversation } = vectors;
  const client = new KeyPair(Uint8Array.fromHex(conversation.client_secret));
  const service = new KeyPair(Uint8Array.fromHex(conversation.service_secret));
  expect(about(conversation.service)).toBe(conversation.prologue);
  const initiator = new Initiator({
    secretKey: client.secretKey,
    peerPublicKey: parsePublicKey(service.publicKey),
    prologue: bytesOf(conversation.prologue),
    ephemeral: Uint8Array.fromHex(conversation.client_ephemeral),
  });
  const aes256GcmAlone = 1 << 2;
  const message = (await initiator.write(Uint8Array.of(1, aes256GcmAlone))).toBase64(base64url);
  expect(formatHello({ key: client.publicKey, message })).toBe(conversation.hello);
  const welcome = parseAnswer(bytesOf(conversation.welcome)) as { message: string };
  await initiator.read(Uint8Array.fromBase64(welcome.message, base64url));
  const seal = new BrowserSeal(await initiator.split());
  expect((await seal.seal(sealKinds.proof, nothing)).toHex()).toBe(conversation.proof);
  for (const { from, text, record } of conversation.messages) {
    if (from === "client") {
      expect((await seal.seal(sealKinds.message, bytesOf(text))).toHex()).toBe(record);
    } else {
      const opened = await seal.open(sealKinds.message, Uint8Array.fromHex(record));
      expect(new TextDecoder().decode(opened)).toBe(text);
    }
  }
  // Behind a message of no bytes.
  for (const { from, record } of conversation.ends) {
    if (from === "client") expect((await seal.seal(sealKinds.end, nothing)).toHex()).toBe(record);
    else expect(await seal.open(sealKinds.end, Uint8Array.fromHex(record))).toHaveLength(0);
  }
});
