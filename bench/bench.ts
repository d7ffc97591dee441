/**
 * `bun bench`: measures earshot beside floors and peers. What is measured, and how, is told in
 * bench/README.md.
 */

import { killChildren } from "./child.ts";
import { type Efforts, full, quick } from "./effort.ts";
import { describeMachine, type Machine, readVersions, type Versions } from "./machine.ts";
import { build } from "./native.ts";
import { type Options, parseOptions, type SuiteName, usage } from "./options.ts";
import { drawPlot } from "./plot.ts";
import { progress, progressDone } from "./progress.ts";
import { formatReport, type Report } from "./report.ts";
import type { Seat } from "./row.ts";
import { removeScratch } from "./scratch.ts";
import { findSeats } from "./seats.ts";
import { runBridge } from "./suites/bridge.ts";
import { runConnections } from "./suites/connections.ts";
import { runDescriptors } from "./suites/descriptors.ts";
import { runMemory } from "./suites/memory.ts";
import { runRtt, spinNanoseconds } from "./suites/rtt.ts";
import { runSeal } from "./suites/seal.ts";
import { runStream } from "./suites/stream.ts";
import type { SuiteResult } from "./suites/suite.ts";
import { runZygote } from "./suites/zygote.ts";
import { formatTable } from "./table.ts";
import { judge } from "./targets.ts";

type Run = (efforts: Efforts, seats: readonly Seat[]) => Promise<SuiteResult>;

const suites: Record<SuiteName, Run> = {
  rtt: runRtt,
  stream: runStream,
  memory: runMemory,
  connections: runConnections,
  descriptors: runDescriptors,
  bridge: runBridge,
  seal: runSeal,
  zygote: runZygote,
};

async function run(options: Options): Promise<void> {
  progress("building the native programs");
  await build();
  const { seats, missing } = findSeats();
  const machine = describeMachine(seats);
  const efforts = options.quick ? quick : full;
  const results: SuiteResult[] = [];
  for (const name of options.suites) {
    const result = await suites[name](efforts, seats);
    progressDone();
    console.log(formatTable(result, judge(result.results, result.figures)));
    results.push(result);
  }
  const versions = await readVersions();
  console.log([describe(machine, versions), ...missing].join("\n"));
  const report = assemble(machine, versions, efforts, results);
  if (options.json !== null) await Bun.write(options.json, formatReport(report));
  if (options.plot !== null) {
    await Bun.write(options.plot, drawPlot(report.rows, describe(machine, versions)));
  }
}

function assemble(
  machine: Machine,
  versions: Versions,
  efforts: Efforts,
  results: readonly SuiteResult[],
): Report {
  const rows = results.flatMap((result) => result.results);
  const figures = results.flatMap((result) => result.figures);
  return {
    schema: 1,
    machine,
    versions,
    rows,
    figures,
    targets: judge(rows, figures),
    skipped: results.flatMap((result) => result.skipped),
    settings: { ...efforts, spin_ns: { "unix-sync-spin": spinNanoseconds, "unix-sync-sleep": 0 } },
  };
}

function describe({ system, processor, processors }: Machine, versions: Versions): string {
  const named = Object.entries(versions).filter(([, version]) => version !== null);
  const tools = named.map(([name, version]) => `${name} ${version}`).join(", ");
  return `${processors} × ${processor}, ${system}; ${tools}`;
}

function cleanUp(): void {
  killChildren();
  removeScratch();
}

function endBy(signal: "SIGINT" | "SIGTERM", code: number): void {
  process.on(signal, () => {
    progressDone();
    cleanUp();
    process.exit(code);
  });
}

function fail(error: unknown): never {
  progressDone();
  console.error(`bench: ${error instanceof Error ? error.message : error}`);
  process.exit(1);
}

function readOptions(): Options {
  try {
    return parseOptions(process.argv.slice(2));
  } catch (error) {
    return fail(error);
  }
}

const options = readOptions();
if (options.help) {
  process.stdout.write(usage);
} else {
  // The codes that a shell gives a program which ends by these signals.
  endBy("SIGINT", 130);
  endBy("SIGTERM", 143);
  try {
    await run(options);
  } catch (error) {
    cleanUp();
    fail(error);
  }
  cleanUp();
}
