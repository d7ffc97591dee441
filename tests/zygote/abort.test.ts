/** A start that nobody waits for any more: it ends soon, and nothing of it is left. */

import { describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { Zygote } from "../../src/zygote/index.ts";
import { leaveNoTrace } from "../kit/no-trace.ts";
import { Scratch } from "../kit/scratch.ts";
import { until } from "../kit/until.ts";
import { childrenOf } from "../services/passwords/stage.ts";
import type { State } from "./stage.ts";
import { ask, canFork, modes, start, worker } from "./stage.ts";

leaveNoTrace();

const reason = new Error("never mind");

/** What a start ends with that is given up when its first process is there, and after so many milliseconds. */
async function abandoned(options: Parameters<typeof Zygote.start>[0], afterMs = 0) {
  const controller = new AbortController();
  const started = Zygote.start({ ...options, signal: controller.signal }).then(
    (zygote) => zygote,
    (error: unknown) => error,
  );
  await until("it has a process", () => childrenOf(process.pid).length > 0);
  await Bun.sleep(afterMs);
  controller.abort(reason);
  return await started;
}

describe.each([...modes])("%s: a start that is given up", (mode) => {
  test("while the module warms up, for however long that would be", async () => {
    using scratch = new Scratch();
    const module = scratch.join("service.ts");
    writeFileSync(
      module,
      "export async function warm() { await new Promise(() => 0); } export function serve() {}",
    );
    const ended = await abandoned({ module, mode });
    expect(ended).toBe(reason);
    expect(childrenOf(process.pid)).toEqual([]);
  });

  test("at any time", async () => {
    for (const afterMs of [0, 50, 100, 150, 200, 300, 400]) {
      const ended = await abandoned({ module: worker, mode }, afterMs);
      if (ended instanceof Zygote) await ended.close();
      else expect(ended).toBe(reason);
      expect(childrenOf(process.pid)).toEqual([]);
    }
  });

  test("but once it has started, the signal means nothing to it", async () => {
    const controller = new AbortController();
    const { signal } = controller;
    await using zygote = await start(mode, { signal, restart: { first: 1 } });
    controller.abort(reason);
    const { ppid } = await ask<State>(await zygote.clone(), "state");
    if (mode === "fork") {
      process.kill(ppid, "SIGKILL");
      await until("it is started again", () => zygote.statistics.restarts === 1);
    }
    // More than wait already.
    for (let times = 0; times < 3; times += 1) {
      expect(await ask<number>(await zygote.clone(), "change")).toBe(1);
    }
  });
});

test.skipIf(!canFork)(
  "a first fork that hangs is not waited for, and is no reason for a pool",
  async () => {
    const controller = new AbortController();
    const { signal } = controller;
    const started = Zygote.start({ module: worker, signal, grace: 100 }).catch((error) => error);
    const grandchildren = () => childrenOf(process.pid).flatMap(childrenOf);
    await until("there is a first fork", () => grandchildren().length > 0);
    for (const pid of grandchildren()) process.kill(pid, "SIGSTOP");
    controller.abort(reason);
    const ended: unknown = await started;
    // It may have been done already.
    if (ended instanceof Zygote) await ended.close();
    else expect(ended).toBe(reason);
    expect(childrenOf(process.pid)).toEqual([]);
  },
);
