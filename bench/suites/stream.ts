/** Messages one way, as fast as they go. */

import type { Efforts } from "../effort.ts";
import type { Seat } from "../row.ts";
import { bunRow, floorRow } from "./programs.ts";
import { compare, type SuiteResult } from "./suite.ts";

export function runStream(efforts: Efforts, seats: readonly Seat[]): Promise<SuiteResult> {
  const rows = [
    bunRow("unix-stream", "earshot", "unix-stream.ts"),
    floorRow("floor-unix-stream", "floor_stream"),
    bunRow("bun-listen-stream", "peer", "bun-listen-stream.ts"),
    bunRow("bun-listen-stream-batched", "peer", "bun-listen-stream.ts", "batched"),
  ];
  const { bytes, stream: effort } = efforts;
  return compare({ suite: "stream", rows, bytes, effort }, seats);
}
