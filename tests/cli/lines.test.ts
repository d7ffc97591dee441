/** Lines, cut from reads that end anywhere. */

import { expect, test } from "bun:test";
import { Lines } from "../../src/cli/lines.ts";
import { bytesOf } from "../kit/bytes.ts";

const texts = (lines: Iterable<Uint8Array>) =>
  [...lines].map((line) => new TextDecoder().decode(line));

test("every way to cut an input in two gives the same lines", () => {
  const input = bytesOf("one\n\ntwö €\n\n😀");
  for (let at = 0; at <= input.length; at++) {
    const lines = new Lines(100);
    // One buffer for all reads, as a reader has it.
    const buffer = Buffer.alloc(input.length);
    const found: string[] = [];
    for (const part of [input.subarray(0, at), input.subarray(at)]) {
      buffer.set(part);
      found.push(...texts(lines.cut(buffer.subarray(0, part.length))));
      buffer.fill(0);
    }
    expect(found).toEqual(["one", "", "twö €", ""]);
    expect(texts([lines.rest()!])).toEqual(["😀"]);
  }
});

test("byte by byte as well", () => {
  const lines = new Lines(100);
  const found = [...bytesOf("a\nbc\n")].flatMap((byte) => texts(lines.cut(Uint8Array.of(byte))));
  expect(found).toEqual(["a", "bc"]);
  expect(lines.rest()).toBeUndefined();
});

test("a line may be as long as allowed and no longer, whole or not", () => {
  expect(texts(new Lines(3).cut(bytesOf("abc\nabc\n")))).toEqual(["abc", "abc"]);
  expect(() => texts(new Lines(3).cut(bytesOf("abcd\n")))).toThrow("longer than the 3 bytes");
  expect(() => texts(new Lines(3).cut(bytesOf("ab\nabcd")))).toThrow("longer than the 3 bytes");
});
