/** What of a kind a process has mapped. */

import { readFileSync } from "node:fs";

/** How many mappings of files whose path has `part` in it; 0 where that cannot be told. */
export function mapsOf(part: string, pid: number | "self" = "self"): number {
  if (process.platform !== "linux") return 0;
  const lines = readFileSync(`/proc/${pid}/maps`, "utf8").split("\n");
  return lines.filter((line) => line.includes(part)).length;
}
