/** A whole number that an option takes, with the bounds it goes to and what it is when it is not given. */

import type { Option } from "../option.ts";
import { count, UsageError } from "../option.ts";

export type Bounds = { readonly least?: number; readonly most: number; readonly standard: number };

export type Bounded = Option<number> & { readonly standard: number };

export function bounded(placeholder: string, bounds: Bounds, help: string): Bounded {
  const { least = 1, most, standard } = bounds;
  const plain = count(placeholder, `${help} (default ${standard})`);
  return {
    ...plain,
    standard,
    read(given, place) {
      const number = plain.read(given, place);
      if (number >= least && number <= most) return number;
      throw new UsageError(`${given} is not from ${least} to ${most}`);
    },
  };
}
