/** The commands of `client passwords`: what each takes, and what it does. */

import type { Passwords } from "../../services/passwords/client.ts";
import { textOf, WordsError } from "./words.ts";

/** What came of a command: a value, keys, yes or no, or that it was done. */
export type Outcome =
  | { readonly kind: "done" | "over" | "help" }
  | { readonly kind: "has"; readonly has: boolean }
  | { readonly kind: "value"; readonly value: Uint8Array }
  | { readonly kind: "keys"; readonly keys: readonly Uint8Array[] };

type Command = {
  /** What follows it. */
  readonly takes: readonly ("KEY" | "VALUE")[];
  readonly help: string;
  /** Whether what is kept is another afterwards. */
  readonly changes?: true;
  run(passwords: Passwords, key: Uint8Array, value: Uint8Array): Outcome;
};

const done: Outcome = { kind: "done" };

export const commands = {
  set: {
    takes: ["KEY", "VALUE"],
    help: "keeps VALUE under KEY, in the place of what was there",
    changes: true,
    run(passwords, key, value) {
      passwords.set(key, value);
      return done;
    },
  },
  get: {
    takes: ["KEY"],
    help: "prints the value",
    run: (passwords, key) => ({ kind: "value", value: passwords.get(key) }),
  },
  keyset: {
    takes: [],
    help: "prints all keys, in quotes where they need some",
    run: (passwords) => ({ kind: "keys", keys: passwords.keyset() }),
  },
  delete: {
    takes: ["KEY"],
    help: "forgets the key and its value",
    changes: true,
    run(passwords, key) {
      passwords.delete(key);
      return done;
    },
  },
  has: {
    takes: ["KEY"],
    help: "says whether there is such a key: yes or no",
    run: (passwords, key) => ({ kind: "has", has: passwords.has(key) }),
  },
  disconnect: {
    takes: [],
    help: "ends the session, as the end of input does",
    run: () => ({ kind: "over" }),
  },
  help: { takes: [], help: "shows this", run: () => ({ kind: "help" }) },
} as const satisfies Record<string, Command>;

export type Verb = keyof typeof commands;

export function commandOf(verb: Verb): Command {
  return commands[verb];
}

/** Throws a WordsError for what is none. */
export function verbOf(word: Uint8Array): Verb {
  const text = textOf(word);
  if (text !== undefined && Object.hasOwn(commands, text)) return text as Verb;
  // It is not shown: it may be a value that was typed in the wrong place.
  throw new WordsError(`there is no such command; there are ${Object.keys(commands).join(", ")}`);
}

/** Checks how many words follow the verb. With `valueLater`, the VALUE of `set` may be missing. Throws a WordsError. */
export function checkCount(verb: Verb, rest: readonly Uint8Array[], valueLater: boolean): void {
  const { takes } = commandOf(verb);
  const least = valueLater ? takes.filter((what) => what !== "VALUE").length : takes.length;
  if (rest.length >= least && rest.length <= takes.length) return;
  const wanted = takes.length === 0 ? "takes nothing" : `takes ${takes.join(" and ")}`;
  const quotes = rest.length > takes.length && takes.length > 0 ? "; put blanks in quotes" : "";
  throw new WordsError(`${verb} ${wanted}, and ${countOf(rest.length)}${quotes}`);
}

function countOf(count: number): string {
  if (count === 0) return "nothing was given";
  return count === 1 ? "one word was given" : `${count} words were given`;
}

export function commandHelp(): string {
  const rows = Object.entries<Command>(commands).map(([verb, { takes, help }]) => ({
    left: [verb, ...takes].join(" "),
    help,
  }));
  const width = Math.max(...rows.map(({ left }) => left.length));
  return rows.map(({ left, help }) => `  ${left.padEnd(width)}  ${help}\n`).join("");
}
