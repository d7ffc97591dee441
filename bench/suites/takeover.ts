/**
 * What clients notice that call all the time while another process takes their service over, again
 * and again.
 */

import { dirname } from "node:path";
import { Child } from "../child.ts";
import { progress } from "../progress.ts";
import type { Seat } from "../row.ts";
import type { Calls } from "../rows/caller.ts";
import { scratchPath } from "../scratch.ts";
import { median } from "../summary.ts";
import { bunProgram, serviceProgram } from "./programs.ts";
import type { SuiteResult } from "./suite.ts";

const bytes = 64;
const roundMilliseconds = 1_000;
const beforeMilliseconds = 200; // calls before anything happens to them
const greeting = "pong: listening on ";

export function canTakeOver(): boolean {
  const [program = "", ...words] = serviceProgram("pong", "--help");
  return Bun.spawnSync([program, ...words]).stdout.includes("--takeover");
}

/** Adds the row `takeover`, and the figure `takeover-failed`. */
export async function measureTakeovers(
  times: number,
  seats: readonly Seat[],
  result: SuiteResult,
): Promise<void> {
  if (!canTakeOver()) {
    result.skipped.push({ id: "takeover", reason: "`service` has no --takeover here" });
    return;
  }
  const all: Calls[] = [];
  for (const seat of seats) {
    progress(`bridge, ${seat.placement}: ${times} takeovers`);
    const rounds = await takeOver(times, seat);
    const middle = (of: (calls: Calls) => number) => Math.round(median(rounds.map(of)));
    const rate = middle(({ count, nanoseconds }) => (count / nanoseconds) * 1e9);
    result.results.push({
      suite: "bridge",
      id: "takeover",
      kind: "earshot",
      bytes,
      placement: seat.placement,
      count: rounds.reduce((sum, { count }) => sum + count, 0),
      p50_ns: middle(({ p50 }) => p50),
      p99_ns: middle(({ p99 }) => p99),
      // There is one such pause a takeover, so that no percentile would tell of it.
      p999_ns: Math.max(...rounds.map(({ longest }) => longest)),
      per_second: rate,
      mb_per_second: Math.round((rate * bytes) / 1e3) / 1e3,
    });
    all.push(...rounds);
  }
  const why = all.find((calls) => calls.why !== "")?.why;
  result.figures.push({
    suite: "bridge",
    id: "takeover-failed",
    value: all.reduce((sum, { failed }) => sum + failed, 0),
    unit: "calls",
    note: `in ${all.length} takeovers${why === undefined ? "" : `; the first: ${why}`}`,
  });
}

async function takeOver(times: number, seat: Seat): Promise<Calls[]> {
  const path = scratchPath("pong");
  const command = serviceProgram("pong", "--rundir", dirname(path));
  let service = new Child("service pong", command, seat.server);
  await service.ready(greeting);
  const callers = new Child("callers", [...bunProgram("caller.ts"), "drive", path], seat.driver);
  await callers.ready();
  const rounds: Calls[] = [];
  for (let index = -1; index < times; index += 1) {
    callers.tell(`${bytes} ${roundMilliseconds}`);
    await Bun.sleep(beforeMilliseconds);
    const next = new Child("service pong --takeover", [...command, "--takeover"], seat.server);
    await next.ready(greeting, "pong: taken over from ");
    await service.ended();
    service = next;
    const calls = JSON.parse(await callers.line()) as Calls;
    // In the first round the clients are being compiled, which is no pause of the service's.
    if (index >= 0) rounds.push(calls);
  }
  await callers.stop();
  await service.terminate();
  return rounds;
}
