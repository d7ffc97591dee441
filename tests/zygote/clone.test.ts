/** What a clone has of its zygote, and what it has not; however it is made. */

import { describe, expect, test } from "bun:test";
import { closeSync, openSync, writeFileSync } from "node:fs";
import { leaveNoTrace } from "../kit/no-trace.ts";
import { Scratch } from "../kit/scratch.ts";
import { ask, modes, start } from "./stage.ts";

leaveNoTrace();

type State = { words: number; warmedBy: number; warmedAt: number; pid: number; ppid: number };

describe.each(modes)("%s", (mode) => {
  test("a clone has what warm() left, and its changes are its own", async () => {
    await using zygote = await start(mode, { standby: 2 });
    expect(zygote.mode).toBe(mode);
    const [one, other] = await Promise.all([zygote.clone(), zygote.clone()]);
    const states = [await ask<State>(one, "state"), await ask<State>(other, "state")];
    expect(states.map(({ words }) => words)).toEqual([50_000, 50_000]);
    expect(states.map(({ pid }) => pid)).toEqual([one.pid, other.pid]);
    expect(one.pid).not.toBe(other.pid);
    if (mode === "fork") expect(states[0]!.warmedBy).toBe(states[1]!.warmedBy);
    if (mode === "fork") expect(states[0]!.warmedAt).toBe(states[1]!.warmedAt);
    expect(await ask<number>(one, "change")).toBe(1);
    expect(await ask<number>(one, "change")).toBe(2);
    expect(await ask<number>(other, "change")).toBe(1);
  });

  test("it is given arguments of any kind, and descriptors of its own", async () => {
    using scratch = new Scratch();
    writeFileSync(scratch.join("file"), "a secret");
    await using zygote = await start(mode);
    const descriptor = openSync(scratch.join("file"), "r");
    const given = { text: "é", list: [1, 2.5], none: null };
    const clone = await zygote.clone({ arguments: given, descriptors: [descriptor] });
    closeSync(descriptor);
    expect(await ask<unknown>(clone, "arguments")).toEqual(given);
    expect(await ask<string[]>(clone, "read")).toEqual(["a secret"]);
  });

  test("it ends when its connection is closed, and says how", async () => {
    await using zygote = await start(mode);
    const clone = await zygote.clone();
    expect(await clone.close()).toEqual({ code: 0, signal: null });
    expect(clone.kill()).toBe(false);
  });
});
