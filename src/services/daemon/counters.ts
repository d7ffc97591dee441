/** What a daemon counts: everything that a person who runs it may ask for one day, by name. */

import type { Counts } from "../startable.ts";

export class Counters<Name extends string> {
  readonly #counts: Record<Name, number>;

  /** All begin at 0, so that what has not happened yet is told too. */
  constructor(names: readonly Name[]) {
    this.#counts = Object.fromEntries(names.map((name) => [name, 0])) as Record<Name, number>;
  }

  add(name: Name, count = 1): void {
    this.#counts[name] += count;
  }

  of(name: Name): number {
    return this.#counts[name];
  }

  all(): Counts {
    return { ...this.#counts };
  }
}
