/** A websocketd of one's own, and what it says of itself. */

import type { Command, RunOptions } from "./command.ts";
import { startService } from "./command.ts";
import { until } from "./until.ts";

export type Daemon = AsyncDisposable & {
  readonly command: Command;
  readonly port: number;
  /** What it has counted so far. */
  counters(): Promise<Record<string, number>>;
  /** Resolves when what it has counted is as it should be. */
  counts(expected: Record<string, number>): Promise<void>;
};

export async function startWebsocketd(
  rundir: string,
  words: readonly string[],
  options: RunOptions = {},
): Promise<Daemon> {
  const command = await startService(["websocketd", "--listen", "127.0.0.1:0", ...words], {
    rundir,
    ...options,
  });
  const port = Number(/:(\d+)\//.exec(command.stdout)![1]);
  let told = 0;
  const all = () => [...command.stderr.matchAll(/^\S+: counters (\{.*\})$/gm)];
  const counters = async () => {
    told = all().length;
    command.signal("SIGUSR2");
    await until("the daemon tells its counters", () => all().length > told);
    return JSON.parse(all().at(-1)![1]!) as Record<string, number>;
  };
  const counts = async (expected: Record<string, number>) => {
    let last: Record<string, number> = {};
    await until(
      () => `the daemon counts ${JSON.stringify(expected)}, and not ${JSON.stringify(last)}`,
      async () => {
        last = await counters();
        return Object.entries(expected).every(([name, count]) => last[name] === count);
      },
    );
  };
  return {
    command,
    port,
    counters,
    counts,
    [Symbol.asyncDispose]: () => command[Symbol.asyncDispose](),
  };
}
