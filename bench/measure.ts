/** Runs the rows of one comparison in turn, and keeps what each round brought. */

import type { Plan, Round, Row } from "./row.ts";

export interface Skipped {
  id: string;
  reason: string;
}

export interface Measured {
  rounds: Map<Row, Round[]>;
  skipped: Skipped[];
}

const restMilliseconds = 2; // longer than any row goes on spinning after its last message

/**
 * The rounds of all rows alternate: A B C, B C A, C A B. The first `warmRounds` do not count. A peer
 * that fails is left out with the reason; anything else that fails ends the benchmark.
 */
export async function measure(
  rows: readonly Row[],
  plan: Plan,
  counted: number,
  warmRounds: number,
): Promise<Measured> {
  const measured: Measured = { rounds: new Map(rows.map((row) => [row, []])), skipped: [] };
  for (let index = 0; index < warmRounds + counted; index += 1) {
    for (const row of rotate([...measured.rounds.keys()], index)) {
      const round = await attempt(row, plan, measured);
      if (round !== null && index >= warmRounds) measured.rounds.get(row)?.push(round);
    }
  }
  return measured;
}

async function attempt(row: Row, plan: Plan, measured: Measured): Promise<Round | null> {
  try {
    await Bun.sleep(restMilliseconds);
    return await row.round(plan);
  } catch (error) {
    if (row.kind !== "peer") throw error;
    measured.rounds.delete(row);
    measured.skipped.push({ id: row.id, reason: String(error) });
    return null;
  }
}

function rotate<T>(items: T[], by: number): T[] {
  const first = items.length === 0 ? 0 : by % items.length;
  return [...items.slice(first), ...items.slice(0, first)];
}
