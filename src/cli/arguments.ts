/** The command line: read by one table of options, from which the help is made as well. */

import { parseArgs } from "node:util";
import type { Option, Options, Repeatable, Values } from "../services/option.ts";
import { flag, UsageError } from "../services/option.ts";

export type Arguments<Given extends Options> = {
  /** What is no option, in its order. */
  readonly words: readonly string[];
  readonly values: Values<Given>;
};

/** Understood by every command. */
export const commonOptions = { help: flag("show this") } as const;

/** What one occurrence of an option was given, and where that stood. */
type Occurrence = { readonly text: string; readonly place: number };

/** Throws a UsageError for what cannot be understood. */
export function readArguments<Given extends Options>(
  given: readonly string[],
  options: Given,
): Arguments<Given> {
  const { words, found } = parse(given, options, true);
  const values = Object.entries(options).map(([name, option]) => {
    const occurrences = found.get(name) ?? [];
    const read = (one: Occurrence) => readOne(name, option, one);
    if (isRepeatable(option)) return [name, occurrences.map(read)];
    const last = occurrences.at(-1);
    return [name, last === undefined ? undefined : read(last)];
  });
  return { words, values: Object.fromEntries(values) as Values<Given> };
}

/** The words alone, while it is not known yet which options there are: those in the table are, and passed over. */
export function readWords(given: readonly string[], options: Options): readonly string[] {
  return parse(given, options, false).words;
}

function parse(given: readonly string[], options: Options, strict: boolean) {
  const words: string[] = [];
  const found = new Map<string, Occurrence[]>();
  const tokens = tokensOf(given, options, strict);
  for (let token = tokens.shift(); token !== undefined; token = tokens.shift()) {
    if (token.kind === "positional") words.push(token.value);
    if (token.kind !== "option") continue;
    const { name, index: place } = token;
    let text = token.value ?? "";
    if (strict && options[name]?.pair === true && !/\s/.test(text.trim())) {
      text += ` ${secondOf(name, place + (token.inlineValue === true ? 1 : 2), tokens)}`;
    }
    found.set(name, [...(found.get(name) ?? []), { text, place }]);
  }
  return { words, found };
}

function tokensOf(given: readonly string[], options: Options, strict: boolean) {
  const known = Object.entries(options).map(([name, option]) => {
    const type = option.placeholder === undefined ? "boolean" : "string";
    return [name, { type, multiple: isRepeatable(option) }] as const;
  });
  try {
    const { tokens } = parseArgs({
      args: [...given],
      options: Object.fromEntries(known),
      allowPositionals: true,
      tokens: true,
      strict,
    });
    return [...tokens];
  } catch (error) {
    throw new UsageError(shortened(error as Error));
  }
}

type Tokens = ReturnType<typeof tokensOf>;

/** The second word of an option's value, which the parser takes for a word of its own. */
function secondOf(name: string, place: number, rest: Tokens): string {
  const [next] = rest;
  if (next?.kind !== "positional" || next.index !== place) {
    throw new UsageError(`--${name} lacks the second word of its value`);
  }
  rest.shift();
  return next.value;
}

/** Node's own text is right, but goes on for three lines, and says only in the last what to do. */
function shortened(error: Error): string {
  const ambiguous = /^Option '(?:-\w, )?(--[\w-]+).* is ambiguous/.exec(error.message);
  if (ambiguous !== null) {
    const [, option] = ambiguous;
    return `${option} lacks its value; one that begins with a dash is given as ${option}=VALUE`;
  }
  const [sentence = ""] = error.message.split(/\. |\.?\n/);
  return sentence.slice(0, 1).toLowerCase() + sentence.slice(1);
}

function isRepeatable(option: Option): option is Repeatable {
  return "repeatable" in option;
}

function readOne(name: string, option: Option, { text, place }: Occurrence): unknown {
  try {
    return option.read(text, place);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    throw new UsageError(`--${name}: ${error.message}`);
  }
}

/** A line for each option, aligned. */
export function describeOptions(options: Options): string {
  const rows = Object.entries(options).map(([name, { placeholder, help }]) => [
    placeholder === undefined ? `--${name}` : `--${name} ${placeholder}`,
    help,
  ]);
  const width = Math.max(...rows.map(([left]) => left!.length));
  return rows.map(([left, right]) => `  ${left!.padEnd(width)}  ${right}\n`).join("");
}
