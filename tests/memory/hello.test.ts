/** What the two sides say to each other before they talk through memory. */

import { expect, test } from "bun:test";
import { farewell } from "../../src/memory/farewell.ts";
import {
  formatHello,
  formatRefusal,
  formatWelcome,
  helloBytesMax,
  parseAnswer,
  parseHello,
  type Refusal,
  version,
} from "../../src/memory/hello.ts";
import { bytesOf, vectorBytes } from "../kit/bytes.ts";
import { mirror } from "../kit/sealed.ts";
import vectors from "../vectors/hellos.json" with { type: "json" };

test("the vectors are those that this was written for", () => {
  expect(vectors.version).toBe(1);
  expect(version).toBe(1);
});

test.each(vectors.hellos)("$what is understood", ({ text, rings, exact }) => {
  expect(parseHello(bytesOf(text))).toEqual({ rings });
  expect(parseAnswer(bytesOf(text))).toEqual({ rings });
  if (!exact) return;
  expect(formatHello({ rings })).toBe(text);
  expect(formatWelcome({ rings })).toBe(text);
});

test.each(vectors.malformed)("$what is refused", (vector) => {
  expect(() => parseHello(vectorBytes(vector))).toThrow(vector.why);
  expect(() => parseAnswer(vectorBytes(vector))).toThrow(vector.why);
});

test.each(vectors.refusals)("$what", ({ text, code, message }) => {
  const error = { code, message } as Refusal;
  expect(formatRefusal(error)).toBe(text);
  expect(parseAnswer(bytesOf(text))).toEqual({ error });
});

test.each(vectors.malformed_refusals)("$what is refused", ({ text, why }) => {
  expect(() => parseAnswer(bytesOf(text))).toThrow(why);
});

test("what is longer than any hello is refused before it is looked at", () => {
  const most = JSON.stringify({ memory: 1, rings: { up: 65_536, down: 65_536 }, pad: "" });
  const padded = (length: number) => most.replace('""', `"${"x".repeat(length - most.length)}"`);
  expect(parseHello(bytesOf(padded(helloBytesMax))).rings.up).toBe(65_536);
  expect(() => parseHello(bytesOf(padded(helloBytesMax + 1)))).toThrow(
    `${helloBytesMax + 1} bytes; a hello has ${helloBytesMax} at most`,
  );
});

test.each(vectors.farewells.said)(
  "that it says '$text' is sealed as another would",
  ({ text, sealed }) => {
    const word = text as "end" | "unread";
    expect(farewell(word, undefined)).toBe(text);
    using seal = mirror("aes_256_gcm", Uint8Array.fromHex(vectors.farewells.key));
    expect((farewell(word, seal) as Uint8Array).toHex()).toBe(sealed);
  },
);
