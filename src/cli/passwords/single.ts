/** One command that was given on the command line. */

import { isatty } from "node:tty";
import { UsageError } from "../../services/option.ts";
import { itemBytesMax } from "../../services/passwords/format.ts";
import { interrupted, status } from "../command.ts";
import { writeAll } from "../output.ts";
import { valueIn } from "./answers.ts";
import type { Outcome, Verb } from "./commands.ts";
import { checkCount, verbOf } from "./commands.ts";
import { asCommandError } from "./faults.ts";
import { readInput } from "./input.ts";
import type { Keyboard } from "./keyboard.ts";
import { unseen } from "./keyboard.ts";
import { printer } from "./printer.ts";
import type { Session } from "./session.ts";
import { WordsError } from "./words.ts";

export type Single = { readonly verb: Verb; readonly key: Uint8Array | undefined };

/** Throws a UsageError. */
export function readSingle(words: readonly string[]): Single {
  const [first, ...rest] = words.map((word) => Buffer.from(word));
  try {
    const verb = verbOf(first!);
    if (verb === "set" && rest.length > 1) {
      throw new WordsError(
        "a value does not go on the command line, where others can read it and a shell keeps it; leave it out, " +
          "and it is asked for, or read from standard input",
      );
    }
    checkCount(verb, rest, true);
    return { verb, key: rest[0] };
  } catch (error) {
    throw error instanceof WordsError ? new UsageError(error.message) : error;
  }
}

/** Returns the status to exit with. */
export async function runSingle(
  session: Session,
  { verb, key }: Single,
  keyboard: Keyboard | undefined,
  json: boolean,
): Promise<number> {
  const value = verb === "set" ? await valueFrom(keyboard) : undefined;
  if (value === "interrupted") return interrupted;
  try {
    const outcome = session.run(verb, key, value);
    session.save();
    printSingle(outcome, json);
    return outcome.kind === "has" && !outcome.has ? status.failed : status.done;
  } catch (error) {
    throw asCommandError(error);
  } finally {
    value?.fill(0);
  }
}

/** A value alone is its bytes, for others to read; at a terminal it has a line to itself. */
function printSingle(outcome: Outcome, json: boolean): void {
  const value = json || isatty(1) ? undefined : valueIn(outcome);
  if (value === undefined) printer(json).outcome(outcome);
  else {
    writeAll(1, value);
    value.fill(0);
  }
}

async function valueFrom(keyboard: Keyboard | undefined): Promise<Uint8Array | "interrupted"> {
  if (keyboard === undefined) return readInput(0, itemBytesMax, "a value");
  const typed = await keyboard.read("value: ", unseen);
  return typed === "end" ? "interrupted" : typed;
}
