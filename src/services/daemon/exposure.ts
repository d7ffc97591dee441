/**
 * Which services a daemon lets remotes reach: those named to it, and no other. A name from the network is only ever
 * compared with these, so it never leaves the run directory.
 */

import { nameFault } from "../../ipc/name.ts";
import { nameRules } from "../../native/errors.ts";
import type { Option } from "../option.ts";
import { repeated, UsageError } from "../option.ts";

/** An option that names a service. */
export function name(help: string): Option<string> {
  return {
    placeholder: "NAME",
    help,
    read(given) {
      const fault = nameFault(given);
      if (fault === undefined) return given;
      throw new UsageError(`"${given}" is no name of a service: ${nameRules[fault]}`);
    },
  };
}

/** The option `--allow` of every daemon. */
export const allow = repeated(
  name("a service that remotes may reach; without one they reach none"),
);

export class Exposure {
  readonly #names: ReadonlySet<string>;

  constructor(names: readonly string[]) {
    this.#names = new Set(names);
  }

  get names(): readonly string[] {
    return [...this.#names];
  }

  has(service: string): boolean {
    return this.#names.has(service);
  }
}
