/** Round trips: one message to the server and back, then the next. */

import type { Efforts } from "../effort.ts";
import { pinCommand } from "../native.ts";
import { PairRow } from "../pair.ts";
import { type NodeProgram, prepareZeroMQ } from "../peers.ts";
import { progress } from "../progress.ts";
import type { Seat } from "../row.ts";
import { bunProgram, bunRow, floorRow } from "./programs.ts";
import { compare, type SuiteResult } from "./suite.ts";

/** Long enough that it never ends within a round, short beside the rest between rounds. */
export const spinNanoseconds = 1_000_000;

export async function runRtt(efforts: Efforts, seats: readonly Seat[]): Promise<SuiteResult> {
  progress("rtt: preparing peers");
  const zeromq = await prepareZeroMQ();
  const rows = [
    bunRow("unix-sync-spin", "earshot", "unix-sync.ts", String(spinNanoseconds)),
    floorRow("floor-unix-spin", "floor_rtt", (seat) => [
      // On one processor, whoever spins without yielding keeps the other from answering.
      seat.placement === "one-core" ? "yield" : "spin",
    ]),
    bunRow("unix-sync-sleep", "earshot", "unix-sync.ts", "0"),
    floorRow("floor-unix-sleep", "floor_rtt", () => ["sleep"]),
    bunRow("unix-async", "earshot", "unix-async.ts", "unix"),
    bunRow("bun-listen", "peer", "bun-listen.ts"),
    bunRow("node-net", "peer", "node-net.ts"),
    spawnRow(),
    ...("missing" in zeromq ? [] : [zeromqRow(zeromq)]),
  ];
  const { bytes, rtt: effort } = efforts;
  const result = await compare({ suite: "rtt", rows, bytes, effort }, seats);
  const paused = { suite: "rtt", rows: pausedRows(), bytes: bytes.slice(0, 1), effort };
  result.results.push(...(await compare(paused, seats)).results);
  if ("missing" in zeromq) result.skipped.push({ id: "zeromq-node", reason: zeromq.missing });
  return result;
}

/** What is asked now and then, and not again and again: both processes sleep before each trip. */
function pausedRows(): PairRow[] {
  const milliseconds = "2";
  return [
    bunRow("unix-async-paused", "earshot", "unix-async.ts", "unix", milliseconds),
    bunRow("bun-listen-paused", "peer", "bun-listen.ts", milliseconds),
  ];
}

/** Its driver starts the server itself, since the channel is one to a child. */
function spawnRow(): PairRow {
  const run = bunProgram("bun-spawn-ipc.ts");
  return new PairRow({
    id: "bun-spawn-ipc",
    kind: "peer",
    driver: (path, seat) => {
      return [...run, "drive", path, ...pinCommand([...run, "serve", path], seat.server)];
    },
  });
}

function zeromqRow({ node, file }: Exclude<NodeProgram, { missing: string }>): PairRow {
  return new PairRow({
    id: "zeromq-node",
    kind: "peer",
    server: (path) => [node, file, "serve", path],
    driver: (path) => [node, file, "drive", path],
  });
}
