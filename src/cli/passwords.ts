/**
 * `client passwords`: commands to a copy of the passwords, at a prompt, from a file, from standard input, or one on the
 * command line.
 */

import { isatty } from "node:tty";
import { harden } from "../native/harden.ts";
import type { Values } from "../services/option.ts";
import { flag, text, UsageError } from "../services/option.ts";
import { commandHelp } from "./passwords/commands.ts";
import { asCommandError } from "./passwords/faults.ts";
import { Keyboard } from "./passwords/keyboard.ts";
import { asksPassphrase, passphraseOf } from "./passwords/passphrase.ts";
import { printer } from "./passwords/printer.ts";
import { Prompt } from "./passwords/prompt.ts";
import { runScript } from "./passwords/script.ts";
import { Session } from "./passwords/session.ts";
import type { Single } from "./passwords/single.ts";
import { readSingle, runSingle } from "./passwords/single.ts";

/** A copy answers at once. Whoever waits at a terminal could not interrupt it, which shows nothing and takes keys as they are. */
export const answerTimeoutMs = 60_000;

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
after each change at a prompt, and at the end else. Several sessions may have the same: what each has
changed is put together, and where two have changed the same key the second goes on in FILE.1, and says so.`;

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
