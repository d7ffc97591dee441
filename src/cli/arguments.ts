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

type Raw = Record<string, string | boolean | readonly string[] | undefined>;

/** Throws a UsageError for what cannot be understood. */
export function readArguments<Given extends Options>(
  given: readonly string[],
  options: Given,
): Arguments<Given> {
  const { words, raw } = parse(given, options, true);
  const values = Object.entries(options).map(([name, option]) => {
    const given = raw[name];
    if (isRepeatable(option)) {
      const texts = (given ?? []) as readonly string[];
      return [name, texts.map((text) => read(name, option, text))];
    }
    return [name, given === undefined ? undefined : read(name, option, String(given))];
  });
  return { words, values: Object.fromEntries(values) as Values<Given> };
}

/** The words alone, while it is not known yet which options there are: those in the table are, and passed over. */
export function readWords(given: readonly string[], options: Options): readonly string[] {
  return parse(given, options, false).words;
}

function parse(given: readonly string[], options: Options, strict: boolean) {
  const known = Object.entries(options).map(([name, option]) => {
    const type = option.placeholder === undefined ? "boolean" : "string";
    return [name, { type, multiple: isRepeatable(option) }] as const;
  });
  try {
    const { values, positionals } = parseArgs({
      args: [...given],
      options: Object.fromEntries(known),
      allowPositionals: true,
      strict,
    });
    return { words: positionals, raw: values as Raw };
  } catch (error) {
    throw new UsageError(shortened(error as Error));
  }
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

function read(name: string, option: Options[string], given: string): unknown {
  try {
    return option.read(given);
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
