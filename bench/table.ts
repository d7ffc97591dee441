/** The tables that the benchmark prints. */

import { formatValue } from "./numbers.ts";
import type { SuiteResult } from "./suites/suite.ts";
import type { Result } from "./summary.ts";
import type { Verdict } from "./targets.ts";

interface Column {
  title: string;
  /** Text stands left, numbers right. */
  text?: boolean;
  cell: (result: Result, group: readonly Result[], verdicts: readonly Verdict[]) => string;
}

/** The floor that does the same work in the same way, where it is not the only one. */
const floors: Record<string, string> = {
  "unix-sync-spin": "floor-unix-spin",
  "floor-unix-spin": "floor-unix-spin",
};
const suiteFloors: Record<string, string> = {
  rtt: "floor-unix-sleep",
  stream: "floor-unix-stream",
  connections: "connections-1",
};
const suitePeers: Record<string, string> = { rtt: "bun-listen", stream: "bun-listen-stream" };

const columns: readonly Column[] = [
  { title: "row", text: true, cell: ({ id }) => id },
  { title: "p50 µs", cell: ({ p50_ns }) => microseconds(p50_ns) },
  { title: "p99 µs", cell: ({ p99_ns }) => microseconds(p99_ns) },
  { title: "p99.9 µs", cell: ({ p999_ns }) => microseconds(p999_ns) },
  { title: "msg/s", cell: ({ per_second }) => formatValue(per_second) },
  { title: "MB/s", cell: ({ mb_per_second }) => formatValue(mb_per_second) },
  {
    title: "× floor",
    cell: (result, group) => ratio(result, group, floors[result.id] ?? suiteFloors[result.suite]),
  },
  { title: "× peer", cell: (result, group) => ratio(result, group, suitePeers[result.suite]) },
  {
    title: "target",
    text: true,
    cell: (result, _group, verdicts) => {
      return verdicts
        .filter((verdict) => isAbout(verdict, result))
        .map(describe)
        .join("; ");
    },
  },
];

/** A table of all rows of a suite, one block for each place and size. */
export function printTable(suite: SuiteResult, verdicts: readonly Verdict[]): string {
  const groups = Map.groupBy(suite.results, ({ placement, bytes }) => `${placement}, ${bytes} B`);
  const blocks = [...groups].map(([title, group]) => ({
    title,
    cells: group.map((result) => columns.map(({ cell }) => cell(result, group, verdicts))),
  }));
  const titles = columns.map(({ title }) => title);
  const widths = titles.map((title, index) => {
    const cells = blocks.flatMap((block) => block.cells.map((row) => row[index] ?? ""));
    return Math.max(title.length, ...cells.map((cell) => cell.length));
  });
  const lines = [suite.suite, formatRow(titles, widths)];
  for (const { title, cells } of blocks) {
    lines.push(`  ${title}`, ...cells.map((row) => formatRow(row, widths)));
  }
  return `${[...lines, ...notes(suite, verdicts)].join("\n")}\n`;
}

function notes({ suite, figures, skipped }: SuiteResult, verdicts: readonly Verdict[]): string[] {
  const found = figures.map(({ id, value, unit, note }) => {
    const judged = verdicts.filter((verdict) => verdict.suite === suite && verdict.id === id);
    const what = value === null ? "not measured" : `${formatValue(value)} ${unit}`;
    return `  ${[`${id}: ${what}`, ...judged.map(describe)].join("; ")} (${note})`;
  });
  const reasons = new Set(skipped.map(({ id, reason }) => `  ${id} is left out: ${reason}`));
  return [...found, ...reasons];
}

function formatRow(cells: readonly string[], widths: readonly number[]): string {
  const padded = cells.map((cell, index) => {
    const width = widths[index] ?? 0;
    return columns[index]?.text ? cell.padEnd(width) : cell.padStart(width);
  });
  return `    ${padded.join("  ")}`.trimEnd();
}

function isAbout(verdict: Verdict, { suite, id, bytes, placement }: Result): boolean {
  const sameRow = verdict.suite === suite && verdict.id === id;
  return sameRow && verdict.bytes === bytes && verdict.placement === placement;
}

function describe({ target, value, met }: Verdict): string {
  return `${target}: ${formatValue(value)}, ${met ? "met" : "missed"}`;
}

/** Of the median time where there is one, else of the rate. */
function ratio(result: Result, group: readonly Result[], id: string | undefined): string {
  const other = group.find((candidate) => candidate.id === id);
  if (other === undefined) return "";
  if (result.p50_ns !== null && other.p50_ns !== null) {
    return (result.p50_ns / other.p50_ns).toFixed(2);
  }
  return (result.per_second / other.per_second).toFixed(2);
}

function microseconds(nanoseconds: number | null): string {
  return nanoseconds === null ? "" : (nanoseconds / 1e3).toFixed(2);
}
