/**
 * A round trip beside ten thousand idle connections and beside none, what each of them costs in
 * memory, and how long a service takes to start.
 */

import type { Efforts } from "../effort.ts";
import { descriptorLimit } from "../machine.ts";
import { progress } from "../progress.ts";
import type { Seat } from "../row.ts";
import { median } from "../summary.ts";
import { IdleRow } from "./idle-row.ts";
import { timeStarts } from "./service-start.ts";
import { compare, type SuiteResult } from "./suite.ts";

const connectionsWanted = 10_000;
const descriptorsOther = 200; // what a Bun process has open besides, generously

export async function runConnections(
  efforts: Efforts,
  seats: readonly Seat[],
): Promise<SuiteResult> {
  const connections = Math.min(connectionsWanted, descriptorLimit() - descriptorsOther);
  const many = new IdleRow("connections-10000", connections - 1, "default");
  const rows = [
    new IdleRow("connections-1", 0, "default"),
    many,
    // Who spins may find the one busy connection without asking the poller; who sleeps may not.
    new IdleRow("connections-1-sleep", 0, "0"),
    new IdleRow("connections-10000-sleep", connections - 1, "0"),
  ];
  const effort = efforts.connections;
  const result = await compare({ suite: "connections", rows, bytes: [64], effort }, seats);
  progress("connections: starting services");
  const starts = await timeStarts(efforts.starts);
  result.figures.push(
    {
      suite: "connections",
      id: "connections-held",
      value: connections,
      unit: "connections",
      note: "in row connections-10000; less than its name says where descriptors are limited",
    },
    {
      suite: "connections",
      id: "memory-per-connection",
      value: many.bytesPerConnection,
      unit: "B",
      note: "growth of the serving process's private memory, JavaScript's share included",
    },
    {
      suite: "connections",
      id: "service-start",
      value: Math.round(median(starts) * 10) / 10,
      unit: "ms",
      note: `from start to listening, median of ${starts.length}; slowest ${Math.round(Math.max(...starts))} ms`,
    },
  );
  return result;
}
