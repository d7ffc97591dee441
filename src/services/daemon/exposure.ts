/**
 * Which services a daemon lets remotes reach: those named to it, and no other. A name from the network is only ever
 * compared with these, so it never leaves the run directory.
 */

import type { Option } from "../option.ts";
import { repeated, UsageError } from "../option.ts";

/** DESIGN.md, "Names": what can be a name at all. */
const name = /^[A-Za-z0-9_-][A-Za-z0-9._-]*$/;

const one: Option<string> = {
  placeholder: "NAME",
  help: "a service that remotes may reach; without one they reach none",
  read(given) {
    if (name.test(given)) return given;
    throw new UsageError(
      `"${given}" is no name of a service: letters, digits, "_", "-" and ".", which does not come first`,
    );
  },
};

/** The option `--allow` of every daemon. */
export const allow = repeated(one);

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
