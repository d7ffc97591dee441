/** The passphrase that a session is given: typed, or the first line of a file. */

import { closeSync } from "node:fs";
import { openPrivate, readWhole } from "../../crypto/private-file.ts";
import { UsageError } from "../../services/option.ts";
import { Vault } from "../../services/passwords/vault.ts";
import { CommandError } from "../command.ts";
import { asCommandError } from "./faults.ts";
import type { Keyboard } from "./keyboard.ts";
import { unseen } from "./keyboard.ts";

const passphraseBytesMax = 1024;
/** It may have more lines than the one that counts. */
const fileBytesMax = 64 * 1024;
const newline = 0x0a;
const carriageReturn = 0x0d;

export type Wanted = {
  readonly vault?: string | undefined;
  readonly passphrase?: boolean | undefined;
  readonly "passphrase-file"?: string | undefined;
};

/** Whether it is to be typed. */
export function asksPassphrase(own: Wanted): boolean {
  if (own["passphrase-file"] !== undefined) return false;
  return own.vault !== undefined || own.passphrase === true;
}

/** Undefined where none is asked for. The bytes are the caller's, to overwrite. */
export async function passphraseOf(own: Wanted, keyboard: Keyboard | undefined) {
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

/** The first line of a file. */
function readPassphrase(file: string): Uint8Array {
  const descriptor = openPassphrase(file);
  try {
    const bytes = readWhole(descriptor, fileBytesMax);
    if (bytes === undefined) {
      throw new CommandError(
        `${file} has more than ${fileBytesMax} bytes; name a file with a passphrase in it`,
      );
    }
    const end = bytes.indexOf(newline);
    const line = end < 0 ? bytes : bytes.subarray(0, end);
    const passphrase = Uint8Array.from(
      line.at(-1) === carriageReturn ? line.subarray(0, -1) : line,
    );
    bytes.fill(0);
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
