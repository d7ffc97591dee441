/**
 * The figures as one picture: a panel for each suite and size, in it a bar for each row, the
 * placements side by side. Scales are logarithmic, since a spinning row and a message broker lie
 * a factor of fifty apart.
 */

import { formatValue } from "./numbers.ts";
import type { Kind, Placement } from "./row.ts";
import type { Result } from "./summary.ts";

const colours: Record<Kind, string> = { earshot: "#1f6fb4", floor: "#8a8f98", peer: "#d98324" };
const kindNames: Record<Kind, string> = {
  earshot: "earshot",
  floor: "floor: the same in plain system calls",
  peer: "peer: what one would take instead",
};
const placements: readonly Placement[] = ["two-cores", "one-core"];
const placementNames: Record<Placement, string> = {
  "two-cores": "two processes on two cores",
  "one-core": "two processes on one core",
};

const margin = 24;
const labelWidth = 176;
const barsWidth = 300;
const valueWidth = 64; // for the figure after a full bar
const panelWidth = labelWidth + barsWidth + valueWidth;
const barHeight = 14;
const barStep = 19;
const axisHeight = 40;
const titleHeight = 26;
const headHeight = 108;

/** What a suite's bars show. */
interface Scale {
  axis: string;
  value: (result: Result) => number;
}

const times: Scale = {
  axis: "median round trip, µs (logarithmic; shorter is better)",
  value: ({ p50_ns }) => (p50_ns ?? 0) / 1e3,
};
const payloads: Scale = {
  axis: "payload, MB/s (logarithmic; longer is better)",
  value: ({ mb_per_second }) => mb_per_second,
};
const rates: Scale = {
  axis: "a second (logarithmic; longer is better)",
  value: ({ per_second }) => per_second,
};
const smallBytesMax = 1024; // of larger messages the bytes count, of smaller ones their number
const scales: Record<string, Scale> = {
  rtt: times,
  connections: times,
  stream: payloads,
  descriptors: rates,
};

/** A suite of its own rows has one scale; those of bridges and of memory have times, rates and streams. */
function scaleOf({ suite, p50_ns, bytes }: Result): Scale {
  const scale = scales[suite];
  if (scale !== undefined) return scale;
  if (p50_ns !== null) return times;
  return bytes > smallBytesMax ? payloads : rates;
}

interface Panel {
  title: string;
  scale: Scale;
  results: Result[];
}

export function drawPlot(results: readonly Result[], subtitle: string): string {
  const panels: Panel[] = [];
  for (const result of results) {
    const title = `${result.suite}, messages of ${result.bytes} B`;
    const scale = scaleOf(result);
    const panel = panels.find((one) => one.title === title && one.scale === scale);
    if (panel === undefined) panels.push({ title, scale, results: [result] });
    else panel.results.push(result);
  }
  const seen = placements.filter((place) => results.some(({ placement }) => placement === place));
  const width = 2 * margin + Math.max(1, seen.length) * (panelWidth + margin);
  let y = headHeight;
  const drawn = panels.map((panel) => {
    const top = y;
    y += panelHeight(panel);
    return seen.map((placement, index) => {
      return drawPanel(panel, placement, margin + index * (panelWidth + margin), top);
    });
  });
  const height = y + margin;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}"`,
    ` height="${height}" font-family="system-ui, sans-serif" font-size="12" fill="#22262b">`,
    `<rect width="100%" height="100%" fill="#ffffff"/>`,
    text(margin, 34, "earshot beside floors and peers", 'font-size="20" font-weight="600"'),
    text(margin, 54, subtitle, 'fill="#5a6068"'),
    drawLegend(),
    ...drawn.flat(),
    "</svg>\n",
  ].join("\n");
}

function drawLegend(): string {
  let x = margin;
  const entries = (Object.keys(colours) as Kind[]).map((kind) => {
    const entry = [
      `<rect x="${x}" y="70" width="12" height="12" fill="${colours[kind]}"/>`,
      text(x + 18, 80, kindNames[kind]),
    ];
    x += 40 + kindNames[kind].length * 7;
    return entry.join("");
  });
  return entries.join("\n");
}

function panelHeight(panel: Panel): number {
  const rows = placements.map((place) => placedIn(panel, place).length);
  return titleHeight + Math.max(...rows) * barStep + axisHeight;
}

function placedIn(panel: Panel, place: Placement): Result[] {
  return panel.results.filter(({ placement }) => placement === place);
}

function drawPanel(panel: Panel, placement: Placement, left: number, top: number): string {
  const rows = placedIn(panel, placement);
  const axis = logarithmicAxis(panel.results.map(panel.scale.value));
  const barsLeft = left + labelWidth;
  const barsTop = top + titleHeight;
  const barsBottom = barsTop + rows.length * barStep;
  const title = `${panel.title}, ${placementNames[placement]}`;
  const parts = [text(left, top + 14, title, 'font-weight="600" font-size="13"')];
  for (const tick of axis.ticks) {
    const x = barsLeft + axis.at(tick) * barsWidth;
    parts.push(
      `<path d="M${x.toFixed(1)} ${barsTop - 2}V${barsBottom}" stroke="#e3e5e8"/>`,
      text(x, barsBottom + 13, formatValue(tick), 'text-anchor="middle" fill="#5a6068"'),
    );
  }
  rows.forEach((result, index) => {
    parts.push(drawBar(result, panel.scale, axis, barsLeft, barsTop + index * barStep));
  });
  const middle = barsLeft + barsWidth / 2;
  const attributes = 'text-anchor="middle" fill="#5a6068"';
  parts.push(text(middle, barsBottom + 29, panel.scale.axis, attributes));
  return parts.join("\n");
}

function drawBar(result: Result, scale: Scale, axis: Axis, left: number, y: number): string {
  const value = scale.value(result);
  const length = Math.max(1, axis.at(value) * barsWidth);
  const baseline = y + barHeight - 3;
  const size = `width="${length.toFixed(1)}" height="${barHeight}"`;
  return [
    text(left - 8, baseline, result.id, 'text-anchor="end"'),
    `<rect x="${left}" y="${y}" ${size} fill="${colours[result.kind]}"/>`,
    text(left + length + 5, baseline, formatValue(value)),
  ].join("");
}

interface Axis {
  ticks: number[];
  /** Where a value lies between the beginning of the axis and its end, from 0 to 1. */
  at: (value: number) => number;
}

/** From the power of ten below the least value to the one above the greatest. */
function logarithmicAxis(values: readonly number[]): Axis {
  const positive = values.filter((value) => value > 0);
  const first = Math.floor(Math.log10(Math.min(...positive)));
  const last = Math.max(first + 1, Math.ceil(Math.log10(Math.max(...positive))));
  const ticks = Array.from({ length: last - first + 1 }, (_, index) => 10 ** (first + index));
  const at = (value: number) => {
    return value > 0 ? Math.max(0, (Math.log10(value) - first) / (last - first)) : 0;
  };
  return { ticks, at };
}

function text(x: number, y: number, content: string, attributes = ""): string {
  const escaped = content.replace(/[&<>]/g, (character) => `&#${character.charCodeAt(0)};`);
  return `<text x="${x.toFixed(1)}" y="${y}" ${attributes}>${escaped}</text>`;
}
