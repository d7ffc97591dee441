/** One line of the result: many rounds of one row, in a few figures. */

import type { Kind, Placement, Round } from "./row.ts";

/** A row as the JSON report has it. A figure that does not apply is null. */
export interface Result {
  suite: string;
  id: string;
  kind: Kind;
  /** Payload of one message. */
  bytes: number;
  placement: Placement;
  /** Messages of a stream, or round trips, in all timed rounds. */
  count: number;
  p50_ns: number | null;
  p99_ns: number | null;
  p999_ns: number | null;
  /** Median over the rounds. */
  per_second: number;
  /** Payload one way, in millions of bytes; median over the rounds. */
  mb_per_second: number;
}

export type Heading = Pick<Result, "suite" | "id" | "kind" | "bytes" | "placement">;

/** Percentiles are those of all samples together; rates are medians of the rounds. */
export function summarise(heading: Heading, rounds: readonly Round[]): Result {
  const samples = Float64Array.from(rounds.flatMap((round) => round.samples)).sort();
  const rate = median(rounds.map((round) => (round.count / round.nanoseconds) * 1e9));
  return {
    ...heading,
    count: rounds.reduce((sum, round) => sum + round.count, 0),
    p50_ns: percentile(samples, 0.5),
    p99_ns: percentile(samples, 0.99),
    p999_ns: percentile(samples, 0.999),
    per_second: Math.round(rate),
    mb_per_second: Math.round((rate * heading.bytes) / 1e3) / 1e3,
  };
}

/** Of sorted samples, by nearest rank; null if there are none. */
function percentile(sorted: Float64Array, share: number): number | null {
  const rank = Math.max(1, Math.ceil(share * sorted.length));
  return sorted[rank - 1] ?? null;
}

export function median(values: readonly number[]): number {
  const sorted = Float64Array.from(values).sort();
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? Number.NaN)) / 2;
}
