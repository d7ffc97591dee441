/** Where answers are printed: a line each on stdout, and nothing is kept of a value. */

import { printable, writeAll } from "../output.ts";
import { jsonOf, jsonOfFault, lineOf, textOfFault, valueIn } from "./answers.ts";
import type { Outcome } from "./commands.ts";

export type Print = {
  outcome(outcome: Outcome): void;
  fault(error: unknown): void;
};

export function printer(json: boolean): Print {
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
