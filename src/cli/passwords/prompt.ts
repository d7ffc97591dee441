/** Commands typed at a terminal, where the value of a set stays unseen. */

import { VaultError } from "../../services/passwords/vault.ts";
import { interrupted, status } from "../command.ts";
import { checkCount, verbOf } from "./commands.ts";
import { asCommandError, asLoss, isAnswer } from "./faults.ts";
import type { Keyboard, Seen, Typed } from "./keyboard.ts";
import { unseen } from "./keyboard.ts";
import { wordsOf } from "./line.ts";
import type { Print } from "./printer.ts";
import type { Session } from "./session.ts";
import { thirdWordAt, WordsError } from "./words.ts";

const seenCommand: Seen = (line) => thirdWordAt(line, "set") ?? line.length;

export class Prompt {
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
      throw asLoss(this.#session, error);
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
