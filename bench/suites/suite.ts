/** A suite: rows that are compared, run at every place and size, and what came of it. */

import type { Effort } from "../effort.ts";
import type { Figure } from "../figure.ts";
import { measure, type Skipped } from "../measure.ts";
import { progress } from "../progress.ts";
import type { Plan, Row, Seat } from "../row.ts";
import { type Result, summarise } from "../summary.ts";

export interface SuiteResult {
  suite: string;
  results: Result[];
  /** Figures that are not rows, such as memory. */
  figures: Figure[];
  skipped: Skipped[];
}

export interface Comparison {
  suite: string;
  rows: readonly Row[];
  bytes: readonly number[];
  effort: Effort;
}

const rewarmRounds = 2; // what the second size needs of a program that is compiled

/** Starts the rows once for each seat, and measures them in turn at each size. */
export async function compare(comparison: Comparison, seats: readonly Seat[]) {
  const result: SuiteResult = {
    suite: comparison.suite,
    results: [],
    figures: [],
    skipped: [],
  };
  for (const seat of seats) await compareAt(comparison, seat, result);
  return result;
}

async function compareAt(comparison: Comparison, seat: Seat, result: SuiteResult): Promise<void> {
  const { suite, effort } = comparison;
  progress(`${suite}, ${seat.placement}: starting`);
  let rows = await startAll(comparison.rows, seat, result.skipped);
  let { warmRounds } = effort;
  for (const bytes of comparison.bytes) {
    progress(`${suite}, ${seat.placement}, ${bytes} B: ${effort.rounds} rounds`);
    const plan: Plan = { bytes, milliseconds: effort.milliseconds };
    const measured = await measure(rows, plan, effort.rounds, warmRounds);
    warmRounds = rewarmRounds;
    for (const [{ id, kind }, rounds] of measured.rounds) {
      const heading = { suite, id, kind, bytes, placement: seat.placement };
      result.results.push(summarise(heading, rounds));
    }
    rows = [...measured.rounds.keys()];
    result.skipped.push(...measured.skipped);
  }
  await Promise.all(comparison.rows.map((row) => row.stop()));
}

async function startAll(rows: readonly Row[], seat: Seat, skipped: Skipped[]): Promise<Row[]> {
  const started: Row[] = [];
  for (const row of rows) {
    try {
      await row.start(seat);
      started.push(row);
    } catch (error) {
      if (row.kind !== "peer") throw error;
      skipped.push({ id: row.id, reason: String(error) });
    }
  }
  return started;
}
