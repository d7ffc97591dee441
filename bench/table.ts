/** The tables that the benchmark prints. */

import { formatValue } from "./numbers.ts";
import { added, type Reference, references } from "./references.ts";
import type { SuiteResult } from "./suites/suite.ts";
import type { Result } from "./summary.ts";
import type { Verdict } from "./targets.ts";

interface Column {
  title: string;
  /** Text stands left, numbers right. */
  text?: boolean;
  cell: (result: Result, group: readonly Result[], verdicts: readonly Verdict[]) => string;
}

const rowColumn: Column = { title: "row", text: true, cell: ({ id }) => id };

const timeColumns: readonly Column[] = [
  { title: "p50 µs", cell: ({ p50_ns }) => microseconds(p50_ns) },
  { title: "p99 µs", cell: ({ p99_ns }) => microseconds(p99_ns) },
  { title: "p99.9 µs", cell: ({ p999_ns }) => microseconds(p999_ns) },
];

const rateColumns: readonly Column[] = [
  { title: "msg/s", cell: ({ per_second }) => formatValue(per_second) },
  { title: "MB/s", cell: ({ mb_per_second }) => formatValue(mb_per_second) },
];

const targetColumn: Column = {
  title: "target",
  text: true,
  cell: (result, _group, verdicts) => {
    const about = verdicts.filter((verdict) => isAbout(verdict, result));
    return about.map(describe).join("; ");
  },
};

/** A table of all rows of a suite, one block for each place and size. */
export function formatTable(suite: SuiteResult, verdicts: readonly Verdict[]): string {
  const columns = columnsOf(suite);
  const groups = Map.groupBy(suite.results, ({ placement, bytes }) => `${placement}, ${bytes} B`);
  const blocks = [...groups].map(([title, group]) => ({
    title,
    rows: group.map((result) => columns.map(({ cell }) => cell(result, group, verdicts))),
  }));
  const titles = columns.map(({ title }) => title);
  const everyRow = [titles, ...blocks.flatMap(({ rows }) => rows)];
  const widths = columns.map((_, index) => {
    return Math.max(...everyRow.map((row) => row[index]?.length ?? 0));
  });
  const format = (row: readonly string[]) => formatRow(row, columns, widths);
  const lines = [suite.suite, format(titles)];
  for (const { title, rows } of blocks) lines.push(`  ${title}`, ...rows.map(format));
  return `${[...lines, ...notes(suite, verdicts)].join("\n")}\n`;
}

function columnsOf({ suite, results }: SuiteResult): Column[] {
  const timed = results.some(({ p50_ns }) => p50_ns !== null);
  const ratios = (references[suite] ?? []).map(ratioColumn);
  const difference = added[suite] === undefined ? [] : [differenceColumn(added[suite])];
  const times = timed ? timeColumns : [];
  return [rowColumn, ...times, ...rateColumns, ...ratios, ...difference, targetColumn];
}

function differenceColumn({ title, of }: Reference): Column {
  return {
    title,
    cell: (result, group) => {
      const other = group.find(({ id }) => id === of(result.id));
      if (typeof result.p50_ns !== "number" || typeof other?.p50_ns !== "number") return "";
      return microseconds(result.p50_ns - other.p50_ns);
    },
  };
}

/** Of the median time where there is one, else of the rate. */
function ratioColumn({ title, of }: Reference): Column {
  return {
    title,
    cell: (result, group) => {
      const other = group.find(({ id }) => id === of(result.id));
      if (other === undefined) return "";
      if (result.p50_ns !== null && other.p50_ns !== null) {
        return (result.p50_ns / other.p50_ns).toFixed(2);
      }
      return (result.per_second / other.per_second).toFixed(2);
    },
  };
}

function formatRow(
  row: readonly string[],
  columns: readonly Column[],
  widths: readonly number[],
): string {
  const cells = columns.map(({ text }, index) => {
    const [cell = "", width = 0] = [row[index], widths[index]];
    return text === true ? cell.padEnd(width) : cell.padStart(width);
  });
  return `    ${cells.join("  ")}`.trimEnd();
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

function isAbout(verdict: Verdict, { suite, id, bytes, placement }: Result): boolean {
  const sameRow = verdict.suite === suite && verdict.id === id;
  return sameRow && verdict.bytes === bytes && verdict.placement === placement;
}

function describe({ target, value, met }: Verdict): string {
  return `${target}: ${formatValue(value)}, ${met ? "met" : "missed"}`;
}

function microseconds(nanoseconds: number | null): string {
  return nanoseconds === null ? "" : (nanoseconds / 1e3).toFixed(2);
}
