/** Requests to a copy of the passwords, which is a clone, over the pipes to it, beside the same of two plain programs. */

import { basename, dirname } from "node:path";
import type { Efforts } from "../effort.ts";
import { PairRow } from "../pair.ts";
import type { Seat } from "../row.ts";
import { bunProgram, floorRow, serviceProgram } from "./programs.ts";
import { compare, type SuiteResult } from "./suite.ts";

export async function comparePasswords(
  efforts: Efforts,
  seats: readonly Seat[],
): Promise<SuiteResult> {
  const rows = [
    getRow("passwords-get"),
    getRow("passwords-get-sealed", "sealed"),
    floorRow("floor-pipe", "floor_pipe"),
  ];
  return await compare({ suite: "zygote", rows, bytes: efforts.bytes, effort: efforts.rtt }, seats);
}

/** The copy is a child of the service, and runs where that does. */
function getRow(id: string, ...options: string[]): PairRow {
  return new PairRow({
    id,
    kind: "earshot",
    server: (path) =>
      serviceProgram("passwords", "--name", basename(path), "--rundir", dirname(path)),
    greeting: "pong: listening on",
    driver: (path) => [...bunProgram("passwords-get.ts"), "drive", path, ...options],
  });
}
