/** Processes that are warm: forked, and forked ahead, beside such as are started and warmed up. */

import { readFileSync } from "node:fs";
import type { Clone } from "../../src/zygote/index.ts";
import type { Efforts } from "../effort.ts";
import type { Figure } from "../figure.ts";
import { progress } from "../progress.ts";
import type { Seat } from "../row.ts";
import { median } from "../summary.ts";
import { ask, ChurnRow, CloneRow, SpawnRow } from "./clone-row.ts";
import { comparePasswords } from "./passwords-row.ts";
import { compare, type SuiteResult } from "./suite.ts";

const beside = 20;
const standby = 4;

export async function runZygote(efforts: Efforts, seats: readonly Seat[]): Promise<SuiteResult> {
  if (process.platform !== "linux") {
    const skipped = [{ id: "clone", reason: "forks are made on Linux alone" }];
    return { suite: "zygote", results: [], figures: [], skipped };
  }
  const rows = [
    new CloneRow("clone"),
    new CloneRow("clone-standby", standby),
    new SpawnRow(),
    new ChurnRow("clone-churn"),
  ];
  // Owner, zygote and clones go where the system puts them.
  const { zygote: effort } = efforts;
  const part = { suite: "zygote", rows, bytes: [0], effort };
  const result = await compare(part, seats.slice(0, 1));
  result.figures.push(...(await measureMemory()));
  const asked = await comparePasswords(efforts, seats);
  result.results.push(...asked.results);
  result.skipped.push(...asked.skipped);
  return result;
}

/** Of clones that wait, beside others. */
async function measureMemory(): Promise<Figure[]> {
  progress(`zygote: ${beside + 1} clones`);
  const row = new CloneRow("clone-memory");
  await row.start();
  const clones = await Promise.all(Array.from({ length: beside + 1 }, () => row.zygote.clone()));
  await Bun.sleep(settleMilliseconds);
  const idle = [
    figureOf("clone-memory", "Pss", clones),
    figureOf("clone-private", "Private", clones),
  ];
  await Promise.all(clones.map(ask));
  await row.stop();
  return idle;
}

const settleMilliseconds = 100;

function figureOf(id: string, name: string, clones: readonly Clone[]): Figure {
  const value = median(clones.map((clone) => bytesOf(clone.pid, name)));
  const note = `of an idle clone beside ${beside} others, ${name === "Pss" ? "its share of what is shared included" : "its own alone"}`;
  return { suite: "zygote", id, value, unit: "B", note };
}

/** The sum of the lines that begin so. */
function bytesOf(pid: number, name: string): number {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
  const lines = [...text.matchAll(new RegExp(`^${name}(?:_Clean|_Dirty)?:\\s+(\\d+) kB$`, "gm"))];
  const wanted = name === "Pss" ? lines.slice(0, 1) : lines;
  return wanted.reduce((sum, [, kibibytes]) => sum + Number(kibibytes) * 1024, 0);
}
