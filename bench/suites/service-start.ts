/** How long a service takes from its start until it listens. */

import { dirname, join } from "node:path";
import { Child } from "../child.ts";
import { scratchPath } from "../scratch.ts";

const command = join(import.meta.dir, "..", "..", "src", "cli", "service.ts");

/** Milliseconds, one for each start. */
export async function timeStarts(count: number): Promise<number[]> {
  const times: number[] = [];
  for (let index = 0; index < count; index += 1) times.push(await timeStart());
  return times;
}

async function timeStart(): Promise<number> {
  const rundir = dirname(scratchPath("pong"));
  const begin = performance.now();
  const run = [process.execPath, command, "pong", "--rundir", rundir];
  const service = new Child("service pong", run, null);
  const line = await service.line();
  const time = performance.now() - begin;
  if (!line.startsWith("pong: listening on ")) throw new Error(`service pong said "${line}"`);
  await service.terminate();
  return time;
}
