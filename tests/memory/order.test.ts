/**
 * Messages of all sizes, written in every way there is, with naps in which both sides fall asleep: each comes once, whole,
 * and in order. With views that are poisoned, which are copies, and with those that lie in the ring.
 */

import { describe, expect, test } from "bun:test";
import { Child } from "../kit/child.ts";
import { leaveNoTrace } from "../kit/no-trace.ts";
import { MemoryStage } from "./stage.ts";

leaveNoTrace();

const ring = 65_536;
const program = new URL("./programs/orderly.ts", import.meta.url);

describe.each(["1", "0"])("with EARSHOT_POISON=%s", (poison) => {
  const env = { EARSHOT_POISON: poison };

  test.each([1, 2, 3])("all messages come once and in order, seed %d", async (seed) => {
    await using stage = await MemoryStage.open({ role: "echo", options: { ring } }, { env });
    await using client = await Child.start(program, { rundir: stage.rundir, seed }, { env });
    expect(await client.ask("talk")).toEqual({ heard: 4000, trouble: null });
    const { errors, messages } = await stage.progress();
    expect({ errors, messages }).toEqual({ errors: [], messages: 4000 });
    expect(await client.finish()).toMatchObject({ code: 0, stderr: "" });
  });
});
