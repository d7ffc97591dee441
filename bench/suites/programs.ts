/** How the programs of the rows are started. */

import { join } from "node:path";
import { program } from "../native.ts";
import { PairRow } from "../pair.ts";
import type { Kind, Seat } from "../row.ts";

/** A row whose two programs are one file in bench/rows, run by Bun. */
export function bunRow(id: string, kind: Kind, file: string, ...options: string[]): PairRow {
  const run = (role: string, path: string) => [...bunProgram(file), role, path, ...options];
  return new PairRow({
    id,
    kind,
    server: (path) => run("serve", path),
    driver: (path) => run("drive", path),
  });
}

export function bunProgram(file: string): string[] {
  return [process.execPath, join(import.meta.dir, "..", "rows", file)];
}

/** A row of a floor program; its options may depend on where it runs. */
export function floorRow(
  id: string,
  name: string,
  options: (seat: Seat) => string[] = () => [],
): PairRow {
  return new PairRow({
    id,
    kind: "floor",
    server: (path, seat) => [program(name), "serve", path, ...options(seat)],
    driver: (path, seat) => [program(name), "drive", path, ...options(seat)],
  });
}

const serviceCommand = join(import.meta.dir, "..", "..", "src", "cli", "service.ts");

/** `service NAME OPTION…` of this repository. */
export function serviceProgram(...words: string[]): string[] {
  return [process.execPath, serviceCommand, ...words];
}
