/** Lines of commands: quoting as in a shell, errors where it is not closed, and keys that can be typed again. */

import { expect, test } from "bun:test";
import { quoted, splitWords, thirdWordAt, WordsError } from "../../../src/cli/passwords/words.ts";
import { Random } from "../../kit/random.ts";

const bytesOf = (text: string) => new Uint8Array(Buffer.from(text));
const split = (line: string) =>
  splitWords(bytesOf(line)).map((word) => Buffer.from(word).toString("latin1"));

test.each([
  ["", []],
  ["  \t ", []],
  ["get mail", ["get", "mail"]],
  ["  set\t a   b ", ["set", "a", "b"]],
  ["get 'a b'", ["get", "a b"]],
  [`get "a 'b'" 'c "d"'`, ["get", "a 'b'", 'c "d"']],
  ["a''b \"\" ''", ["ab", "", ""]],
  ["a\\ b \\' \\\" \\\\", ["a b", "'", '"', "\\"]],
  ['"\\" \\\\ \\$ \\` \\n \\ "', ['" \\ $ ` \\n \\ ']],
  ["'\\n'", ["\\n"]],
  ["$'a\\n\\t\\\\\\'\\x00\\xff\\x7\\0\\101 \\e'", ["a\n\t\\'\0\xff\x07\0A \x1b"]],
  ["$a a$ $", ["$a", "a$", "$"]],
  ["ü", ["\xc3\xbc"]],
])("%j is %j", (line, words) => {
  expect(split(line)).toEqual(words);
});

test.each([
  ["get 'a", "a quote (') is not closed"],
  ['get "a', 'a quote (") is not closed'],
  ['get "a\\', 'a quote (") is not closed'],
  ["get $'a", "a quote ($') is not closed"],
  ["get $'a\\", "a quote ($') is not closed"],
  ["get a\\", "nothing follows a backslash"],
  ["$'\\q'", "\\q means nothing between $' and '; a backslash itself is \\\\"],
  ["$'\\xg'", "\\x takes one or two hexadecimal digits"],
  ["$'\\777'", "\\777 is more than a byte holds"],
])("%j is not understood: %s", (line, said) => {
  expect(() => split(line)).toThrow(WordsError);
  expect(() => split(line)).toThrow(said);
});

test.each([
  ["mail", "mail"],
  ["a b", "'a b'"],
  ["it's", "'it'\\''s'"],
  ["", "''"],
  ["schlüssel", "'schlüssel'"],
  ["a\nb", "$'a\\nb'"],
  ["\u009b31m", "$'\\xc2\\x9b31m'"],
  ["#x", "'#x'"],
])("%j is shown as %s", (word, shown) => {
  expect(quoted(bytesOf(word))).toBe(shown);
});

test("any bytes come back from what is shown of them", () => {
  const random = new Random(11);
  for (let round = 0; round < 500; round++) {
    const word = random.bytes(random.below(12));
    const shown = quoted(word);
    expect(splitWords(bytesOf(shown)).map((one) => Buffer.from(one).toString("hex"))).toEqual([
      Buffer.from(word).toString("hex"),
    ]);
    // Nothing that a terminal would obey.
    expect(shown).not.toMatch(/\p{Cc}/u);
  }
});

test.each([
  ["set", undefined],
  ["set ", undefined],
  ["set a", undefined],
  ["set a ", 6],
  ["set a b", 6],
  ["  set 'a b'  secret", 12],
  ["set 'a b", undefined],
  ["get a b", undefined],
  ["'set' a b c", 8],
  ["set a\\", undefined],
  ["set $'\\q' b", undefined],
])("the value of %j begins at %p", (line, at) => {
  expect(thirdWordAt(bytesOf(line), "set")).toBe(at);
});
