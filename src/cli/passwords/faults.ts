/** What goes wrong in a session of `client passwords`: what is an answer, and what ends it. */

import { PasswordsError } from "../../services/passwords/client.ts";
import { VaultError } from "../../services/passwords/vault.ts";
import { CommandError } from "../command.ts";
import type { Session } from "./session.ts";
import { WordsError } from "./words.ts";

/** Whether it is an answer to one command, after which others may be better. */
export function isAnswer(error: unknown): boolean {
  if (error instanceof WordsError) return true;
  return error instanceof PasswordsError && error.status !== "ended" && error.status !== "idle";
}

/** What a person is told in one line, and without a trace. */
export function asCommandError(error: unknown): unknown {
  const isTold = error instanceof PasswordsError || error instanceof VaultError;
  return isTold ? new CommandError(error.message) : error;
}

/** The same of what ends a session. What is asked for later may depend on what is gone with the copy, or with the disk. */
export function asLoss(session: Session, fault: unknown): unknown {
  const error = asCommandError(fault);
  if (!session.unsaved || !(error instanceof Error)) return error;
  return new CommandError(`${error.message}; what this session has changed is not in the vault`);
}
