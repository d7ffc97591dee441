/** Commands from a file or from standard input, one a line, each answered with a line. */

import { closeSync, openSync } from "node:fs";
import { itemBytesMax } from "../../services/passwords/format.ts";
import { CommandError, status } from "../command.ts";
import { Lines } from "../lines.ts";
import { checkCount, verbOf } from "./commands.ts";
import { asLoss, isAnswer } from "./faults.ts";
import { piecesOf } from "./input.ts";
import { wordsOf } from "./line.ts";
import type { Print } from "./printer.ts";
import type { Session } from "./session.ts";

/** A key and a value with every byte escaped, and the command before them. */
const lineBytesMax = 4 * 2 * itemBytesMax + 1024;

/** Returns the status to exit with. */
export function runScript(session: Session, file: string | undefined, print: Print): number {
  const descriptor = file === undefined || file === "-" ? 0 : openScript(file);
  let failed = 0;
  try {
    for (const line of linesOf(descriptor)) {
      const outcome = runLine(session, line, print);
      if (outcome === "failed") failed += 1;
      if (outcome === "over") break;
    }
    session.save();
  } catch (error) {
    throw asLoss(session, error);
  } finally {
    if (descriptor !== 0) closeSync(descriptor);
  }
  return failed === 0 ? status.done : status.failed;
}

function openScript(file: string): number {
  try {
    return openSync(file, "r");
  } catch (error) {
    throw new CommandError(`the script cannot be read: ${(error as Error).message}`);
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

/** Each is good until the next is asked for. */
function* linesOf(descriptor: number): Generator<Uint8Array, void, undefined> {
  const lines = new Lines(lineBytesMax, "that a command may have");
  for (const piece of piecesOf(descriptor)) yield* lines.cut(piece);
  const rest = lines.rest();
  if (rest !== undefined) yield rest;
}
