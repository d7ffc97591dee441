/** A worker that is ended from outside, or by itself, closes nothing. What it had goes all the same, and nobody else notices. */

import { expect, test } from "bun:test";
import { Child } from "../kit/child.ts";
import { leaveNoTrace } from "../kit/no-trace.ts";
import { Scratch } from "../kit/scratch.ts";

leaveNoTrace();

/** What becomes of a name that a worker serves, when the worker ends in this way while clients talk to it. */
async function outlive(how: string): Promise<unknown> {
  using scratch = new Scratch();
  const program = new URL("programs/worker-owner.ts", import.meta.url);
  await using child = await Child.start(program, { rundir: scratch.path });
  const result = await child.ask("outlive", how);
  expect(await child.finish()).toEqual({ code: 0, signal: null, stderr: "" });
  expect(scratch.entries()).toEqual([]);
  return result;
}

test.each(["terminate", "exit", "events"])(
  "a worker that serves ends by %s: its clients are told, and its name can be served again",
  async (how) => {
    expect(await outlive(how)).toEqual({ told: "peer_closed", again: "hello" });
  },
);
