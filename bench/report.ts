/** The JSON report: the rows, and under other keys what else was found. */

import type { Figure } from "./figure.ts";
import type { Machine, Versions } from "./machine.ts";
import type { Skipped } from "./measure.ts";
import type { Result } from "./summary.ts";
import type { Verdict } from "./targets.ts";

export interface Report {
  schema: 1;
  machine: Machine;
  versions: Versions;
  rows: Result[];
  /** Figures that are no rows: memory of a connection, start of a service. */
  figures: Figure[];
  targets: Verdict[];
  skipped: Skipped[];
  /** How the figures were found: rounds, their length, how long spinning rows spin. */
  settings: Record<string, unknown>;
}

export function formatReport(report: Report): string {
  return `${JSON.stringify(report, null, 2)}\n`;
}
