/**
 * Two processes that call `serve` in the same moment, a hundred times: exactly one serves.
 * (`tests/cli/double-start.test.ts` starts the command twice, which is as many times but not as close together.)
 */

import { expect, test } from "bun:test";
import { connect } from "../../src/index.ts";
import { Child } from "../kit/child.ts";
import { leaveNoTrace } from "../kit/no-trace.ts";
import { Scratch } from "../kit/scratch.ts";
import type { Outcome } from "./programs/racer.ts";

leaveNoTrace();

const rounds = 100;
/** Until a racer has read that it is to start: they need not all be there in time, but most should be. */
const aheadMs = 3;
const racer = new URL("./programs/racer.ts", import.meta.url);
const now = () => performance.timeOrigin + performance.now();

test("of two that serve one name in the same moment exactly one does, a hundred times", async () => {
  using scratch = new Scratch();
  const rundir = scratch.path;
  await using one = await Child.start(racer, { rundir });
  await using other = await Child.start(racer, { rundir });
  const racers = [one, other] as const;
  for (let round = 0; round < rounds; round++) {
    const at = now() + aheadMs;
    const outcomes = await Promise.all(racers.map((child) => child.ask<Outcome>("serve", at)));
    expect(outcomes.filter((outcome) => outcome === null)).toHaveLength(1);
    const winner = outcomes.indexOf(null);
    expect(outcomes[1 - winner]).toEqual({
      code: "EADDRINUSE",
      message: expect.stringContaining(
        `already served in ${rundir} by process ${racers[winner]!.pid}`,
      ),
    });
    const client = await connect("pong", { rundir });
    expect(client.peer.pid).toBe(racers[winner]!.pid);
    expect((await client.request("hello")).text()).toBe("hello");
    await client.close();
    await racers[winner]!.ask("close");
    expect(scratch.entries()).toEqual([]);
  }
});

test("of many that replace a service that was killed exactly one does", async () => {
  using scratch = new Scratch();
  const rundir = scratch.path;
  for (let round = 0; round < 10; round++) {
    await using stack = new AsyncDisposableStack();
    const racers = await Promise.all([1, 2, 3, 4].map(() => Child.start(racer, { rundir })));
    for (const child of racers) stack.use(child);
    const [doomed, ...heirs] = racers as [Child, ...Child[]];
    // It is an heir itself: the winner of the round before was killed in the end.
    expect(await doomed.ask<Outcome>("serve", 0)).toBeNull();
    await doomed.kill();
    expect(scratch.entries()).toEqual(["pong", "pong.lock"]);
    const at = now() + aheadMs;
    const outcomes = await Promise.all(heirs.map((child) => child.ask<Outcome>("serve", at)));
    expect(outcomes.filter((outcome) => outcome === null)).toHaveLength(1);
    const client = await connect("pong", { rundir });
    expect((await client.request("hello")).text()).toBe("hello");
    await client.close({ now: true });
  }
});
