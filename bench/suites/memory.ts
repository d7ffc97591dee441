/** Shared memory: round trips, messages one way, and messages that are lent, beside sockets and a Worker. */

import type { Effort, Efforts } from "../effort.ts";
import type { Skipped } from "../measure.ts";
import { program } from "../native.ts";
import { PairRow } from "../pair.ts";
import { libzmqVersion } from "../peers.ts";
import type { Row, Seat } from "../row.ts";
import { bunProgram, bunRow, floorRow } from "./programs.ts";
import { spinNanoseconds } from "./rtt.ts";
import { compare, type SuiteResult } from "./suite.ts";

const small = 64;
const large = 65_536;
const lent = 1024 * 1024;
const spin = String(spinNanoseconds);

export async function runMemory(efforts: Efforts, seats: readonly Seat[]): Promise<SuiteResult> {
  const result: SuiteResult = { suite: "memory", results: [], figures: [], skipped: [] };
  const run = async (rows: readonly Row[], bytes: readonly number[], effort: Effort) => {
    const part = await compare({ suite: "memory", rows, bytes, effort }, seats);
    result.results.push(...part.results);
    result.skipped.push(...part.skipped);
  };
  const trips = [
    bunRow("memory-spin", "earshot", "memory-sync.ts", spin),
    bunRow("memory-sealed-spin", "earshot", "memory-sync.ts", spin, "sealed"),
    floorRow("floor-memory-spin", "floor_memory", (seat) => [
      // On one processor, whoever spins without yielding keeps the other from answering.
      seat.placement === "one-core" ? "yield" : "spin",
    ]),
    bunRow("memory-sleep", "earshot", "memory-sync.ts", "0"),
    floorRow("floor-futex", "floor_memory", () => ["futex"]),
    bunRow("memory-async", "earshot", "memory-async.ts"),
    bunRow("memory-serve", "earshot", "unix-async.ts", "memory"),
    bunRow("unix-sync-spin", "earshot", "unix-sync.ts", spin),
    bunRow("unix-sync-sleep", "earshot", "unix-sync.ts", "0"),
    bunRow("bun-listen", "peer", "bun-listen.ts"),
    workerRow(),
    ...zeromqRows(result.skipped),
  ];
  await run(trips, [small], efforts.rtt);
  const loans = [
    bunRow("memory-loan", "earshot", "memory-loan.ts", spin),
    bunRow("memory-loan-hot", "earshot", "memory-loan.ts", spin, "hot"),
  ];
  await run(loans, [small, lent], efforts.rtt);
  await run([bunRow("memory-connect", "earshot", "memory-connect.ts")], [small], efforts.rtt);
  const streams = [
    bunRow("memory-stream", "earshot", "memory-stream.ts"),
    bunRow("memory-sealed-stream", "earshot", "memory-stream.ts", "sealed"),
    copyRow(),
    bunRow("unix-stream", "earshot", "unix-stream.ts"),
  ];
  await run(streams, [small, large], efforts.stream);
  return result;
}

/** Over a socket and by two plain programs, as ZeroMQ knows nothing of shared memory. */
function zeromqRows(skipped: Skipped[]): PairRow[] {
  const id = "zeromq-ipc";
  if (libzmqVersion() === null) {
    skipped.push({ id, reason: "there is no libzmq on this machine" });
    return [];
  }
  const run = (role: string, path: string) => [program("peer_zeromq"), role, path];
  const server = (path: string) => run("serve", path);
  return [new PairRow({ id, kind: "peer", server, driver: (path) => run("drive", path) })];
}

/** One process has both threads, so that it has both processors. */
function workerRow(): PairRow {
  const run = [...bunProgram("worker-postmessage.ts")];
  return new PairRow({
    id: "worker-postmessage",
    kind: "peer",
    driver: (_, { server, driver }) =>
      server === null || driver === null ? run : [program("pin"), `${server},${driver}`, ...run],
  });
}

/** A copy is made by one program alone. */
function copyRow(): PairRow {
  return new PairRow({
    id: "floor-memcpy",
    kind: "floor",
    driver: () => [program("floor_memcpy")],
  });
}
