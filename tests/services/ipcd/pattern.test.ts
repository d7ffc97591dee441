/** Patterns with stars, held against regular expressions that mean the same. */

import { expect, test } from "bun:test";
import { Pattern } from "../../../src/services/ipcd/pattern.ts";
import { Random } from "../../kit/random.ts";

test.each([
  ["", "", true],
  ["", "a", false],
  ["*", "", true],
  ["*", "anything/at:all", true],
  ["pong", "pong", true],
  ["pong", "pongs", false],
  ["pong", "Pong", false],
  ["p*g", "pg", true],
  ["p*g", "ping pong", true],
  ["p*g", "pong!", false],
  ["*.*", "a.b.c", true],
  ["tcp://10.*:*/pong", "tcp://10.0.0.1:9000/pong", true],
  ["tcp://10.*:*/pong", "tcp://10.0.0.1:9000/ping", false],
  ["a.c", "abc", false],
  ["[ab]", "a", false],
  ["**a**", "bab", true],
])("%j fits %j: %p", (pattern, text, fits) => {
  expect(new Pattern(pattern).matches(text)).toBe(fits);
});

test("any pattern fits what a regular expression says it does", () => {
  const random = new Random(7);
  const word = (letters: string) =>
    Array.from({ length: random.below(8) }, () => letters[random.below(letters.length)]).join("");
  let fits = 0;
  for (let count = 0; count < 20_000; count++) {
    const pattern = word("ab*");
    const text = word("ab");
    const expected = new RegExp(`^${pattern.replaceAll("*", ".*")}$`).test(text);
    expect([pattern, text, new Pattern(pattern).matches(text)]).toEqual([pattern, text, expected]);
    fits += expected ? 1 : 0;
  }
  expect(fits).toBeGreaterThan(1000);
  expect(fits).toBeLessThan(19_000);
});

test("one that a backtracking matcher would never be done with", () => {
  expect(new Pattern(`${"*a".repeat(500)}b`).matches("a".repeat(1000))).toBe(false);
});
