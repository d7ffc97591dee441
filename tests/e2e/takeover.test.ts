/** Processes that take a service over from each other again and again, while clients call it all the time. */

import { expect, test } from "bun:test";
import { join } from "node:path";
import { Command, leaveNoCommand, startService } from "../kit/command.ts";
import { leaveNoTrace } from "../kit/no-trace.ts";
import { Scratch } from "../kit/scratch.ts";

leaveNoTrace();
leaveNoCommand();

const takeovers = 20;
const caller = join(import.meta.dir, "programs", "caller.ts");

/** Those that keep their connection, and those that open one for each call; with one call at a time, and with several. */
const kinds = [
  ["keep", "1"],
  ["keep", "8"],
  ["reconnect", "1"],
  ["reconnect", "4"],
];

test("no answer is lost, doubled or out of its order, and no connection refused", async () => {
  using scratch = new Scratch();
  const rundir = scratch.path;
  let service = await startService(["pong"], { rundir });
  const callers = kinds.map(
    (words) => new Command([process.execPath, caller, ...words], { rundir, keyboard: true }),
  );
  try {
    for (const each of callers) await each.says("calling");
    for (let round = 0; round < takeovers; round++) {
      const next = await startService(["pong", "--takeover"], { rundir });
      expect(await service.whenEnded()).toMatchObject({ code: 0, stderr: "" });
      service = next;
    }
    for (const each of callers) {
      each.hangUp();
      const { stdout, stderr } = await each.whenEnded();
      expect(stderr).toBe("");
      const { calls, wrong } = JSON.parse(stdout.split("\n")[1]!);
      expect(wrong).toEqual([]);
      expect(calls).toBeGreaterThan(takeovers);
    }
    expect(await service.end()).toMatchObject({ code: 0, stderr: "" });
    expect(scratch.entries()).toEqual([]);
  } finally {
    for (const each of [service, ...callers]) await each[Symbol.asyncDispose]();
  }
}, 120_000);
