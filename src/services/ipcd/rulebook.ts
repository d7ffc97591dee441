/** The rules in force: those of the command line, then those of the file, which can be read again. */

import type { Uri } from "../../ipc/uri.ts";
import type { Ledger } from "./ledger.ts";
import { Policy, type Question } from "./policy.ts";
import type { Rules } from "./rules-file.ts";
import { readRules } from "./rules-file.ts";

const none: Rules = { rules: [], redirects: [] };

export class Rulebook {
  readonly #given: Rules;
  readonly #path: string | undefined;
  readonly #ledger: Ledger;
  #policy = new Policy(none);

  constructor(given: Rules, path: string | undefined, ledger: Ledger) {
    this.#given = given;
    this.#path = path;
    this.#ledger = ledger;
    this.load();
  }

  /** Reads the file again. Throws if it cannot be taken whole; the rules then stay as they were. */
  load(): void {
    const read = this.#path === undefined ? none : readRules(this.#path);
    const rules: Rules = {
      rules: [...this.#given.rules, ...read.rules],
      redirects: [...this.#given.redirects, ...read.redirects],
    };
    this.#ledger.setRules(rules);
    this.#policy = new Policy(rules);
  }

  /** Undefined if it is allowed; else why not. */
  objection(question: Question): string | undefined {
    const { allowed, place, because } = this.#policy.judge(question);
    if (place !== undefined) this.#ledger.decided(place);
    if (allowed) return undefined;
    const { direction, service, uri } = question;
    const what =
      direction === "in" ? `"${service}" from ${uri.text}` : `"${service}" at ${uri.text}`;
    return place === undefined
      ? `${what} is denied: ${because}`
      : `${what} is denied by ${because}`;
  }

  /** Where a service is; see `Policy`. */
  find(service: string, variable: string): Uri | undefined {
    const found = this.#policy.find(service, variable);
    for (const place of found?.redirects ?? []) this.#ledger.followed(place);
    return found?.uri;
  }
}
