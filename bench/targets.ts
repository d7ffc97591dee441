/** What the rows are meant to reach, and whether they do. */

import type { Figure } from "./figure.ts";
import { formatValue } from "./numbers.ts";
import type { Placement } from "./row.ts";
import type { Result } from "./summary.ts";

type Measure = "p50_ns" | "p999_ns" | "per_second" | "mb_per_second";

/** A figure of a row is held against a bound: a multiple of another row's figure, or a number. */
export interface Target {
  suite: string;
  id: string;
  bytes: number;
  placements: readonly Placement[];
  measure: Measure;
  bound: { most: number } | { least: number };
  /** The row that the bound is a multiple of. */
  of?: string;
  /** At another size than its own. */
  ofBytes?: number;
  /** A row whose figure is first taken off both: what counts is what they add to it. */
  above?: string;
}

export interface Verdict {
  suite: string;
  id: string;
  bytes: number | null;
  placement: Placement | null;
  /** In words: what is asked for. */
  target: string;
  /** The ratio, or the number itself. */
  value: number;
  met: boolean;
}

const both: readonly Placement[] = ["two-cores", "one-core"];
const lent = 1024 * 1024;

const targets: readonly Target[] = [
  spin("floor-unix-spin", 1.35),
  spin("bun-listen", 0.2),
  trip("unix-sync-sleep", "floor-unix-sleep", 1.15),
  trip("unix-async", "bun-listen", 0.5),
  stream(64, "per_second", 8_000_000),
  stream(64, "per_second", 4, "bun-listen-stream"),
  stream(65536, "mb_per_second", 0.85, "floor-unix-stream"),
  { ...memory("memory-spin", 64, { most: 2 }, "floor-memory-spin"), placements: ["two-cores"] },
  { ...memory("memory-spin", 64, { most: 0.01 }, "bun-listen"), placements: ["two-cores"] },
  { ...memory("memory-sealed-spin", 64, { most: 2.5 }, "memory-spin"), placements: ["two-cores"] },
  memory("memory-sleep", 64, { most: 1.2 }, "floor-futex"),
  memory("memory-sleep", 64, { most: 1 }, "unix-sync-sleep"),
  memory("memory-async", 64, { most: 0.1 }, "bun-listen"),
  memory("memory-serve", 64, { most: 0.1 }, "bun-listen"),
  memory("memory-connect", 64, { most: 1_000_000 }),
  { ...memory("memory-loan", lent, { most: 2 }, "memory-loan"), ofBytes: 64 },
  memoryStream(64, "per_second", 15_000_000),
  memoryStream(64, "per_second", 1, "unix-stream"),
  memoryStream(65536, "mb_per_second", 0.8, "floor-memcpy"),
  { ...memoryStream(64, "per_second", 3_000_000), id: "memory-sealed-stream" },
  { ...memoryStream(65536, "mb_per_second", 4000), id: "memory-sealed-stream" },
  held("connections-10000", "connections-1"),
  held("connections-10000-sleep", "connections-1-sleep"),
  adds("socat-rtt"),
  adds("haproxy-rtt"),
  bridge("tcpd-stream", 65536, "mb_per_second", { least: 2 }, "socat-stream"),
  bridge("tcpd-stream", 65536, "mb_per_second", { least: 2 }, "haproxy-stream"),
  bridge("websocketd-rtt", 64, "p50_ns", { most: 1.35 }, "bun-serve-ws-rtt"),
  bridge("websocketd-stream", 64, "per_second", { least: 130_000 }),
  bridge("httpd", 64, "per_second", { least: 0.7 }, "bun-serve-http"),
  bridge("httpd-ordered", 64, "per_second", { least: 0.7 }, "bun-serve-http"),
  bridge("takeover", 64, "p999_ns", { most: 50_000_000 }),
  zygote("clone", "p50_ns", { most: 2_000_000 }),
  zygote("clone", "p50_ns", { most: 0.033 }, "spawn-warm"),
  zygote("clone-standby", "p50_ns", { most: 300_000 }),
  // On one processor both sides run without anything to wake, and what JavaScript adds is more than the pipe itself.
  {
    ...trip("passwords-get", "floor-pipe", 1.2),
    suite: "zygote",
    placements: ["two-cores"],
  },
  zygote("clone-churn", "per_second", { least: 400 }),
];

const figureTargets = [
  { id: "memory-per-connection", most: 4096 },
  { id: "service-start", most: 150 },
  { id: "takeover-failed", most: 0 },
  { id: "clone-memory", most: 4_000_000 },
  { id: "clone-private", most: 1_000_000 },
];

function spin(of: string, most: number): Target {
  return { ...trip("unix-sync-spin", of, most), placements: ["two-cores"] };
}

function trip(id: string, of: string, most: number): Target {
  const what = { suite: "rtt", id, bytes: 64, placements: both, measure: "p50_ns" } as const;
  return { ...what, bound: { most }, of };
}

function held(id: string, of: string): Target {
  return { ...trip(id, of, 1.25), suite: "connections" };
}

function stream(bytes: number, measure: Measure, least: number, of?: string): Target {
  const what = { suite: "stream", id: "unix-stream", bytes, placements: both, measure } as const;
  return of === undefined ? { ...what, bound: { least } } : { ...what, bound: { least }, of };
}

function memory(id: string, bytes: number, bound: Target["bound"], of?: string): Target {
  const what = { suite: "memory", id, bytes, placements: both, measure: "p50_ns", bound } as const;
  return of === undefined ? what : { ...what, of };
}

function memoryStream(bytes: number, measure: Measure, least: number, of?: string): Target {
  return { ...stream(bytes, measure, least, of), suite: "memory", id: "memory-stream" };
}

/** What tcpd adds to a round trip, beside what another bridge does. */
function adds(of: string): Target {
  return { ...bridge("tcpd-rtt", 64, "p50_ns", { most: 0.9 }, of), above: "direct-tcp-rtt" };
}

function bridge(
  id: string,
  bytes: number,
  measure: Measure,
  bound: Target["bound"],
  of?: string,
): Target {
  const what = { suite: "bridge", id, bytes, placements: both, measure, bound } as const;
  return of === undefined ? what : { ...what, of };
}

function zygote(id: string, measure: Measure, bound: Target["bound"], of?: string): Target {
  const what = { suite: "zygote", id, bytes: 0, placements: both, measure, bound } as const;
  return of === undefined ? what : { ...what, of };
}

/** Targets whose rows were not measured are left out. */
export function judge(results: readonly Result[], figures: readonly Figure[]): Verdict[] {
  const verdicts = targets.flatMap((target) => {
    return target.placements.flatMap((placement) => judgeRow(target, placement, results));
  });
  return [...verdicts, ...figures.flatMap(judgeFigure)];
}

function judgeRow(target: Target, placement: Placement, results: readonly Result[]): Verdict[] {
  const find = (id: string, wanted = target.bytes) => {
    const same = ({ suite, bytes, placement: place }: Result) => {
      return suite === target.suite && bytes === wanted && place === placement;
    };
    return results.find((result) => result.id === id && same(result))?.[target.measure];
  };
  const own = find(target.id);
  const other = target.of === undefined ? 1 : find(target.of, target.ofBytes);
  const base = target.above === undefined ? 0 : find(target.above);
  if (typeof own !== "number" || typeof other !== "number" || typeof base !== "number") return [];
  const value = (own - base) / (other - base);
  // The other may add less than nothing, so that a bound on the ratio would say the opposite.
  const met = other > base ? meets(target, value) : own <= other;
  const { suite, id, bytes } = target;
  return [{ suite, id, bytes, placement, target: describe(target), value, met }];
}

function meets({ bound }: Target, value: number): boolean {
  return "most" in bound ? value <= bound.most : value >= bound.least;
}

function describe({ bound, measure, of, ofBytes, above }: Target): string {
  const [sign, limit] = "most" in bound ? ["≤", bound.most] : ["≥", bound.least];
  const figure = { p50_ns: "p50", p999_ns: "p99.9 ns", per_second: "msg/s", mb_per_second: "MB/s" };
  const name = above === undefined ? figure[measure] : `${figure[measure]} above ${above}`;
  const number = Number.isInteger(limit) ? formatValue(limit) : String(limit);
  const size = ofBytes === undefined ? "" : ` of ${ofBytes} B`;
  return of === undefined
    ? `${name} ${sign} ${number}`
    : `${name} ${sign} ${number} × ${of}${size}`;
}

function judgeFigure({ suite, id, value, unit }: Figure): Verdict[] {
  const target = figureTargets.find((candidate) => candidate.id === id);
  if (target === undefined || value === null) return [];
  const what = `≤ ${target.most} ${unit}`;
  const met = value <= target.most;
  return [{ suite, id, bytes: null, placement: null, target: what, value, met }];
}
