/** The command line: options that may be repeated, that take two words, and that know which came before which. */

import { describe, expect, test } from "bun:test";
import { describeOptions, readArguments, readWords } from "../../src/cli/arguments.ts";
import type { Repeatable } from "../../src/services/option.ts";
import { count, flag, repeated, text, UsageError } from "../../src/services/option.ts";

type Placed = { given: string; place: number };

const placed: Repeatable<Placed> = repeated({
  placeholder: "WHAT",
  help: "knows where it stands",
  read: (given, place) => ({ given, place }),
});

const options = {
  first: placed,
  second: placed,
  two: { ...placed, pair: true },
  once: { ...text("OLD NEW", "two words"), pair: true },
  name: text("NAME", "one word"),
  size: count("BYTES", "a number"),
  quiet: flag("says nothing"),
} as const;

const read = (...given: string[]) => readArguments(given, options);

/** What is thrown for a line that cannot be understood. */
function complaint(...given: string[]): string {
  try {
    read(...given);
  } catch (error) {
    expect(error).toBeInstanceOf(UsageError);
    return (error as Error).message;
  }
  return "";
}

test("words and options are told apart, in whatever order", () => {
  const { words, values } = read("a", "--size", "3", "b", "--quiet", "--name=c", "--", "--size");
  expect(words).toEqual(["a", "b", "--size"]);
  expect(values).toMatchObject({ size: 3, quiet: true, name: "c", first: [], once: undefined });
});

test("of an option that is not repeated the last counts", () => {
  expect(read("--size", "1", "--size", "2").values.size).toBe(2);
});

test("options that are repeated can be put into the order in which they were given", () => {
  const { first, second } = read("--second", "a", "--first=b", "word", "--second", "c").values;
  const all = [...first, ...second].sort((one, other) => one.place - other.place);
  expect(all.map(({ given }) => given)).toEqual(["a", "b", "c"]);
});

describe("an option with two words", () => {
  const pairs = (...given: string[]) => {
    const { words, values } = read(...given);
    return { words, pairs: values.two.map(({ given: pair }) => pair) };
  };

  test.each([
    [["--two", "a", "b"], [], ["a b"]],
    [["--two", "a", "b", "c"], ["c"], ["a b"]],
    [["w", "--two", "a", "b", "--quiet", "c"], ["w", "c"], ["a b"]],
    [["--two", "a", "b", "--two", "c", "d"], [], ["a b", "c d"]],
    [["--two=a", "b", "c"], ["c"], ["a b"]],
    [["--two", "a b", "c"], ["c"], ["a b"]],
    [["--two=a b", "c"], ["c"], ["a b"]],
  ])("%j", (given, words, expected) => {
    expect(pairs(...given)).toEqual({ words, pairs: expected });
  });

  test("need not be repeated", () => {
    expect(read("--once", "a", "b").values.once).toBe("a b");
  });

  test.each([
    [["--two", "a"]],
    [["--two", "a", "--quiet", "b"]],
    [["--two", "a", "--", "b"]],
    [["b", "--two", "a"]],
    [["--two", ""]],
  ])("%j lacks one", (given) => {
    expect(complaint(...given)).toBe("--two lacks the second word of its value");
  });
});

test("what cannot be understood names the option", () => {
  expect(complaint("--size", "x")).toBe('--size: "x" is not a whole number');
  expect(complaint("--nosuch")).toBe("unknown option '--nosuch'");
  expect(complaint("--name", "--quiet")).toStartWith("--name lacks its value;");
});

test("words can be read while some options are not known yet", () => {
  expect(readWords(["a", "--size", "3", "--nosuch", "b"], options)[0]).toBe("a");
});

test("the help has both words", () => {
  expect(describeOptions(options)).toContain("--once OLD NEW  ");
});
