/**
 * `client passwords`: commands to a copy of the passwords, at a prompt, from a file, from standard input, or one on the
 * command line.
 */

import { closeSync, fstatSync, openSync, readFileSync, readSync } from "node:fs";
import { isatty } from "node:tty";
import { openPrivate } from "../crypto/private-file.ts";
import { harden } from "../native/harden.ts";
import type { Values } from "../services/option.ts";
import { flag, text, UsageError } from "../services/option.ts";
import { PasswordsError } from "../services/passwords/client.ts";
import { itemBytesMax } from "../services/passwords/format.ts";
import { Vault, VaultError } from "../services/passwords/vault.ts";
import { CommandError, status } from "./command.ts";
import { Lines } from "./lines.ts";
import { printable, writeAll } from "./output.ts";
import { jsonOf, jsonOfFault, lineOf, textOfFault, valueIn } from "./passwords/answers.ts";
import type { Outcome, Verb } from "./passwords/commands.ts";
import { checkCount, commandHelp, verbOf } from "./passwords/commands.ts";
import type { Seen, Typed } from "./passwords/keyboard.ts";
import { Keyboard } from "./passwords/keyboard.ts";
import { Session } from "./passwords/session.ts";
import { splitWords, thirdWordAt, WordsError } from "./passwords/words.ts";

/** A key and a value with every byte escaped, and the command before them. */
const lineBytesMax = 4 * 2 * itemBytesMax + 1024;
const passphraseBytesMax = 1024;
const readBytes = 64 * 1024;
/** A copy answers at once. Whoever waits at a terminal could not interrupt it, which shows nothing and takes keys as they are. */
export const answerTimeoutMs = 60_000;
/** What a shell reports for a program that ^C has ended. */
const interrupted = 130;
const comment = "#".charCodeAt(0);
const blanks: ReadonlySet<number> = new Set(Buffer.from(" \t"));

const unseen: Seen = () => 0;
const seenCommand: Seen = (line) => thirdWordAt(line, "set") ?? line.length;

export const options = {
  name: text("OTHER", "the name it is served under, if that is not passwords"),
  script: text("FILE", "commands, one a line, each answered with a line; - is standard input"),
  vault: text(
    "FILE",
    "where what is kept is from one session to the next, sealed under a passphrase; made if it is missing",
  ),
  passphrase: flag("ask for a passphrase, under a key from which everything is kept sealed"),
  "passphrase-file": text("FILE", "take its first line for the passphrase; only you may read it"),
  json: flag("print { schema, ok, … } for each answer, always one line"),
} as const;

export const usage = "passwords [COMMAND…] [OPTIONS…] | --help";

export const about = `
Asks the service passwords for a copy of what it keeps, which nobody else sees and which goes with the
session, and speaks to it: by a COMMAND given here, by the lines of a file (--script) or of standard
input, or at a prompt where that is a terminal. There the value of a set is typed unseen. A value is
never given on the command line, which others can read: set KEY takes it from standard input.

${commandHelp().trimEnd()}

A line has words as a shell does: '…', "…", \\ before a single character, and $'…' with \\n, \\x00 and the
like for bytes that cannot be typed. One that begins with # is passed over. An answer is a line: ok,
yes, no, keys in quotes, the bytes of a value as they are, or "error: " and what is wrong. A command that
fails does not end a session; after a script with such the exit status is 1.

What is in a vault is all that the session begins with, whatever the service had. The vault is written
after each change at a prompt, and at the end else.`;

type Place = {
  readonly rundir: string | undefined;
  readonly shared: true | undefined;
  readonly timeout: number | undefined;
};
type Own = Values<typeof options>;

/** Returns the status to exit with. */
export async function main(words: readonly string[], own: Own, place: Place): Promise<number> {
  if (words.length > 0 && own.script !== undefined) {
    throw new UsageError("a command and --script do not go together; put it into the file");
  }
  const single = words.length === 0 ? undefined : readSingle(words);
  // What is kept passes through here.
  harden();
  using keyboard = isAtTerminal() && types(own, single) ? new Keyboard() : undefined;
  const passphrase = await passphraseOf(own, keyboard);
  using session = await opened(own, place, passphrase);
  const print = printer(own.json === true);
  if (single !== undefined) return await runSingle(session, single, keyboard, own.json === true);
  if (own.script === undefined && keyboard !== undefined) {
    return await new Prompt(session, keyboard, print).run();
  }
  return runScript(session, own.script, print);
}

function isAtTerminal(): boolean {
  return isatty(0) && isatty(1);
}

/** Whether something is to be typed. A terminal that nobody types at is left alone. */
function types(own: Own, single: Single | undefined): boolean {
  const isPrompt = single === undefined && own.script === undefined;
  return isPrompt || single?.verb === "set" || asksPassphrase(own);
}

function asksPassphrase(own: Own): boolean {
  if (own["passphrase-file"] !== undefined) return false;
  return own.vault !== undefined || own.passphrase === true;
}

async function opened(own: Own, place: Place, passphrase: Uint8Array | undefined) {
  try {
    const timeout = place.timeout ?? answerTimeoutMs;
    return await Session.open({ ...place, timeout, name: own.name, vault: own.vault, passphrase });
  } catch (error) {
    throw asCommandError(error);
  } finally {
    passphrase?.fill(0);
  }
}

/** What a person is told in one line, and without a trace. */
function asCommandError(error: unknown): unknown {
  const isTold = error instanceof PasswordsError || error instanceof VaultError;
  return isTold ? new CommandError(error.message) : error;
}

// ---- answers ----

type Print = {
  outcome(outcome: Outcome): void;
  fault(error: unknown): void;
};

function printer(json: boolean): Print {
  return {
    outcome(outcome) {
      const bytes = json ? jsonOf(outcome) : lineOf(outcome);
      try {
        writeAll(1, bytes);
      } finally {
        bytes.fill(0);
        valueIn(outcome)?.fill(0);
      }
    },
    fault(error) {
      writeAll(
        1,
        json ? jsonOfFault(error) : Buffer.from(`error: ${printable(textOfFault(error))}\n`),
      );
    },
  };
}

/** Whether it is an answer to one command, after which others may be better. */
function isAnswer(error: unknown): boolean {
  if (error instanceof WordsError) return true;
  return error instanceof PasswordsError && error.status !== "ended" && error.status !== "idle";
}

// ---- one command ----

type Single = { readonly verb: Verb; readonly key: Uint8Array | undefined };

function readSingle(words: readonly string[]): Single {
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

async function runSingle(
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

// ---- a script ----

function runScript(session: Session, file: string | undefined, print: Print): number {
  const lines = new Lines(lineBytesMax, "that a command may have");
  const descriptor = file === undefined || file === "-" ? 0 : openScript(file);
  let failed = 0;
  try {
    for (const line of linesOf(descriptor, lines)) {
      const outcome = runLine(session, line, print);
      if (outcome === "failed") failed += 1;
      if (outcome === "over") break;
    }
    session.save();
  } catch (error) {
    throw lost(session, asCommandError(error));
  } finally {
    if (descriptor !== 0) closeSync(descriptor);
  }
  return failed === 0 ? status.done : status.failed;
}

/** What is asked for later may depend on what is gone with the copy, or with the disk. */
function lost(session: Session, error: unknown): unknown {
  if (!session.unsaved || !(error instanceof Error)) return error;
  return new CommandError(`${error.message}; what this session has changed is not in the vault`);
}

function openScript(file: string): number {
  try {
    return openSync(file, "r");
  } catch (error) {
    throw new CommandError(`the script cannot be read: ${(error as Error).message}`);
  }
}

function* linesOf(descriptor: number, lines: Lines): Generator<Uint8Array, void, undefined> {
  const buffer = Buffer.alloc(readBytes);
  while (true) {
    const count = readSome(descriptor, buffer);
    if (count === 0) break;
    yield* lines.cut(buffer.subarray(0, count));
    buffer.fill(0);
  }
  const rest = lines.rest();
  if (rest !== undefined) yield rest;
}

function readSome(descriptor: number, buffer: Uint8Array): number {
  while (true) {
    try {
      return readSync(descriptor, buffer);
    } catch (error) {
      const { code = "" } = error as NodeJS.ErrnoException;
      if (code === "EAGAIN" || code === "EWOULDBLOCK") Bun.sleepSync(1);
      else if (code === "EIO" || code === "EBADF") return 0;
      else if (code !== "EINTR") throw error;
    }
  }
}

function runLine(session: Session, line: Uint8Array, print: Print): "done" | "failed" | "over" {
  let words: Uint8Array[] | undefined;
  try {
    words = wordsOf(line);
    if (words === undefined) return "done";
    const [first, key, value] = words;
    const verb = verbOf(first!);
    checkCount(verb, words.slice(1), false);
    const outcome = session.run(verb, key, value);
    print.outcome(outcome);
    return outcome.kind === "over" ? "over" : "done";
  } catch (error) {
    if (!isAnswer(error)) throw error;
    print.fault(error);
    return "failed";
  } finally {
    // One that could not be kept is as secret.
    for (const word of words ?? []) word.fill(0);
  }
}

/** Undefined for a line that is no command: nothing, or a comment. */
function wordsOf(line: Uint8Array): Uint8Array[] | undefined {
  // Before it is taken for words: an apostrophe in it opens no quote.
  if (line.find((byte) => !blanks.has(byte)) === comment) return undefined;
  const end = line.at(-1) === 0x0d ? line.length - 1 : line.length;
  const words = splitWords(line.subarray(0, end));
  return words.length === 0 ? undefined : words;
}

// ---- a prompt ----

class Prompt {
  readonly #session: Session;
  readonly #keyboard: Keyboard;
  readonly #print: Print;

  constructor(session: Session, keyboard: Keyboard, print: Print) {
    this.#session = session;
    this.#keyboard = keyboard;
    this.#print = print;
  }

  async run(): Promise<number> {
    while (true) {
      const line = await this.#keyboard.read("passwords> ", seenCommand);
      if (typeof line === "string") return this.#leave(line);
      try {
        if (await this.#runLine(line)) return status.done;
      } catch (error) {
        if (!isAnswer(error) && !(error instanceof VaultError)) throw asCommandError(error);
        this.#print.fault(error);
      } finally {
        line.fill(0);
      }
    }
  }

  #leave(how: "end" | "interrupted"): number {
    try {
      // What could not be written before.
      this.#session.save();
    } catch (error) {
      throw lost(this.#session, asCommandError(error));
    }
    return how === "end" ? status.done : interrupted;
  }

  /** Returns whether it was the last. */
  async #runLine(line: Uint8Array): Promise<boolean> {
    const words = wordsOf(line);
    if (words === undefined) return false;
    const [first, key] = words;
    const verb = verbOf(first!);
    checkCount(verb, words.slice(1), true);
    const value = verb === "set" ? (words[2] ?? (await this.#ask())) : undefined;
    if (typeof value === "string") throw new WordsError("nothing was set");
    const outcome = this.#session.run(verb, key, value);
    value?.fill(0);
    // Before it is told to be done.
    this.#session.save();
    this.#print.outcome(outcome);
    return outcome.kind === "over";
  }

  #ask(): Promise<Typed> {
    return this.#keyboard.read("value: ", unseen);
  }
}

// ---- passphrases ----

async function passphraseOf(own: Own, keyboard: Keyboard | undefined) {
  const file = own["passphrase-file"];
  if (file !== undefined) return readPassphrase(file);
  if (!asksPassphrase(own)) return undefined;
  if (keyboard === undefined) {
    throw new UsageError(
      "a passphrase is asked for at a terminal, and this is none; give it by --passphrase-file FILE",
    );
  }
  const isNew = own.vault !== undefined && !exists(own.vault);
  const passphrase = await askPassphrase(keyboard, "passphrase: ");
  if (!isNew) return passphrase;
  const again = await askPassphrase(keyboard, "the same again, for a new vault: ");
  const isSame = Buffer.from(passphrase).equals(again);
  again.fill(0);
  if (!isSame) throw new CommandError("the two differ; nothing was made");
  return passphrase;
}

function exists(vault: string): boolean {
  try {
    return Vault.exists(vault);
  } catch (error) {
    throw asCommandError(error);
  }
}

async function askPassphrase(keyboard: Keyboard, prompt: string): Promise<Uint8Array> {
  const typed = await keyboard.read(prompt, unseen);
  if (typeof typed === "string") throw new CommandError("no passphrase was given");
  return expectPassphrase(typed);
}

/** An empty one seals nothing. */
function expectPassphrase(passphrase: Uint8Array): Uint8Array {
  if (passphrase.length === 0) throw new CommandError("the passphrase is empty; choose another");
  if (passphrase.length <= passphraseBytesMax) return passphrase;
  throw new CommandError(`a passphrase has ${passphraseBytesMax} bytes at most`);
}

function readPassphrase(file: string): Uint8Array {
  const descriptor = openPassphrase(file);
  try {
    const { size } = fstatSync(descriptor);
    const bytes = readFileSync(descriptor);
    const end = bytes.indexOf(0x0a);
    const passphrase = Uint8Array.from(end < 0 ? bytes : bytes.subarray(0, end));
    bytes.fill(0, 0, size);
    return expectPassphrase(passphrase);
  } finally {
    closeSync(descriptor);
  }
}

function openPassphrase(file: string): number {
  try {
    return openPrivate(file, {
      faulty: (fault) => new CommandError(`${file} ${fault}`),
      exposed: "choose another passphrase",
    });
  } catch (error) {
    if (error instanceof CommandError) throw error;
    throw new CommandError(`the passphrase cannot be read: ${(error as Error).message}`);
  }
}

/** All of an input. */
function readInput(descriptor: number, bytesMax: number, what: string): Uint8Array {
  const parts: Uint8Array[] = [];
  const buffer = Buffer.alloc(readBytes);
  let length = 0;
  for (let count = readSome(descriptor, buffer); count > 0; count = readSome(descriptor, buffer)) {
    parts.push(Uint8Array.from(buffer.subarray(0, count)));
    length += count;
    if (length > bytesMax) throw new CommandError(`${what} has ${bytesMax} bytes at most`);
  }
  buffer.fill(0);
  return Buffer.concat(parts);
}
