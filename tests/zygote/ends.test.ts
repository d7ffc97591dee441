/** How clones, zygotes and owners end, and what becomes of the others. */

import { describe, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { loop } from "../../src/ipc/loop.ts";
import { zygoteConstants } from "../../src/native/zygote-layout.ts";
import { ZygoteProcess } from "../../src/zygote/zygote-process.ts";
import { Child } from "../kit/child.ts";
import { leaveNoTrace } from "../kit/no-trace.ts";
import { Scratch } from "../kit/scratch.ts";
import { until } from "../kit/until.ts";
import type { State } from "./stage.ts";
import { ask, canFork, failure, modes, start, worker } from "./stage.ts";

leaveNoTrace();

/** Whether the process is there, and more than the rest of one that nobody has waited for. */
function lives(pid: number): boolean {
  try {
    return !/^State:\tZ/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return existsSync(`/proc/${pid}/status`);
  }
}

function childrenOf(pid: number): number[] {
  const text = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8");
  return text
    .split(" ")
    .filter((word) => word !== "")
    .map(Number);
}

describe.each(modes)("%s", (mode) => {
  test("a clone that exits says with what, and its connection ends", async () => {
    await using zygote = await start(mode);
    const clone = await zygote.clone();
    void ask(clone, "exit", 7).catch(() => undefined);
    expect(await clone.exited).toEqual({ code: 7, signal: null });
    expect((await clone.connection.ended).reason).toBe("peer_closed");
    expect(zygote.statistics).toMatchObject({ made: 1, living: 0, exited: 1, killed: 0 });
  });

  test("one that is killed says by what; the others go on", async () => {
    await using zygote = await start(mode);
    const [one, other] = await Promise.all([zygote.clone(), zygote.clone()]);
    expect(one.kill("SIGKILL")).toBe(true);
    expect(await one.exited).toEqual({ code: null, signal: "SIGKILL" });
    expect(one.kill()).toBe(false);
    expect(await ask<number>(other, "change")).toBe(1);
  });

  test("one that does not end when its connection does is killed after a while", async () => {
    await using zygote = await start(mode, { grace: 50 });
    const clone = await zygote.clone();
    void ask(clone, "spin").catch(() => undefined);
    // It has begun to.
    await Bun.sleep(20);
    expect(await clone.close()).toEqual({ code: null, signal: "SIGKILL" });
  });

  test("what it throws ends it, and nobody else", async () => {
    await using zygote = await start(mode);
    const clone = await zygote.clone();
    await ask(clone, "throw");
    expect((await clone.exited).code).toBe(1);
    expect(await ask<number>(await zygote.clone(), "change")).toBe(1);
  });

  test("and one that is killed in the moment it is asked for is as well", async () => {
    await using zygote = await start(mode, { standby: 2 });
    const first = await zygote.clone();
    const { ppid } = await ask<State>(first, "state");
    const parent = mode === "fork" ? ppid : process.pid;
    const taken = new Set([first.pid]);
    for (let round = 0; round < 10; round += 1) {
      await until("two wait", () => zygote.statistics.standby === 2);
      for (const pid of childrenOf(parent)) if (!taken.has(pid)) process.kill(pid, "SIGKILL");
      const clone = await zygote.clone();
      taken.add(clone.pid);
      expect(await ask<number>(clone, "change")).toBe(1);
      await clone.close();
    }
  });

  test("closing the zygote ends all of its clones", async () => {
    const zygote = await start(mode);
    const clones = await Promise.all([zygote.clone(), zygote.clone()]);
    await zygote.close();
    for (const clone of clones) expect(await clone.exited).toEqual({ code: 0, signal: null });
    expect(await failure(zygote.clone())).toMatchObject({ code: "ECLOSED" });
    await zygote.close();
  });

  test("closing the zygote ends those as well that are asked for in that moment", async () => {
    const zygote = await start(mode);
    const asked = [zygote.clone(), zygote.clone()].map((clone) => clone.catch(() => undefined));
    await zygote.close();
    for (const clone of await Promise.all(asked))
      if (clone !== undefined) expect(lives(clone.pid)).toBe(false);
  });

  test("those that wait to be told what they are for are replaced when they are lost", async () => {
    await using zygote = await start(mode, { standby: 2 });
    const standby = () => zygote.statistics.standby;
    await until("two wait", () => standby() === 2);
    const clone = await zygote.clone({ limits: { files: 64 } });
    expect(await ask<number>(clone, "open", 16)).toBe(16);
    const error = await ask(clone, "open", 64).catch(String);
    expect(error).toContain("EMFILE");
    await until("two wait again", () => standby() === 2);
    const { ppid } = await ask<State>(clone, "state");
    const waiting = childrenOf(mode === "fork" ? ppid : process.pid).find(
      (pid) => pid !== clone.pid,
    )!;
    process.kill(waiting, "SIGKILL");
    await until("it has ended", () => !lives(waiting));
    await until("two wait once more", () => standby() === 2);
    expect(await ask<number>(await zygote.clone(), "change")).toBe(1);
  });

  test.skipIf(!canFork)("when the owner is killed, nothing of it is left", async () => {
    const url = new URL("programs/owner.ts", import.meta.url);
    await using owner = await Child.start(url, { mode, orphans: "end" });
    const { pids } = await owner.ask<{ pids: number[] }>("clone", 3);
    await owner.ask("spin");
    await owner.kill();
    await until("all have ended", () => !pids.some(lives));
  });
});

describe.skipIf(!canFork)("a zygote that is killed", () => {
  test("takes its clones with it, and is started again", async () => {
    await using zygote = await start("fork", { restart: { first: 1 } });
    const clone = await zygote.clone();
    const { ppid } = await ask<State>(clone, "state");
    process.kill(ppid, "SIGKILL");
    expect(await clone.exited).toEqual({ code: null, signal: "SIGKILL" });
    const next = await zygote.clone();
    expect(await ask<number>(next, "change")).toBe(1);
    expect((await ask<State>(next, "state")).ppid).not.toBe(ppid);
    expect(zygote.statistics.restarts).toBe(1);
  });

  test("leaves its clones alone where that was asked for", async () => {
    await using zygote = await start("fork", { orphans: "keep", restart: { first: 1 } });
    const clone = await zygote.clone();
    const { ppid } = await ask<State>(clone, "state");
    process.kill(ppid, "SIGKILL");
    await until("it is started again", () => zygote.statistics.restarts === 1);
    expect(await ask<number>(clone, "change")).toBe(1);
    expect((await ask<State>(await zygote.clone(), "state")).ppid).not.toBe(ppid);
    await clone.close();
    expect(lives(clone.pid)).toBe(false);
  });

  test("under load: each request gets a clone, or says why not, and the next ones go on", async () => {
    await using zygote = await start("fork", { restart: { first: 1 } });
    const first = await zygote.clone();
    const { ppid } = await ask<State>(first, "state");
    const asked = Array.from({ length: 20 }, async (_, index) => {
      if (index === 5) process.kill(ppid, "SIGKILL");
      const clone = await zygote.clone();
      await clone.close();
      return clone.pid;
    });
    const results = await Promise.allSettled(asked);
    for (const result of results) {
      if (result.status === "rejected") expect(result.reason).toMatchObject({ code: "ECONNRESET" });
    }
    expect(await ask<number>(await zygote.clone(), "change")).toBe(1);
    expect(zygote.statistics.restarts).toBe(1);
  });

  test("and its owner as well: even a clone that was left alone, and is busy, ends", async () => {
    const url = new URL("programs/owner.ts", import.meta.url);
    await using owner = await Child.start(url, { mode: "fork", orphans: "keep" });
    const { pids, parents } = await owner.ask<{ pids: number[]; parents: number[] }>("clone", 2);
    await owner.ask("spin");
    process.kill(parents[0]!, "SIGKILL");
    await owner.kill();
    await until("all have ended", () => !pids.some(lives));
  });

  test("or only stopped: to close it ends all the same, clones included", async () => {
    const zygote = await start("fork", { orphans: "keep" });
    const clone = await zygote.clone();
    const { ppid } = await ask<State>(clone, "state");
    process.kill(ppid, "SIGSTOP");
    await zygote.close();
    expect([clone.pid, ppid].filter(lives)).toEqual([]);
    expect(await clone.exited).toEqual({ code: null, signal: null });
  });

  test("again and again is given up", async () => {
    const restart = { first: 1, most: 60_000, attempts: 2 };
    await using zygote = await start("fork", { restart });
    for (let times = 0; times < 3; times += 1) {
      const clone = await zygote.clone();
      process.kill((await ask<State>(clone, "state")).ppid, "SIGKILL");
      await clone.exited;
    }
    const error = await failure(zygote.clone());
    expect(error).toMatchObject({ code: "ECONNRESET" });
    expect(error!.message).toContain("again and again");
    expect(zygote.statistics.restarts).toBe(3);
  });

  test("is not started for ever where it cannot be", async () => {
    using scratch = new Scratch();
    await using zygote = await start("fork", {
      environment: { EARSHOT_TEST_ONCE: scratch.join("once") },
      module: new URL("services/once.ts", import.meta.url),
      restart: { first: 1, most: 2, attempts: 2 },
    });
    const clone = await zygote.clone();
    const answer = await clone.connection.request("");
    const { parent } = JSON.parse(answer.text()) as { parent: number };
    process.kill(parent, "SIGKILL");
    await clone.exited;
    const error = await failure(zygote.clone());
    expect(error).toMatchObject({ code: "EMODULE" });
    expect(error!.message).toContain("only once");
  });
});

test.skipIf(!canFork)(
  "a clone to which the system refuses what it needs to begin says so by its code",
  async () => {
    // Nobody can open a socket by its name in /proc, as a clone does with what it hangs on.
    const lifeline = loop().context.pair();
    const zygote = await ZygoteProcess.start(
      {
        mode: "fork",
        module: worker,
        graceMs: 100,
        startTimeoutMs: 30_000,
        orphans: "end",
        environment: undefined,
        signal: new AbortController().signal,
      },
      lifeline,
    );
    try {
      const { end, process: made } = zygote.blank(false);
      const clone = await made;
      expect(await clone.exited).toEqual({ code: zygoteConstants.unsettled_exit, signal: null });
      end.close();
    } finally {
      await zygote.close();
      for (const end of lifeline) end.close();
    }
  },
);
