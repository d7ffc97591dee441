/** What `client passwords` says to a command: a line each, in words or in JSON. */

import { PasswordsError } from "../../services/passwords/client.ts";
import { commandHelp, type Outcome } from "./commands.ts";
import { quoted, textOf, WordsError } from "./words.ts";

/** Of what --json prints. Raised when a reader of the former would go wrong. */
export const answerSchema = 1;

const newline = Buffer.from("\n");

/** A value of which nothing may be added to. */
export function valueIn(outcome: Outcome): Uint8Array | undefined {
  return outcome.kind === "value" ? outcome.value : undefined;
}

/** In words. The bytes of a value are printed as they are, whatever is in them. */
export function lineOf(outcome: Outcome): Uint8Array {
  switch (outcome.kind) {
    case "done":
    case "over":
      return Buffer.from("ok\n");
    case "has":
      return Buffer.from(outcome.has ? "yes\n" : "no\n");
    case "keys":
      return Buffer.from(`${outcome.keys.map(quoted).join(" ")}\n`);
    case "value":
      return Buffer.concat([outcome.value, newline]);
    case "help":
      return Buffer.from(commandHelp());
  }
}

/** One object, without a newline in it whatever it holds. */
export function jsonOf(outcome: Outcome): Uint8Array {
  return line({ schema: answerSchema, ...fields(outcome) });
}

export function jsonOfFault(error: unknown): Uint8Array {
  return line({ schema: answerSchema, ok: false, error: codeOf(error), text: textOfFault(error) });
}

/** What went wrong, for a person. */
export function textOfFault(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** A word for it, for programs: the status that the copy answered with, or `usage` for what is no command. */
function codeOf(error: unknown): string {
  if (error instanceof PasswordsError) return error.status;
  return error instanceof WordsError ? "usage" : "failed";
}

function fields(outcome: Outcome): Record<string, unknown> {
  switch (outcome.kind) {
    case "done":
    case "over":
      return { ok: true };
    case "has":
      return { ok: true, has: outcome.has };
    case "keys":
      return { ok: true, keys: outcome.keys.map(item) };
    case "value":
      return { ok: true, value: item(outcome.value) };
    case "help":
      return { ok: true, help: commandHelp() };
  }
}

/** As in a file of `--state`. */
function item(bytes: Uint8Array): string | { base64: string } {
  return textOf(bytes) ?? { base64: Buffer.from(bytes).toString("base64") };
}

function line(value: unknown): Uint8Array {
  return Buffer.from(`${JSON.stringify(value)}\n`);
}
