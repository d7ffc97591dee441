/** Rings from native threads into JavaScript, under everything that could make one of them go astray. */

import { expect, test } from "bun:test";
import { Child } from "../kit/child.ts";
import { leaveNoTrace } from "../kit/no-trace.ts";
import { Scratch } from "../kit/scratch.ts";

leaveNoTrace();

async function storm<Answer>(command: string, argument: unknown): Promise<Answer> {
  using scratch = new Scratch();
  const program = new URL("programs/storm.ts", import.meta.url);
  await using child = await Child.start(program, { rundir: scratch.path });
  const result = await child.ask<Answer>(command, argument);
  expect(await child.finish()).toEqual({ code: 0, signal: null, stderr: "" });
  return result;
}

test("two contexts that sleep between every two messages wake each other every time", async () => {
  expect(await storm<number>("bounce", 4000)).toBe(4000);
});

test("a context can be closed with a ring on its way", async () => {
  expect(await storm<number>("close", 400)).toBeGreaterThan(0);
});

test("a storm of rings comes together in fewer calls, and hurts nobody", async () => {
  expect(await storm<number>("ring", 400_000)).toBeLessThan(400_000);
});
