/** Open files handed from one process to another. */

import type { Efforts } from "../effort.ts";
import type { Seat } from "../row.ts";
import { bunRow, floorRow } from "./programs.ts";
import { compare, type SuiteResult } from "./suite.ts";

/** With one message: what counts, and, with `-1` behind the name, the least there can be. */
const together = { "": "8", "-1": "1" } as const;

export function runDescriptors(efforts: Efforts, seats: readonly Seat[]): Promise<SuiteResult> {
  const rows = Object.entries(together).flatMap(([ending, count]) => [
    bunRow(`descriptors${ending}`, "earshot", "descriptors.ts", count),
    floorRow(`floor-descriptors${ending}`, "floor_descriptors", () => [count]),
  ]);
  const effort = efforts.descriptors;
  return compare({ suite: "descriptors", rows, bytes: [64], effort }, seats);
}
