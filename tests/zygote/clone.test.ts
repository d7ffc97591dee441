/** What a clone has of its zygote, and what it has not; however it is made. */

import { describe, expect, test } from "bun:test";
import { closeSync, openSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Zygote } from "../../src/zygote/index.ts";
import { leaveNoTrace } from "../kit/no-trace.ts";
import { Scratch } from "../kit/scratch.ts";
import { until } from "../kit/until.ts";
import type { State } from "./stage.ts";
import { ask, failure, modes, services, start } from "./stage.ts";

leaveNoTrace();

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

  test("what it draws by chance no other draws", async () => {
    await using zygote = await start(mode);
    const clones = await Promise.all(Array.from({ length: 4 }, () => zygote.clone()));
    const drawn = await Promise.all(
      clones.map((clone) => ask<Record<string, unknown>>(clone, "chance")),
    );
    for (const [what] of Object.entries(drawn[0]!)) {
      const all = drawn.flatMap((each) => each[what]);
      expect(new Set(all).size, what).toBe(all.length);
    }
  });

  test("its clock begins when it does, and tells the time", async () => {
    await using zygote = await start(mode);
    const before = Date.now();
    const clone = await zygote.clone();
    const one = await ask<{ origin: number; now: number; date: number }>(clone, "origin");
    // Both are rounded.
    expect(Math.abs(one.origin + one.now - one.date)).toBeLessThan(50);
    if (mode === "fork") expect(one.origin).toBeGreaterThan(before - 50);
  });

  test("it has the environment of its owner, and what was added", async () => {
    const environment = { EARSHOT_TEST: "added" };
    await using zygote = await start(mode, { environment });
    const clone = await zygote.clone();
    expect(await ask<string>(clone, "environment", "EARSHOT_TEST")).toBe("added");
    expect(await ask<string>(clone, "environment", "PATH")).toBe(process.env["PATH"]!);
    const flag = process.env["BUN_JSC_useConcurrentGC"] ?? null;
    expect(await ask<string | null>(clone, "environment", "BUN_JSC_useConcurrentGC")).toBe(flag);
  });

  test("what a handler sends as it opens comes after what the clone is told", async () => {
    await using zygote = await start(mode);
    const said = JSON.stringify({ command: "arguments" });
    for (const limits of [undefined, { files: 64 }]) {
      const answered = Promise.withResolvers<string>();
      const clone = await zygote.clone({
        arguments: "given",
        limits,
        connection: {
          open: (connection) => void connection.send(said),
          message: (_, message) => answered.resolve(message.text()),
        },
      });
      expect(JSON.parse(await answered.promise)).toMatchObject({ value: "given" });
      await clone.close();
    }
  });

  test("it is given as much as its connection may carry, and more is refused", async () => {
    await using zygote = await start(mode);
    const large = "x".repeat(20 * 1024 * 1024);
    const connection = { messageBytesMax: 64 * 1024 * 1024 };
    const clone = await zygote.clone({ arguments: large, connection, limits: { files: 64 } });
    expect(await ask<number>(clone, "length")).toBe(large.length);
    expect(await failure(zygote.clone({ arguments: large }))).toMatchObject({ code: "EMSGSIZE" });
    const tooLarge = new Uint8Array(300 * 1024 * 1024);
    expect(await failure(zygote.clone({ arguments: tooLarge, connection }))).toMatchObject({
      code: "EMSGSIZE",
    });
  });

  test("its serve() has been rehearsed, as its module says, and begins anew", async () => {
    const module = join(services, "rehearsed.ts");
    await using zygote = await Zygote.start({ module, mode, standby: 1 });
    await until("one waits", () => zygote.statistics.standby === 1);
    for (const how of ["ahead", "on request"]) {
      await using clone = await zygote.clone({ arguments: how });
      const { rehearsed, served, given } = JSON.parse(
        (await clone.connection.request("how often?")).text(),
      ) as { rehearsed: number; served: number; given: string };
      expect(rehearsed).toBeGreaterThan(0);
      expect(served).toBe(rehearsed + 1);
      expect(given).toBe(how);
    }
  });

  test.skipIf(mode === "pool")(
    "one that cannot be rehearsed is made on request alone",
    async () => {
      const module = join(services, "shy.ts");
      const restart = { first: 1, most: 10 };
      await using zygote = await Zygote.start({ module, mode, standby: 2, restart });
      for (let round = 0; round < 3; round += 1) {
        await using clone = await zygote.clone();
        expect((await clone.connection.request("hello")).text()).toBe("hello");
        await Bun.sleep(30);
        expect(zygote.statistics.standby).toBe(0);
      }
    },
  );

  test.skipIf(mode === "pool")("it has no descriptors but those meant for it", async () => {
    await using zygote = await start(mode);
    await zygote.clone();
    const descriptor = openSync(import.meta.path, "r");
    const clone = await zygote.clone({ descriptors: [descriptor] });
    closeSync(descriptor);
    const found: Record<string, number> = {};
    for (const line of await ask<string[]>(clone, "descriptors")) {
      const [, number, what] = /^(\d+) ([^[]*(?:\[\w+\])?)/.exec(line)!;
      const kind = what!.replace(/:\[\d+\]$/, "");
      if (Number(number) > 2) found[kind] = (found[kind] ?? 0) + 1;
    }
    const { "anon_inode:[eventpoll]": pollers, ...others } = found;
    // Bun's, and a context's.
    expect(pollers).toBe(2);
    const awake = {
      [import.meta.path]: 1,
      // Bun's, and a context's.
      "anon_inode:[eventfd]": 2,
      // By which it would be killed.
      pipe: 1,
      // The connection, and the two ends of what wakes it up.
      socket: 3,
    };
    // With what wakes it when something is due, if it has slept.
    const slept = { ...awake, "anon_inode:[timerfd]": 1 };
    expect([awake, slept] as unknown[]).toContainEqual(others);
  });

  test("it ends when its connection is closed, and says how", async () => {
    await using zygote = await start(mode);
    const clone = await zygote.clone();
    expect(await clone.close()).toEqual({ code: 0, signal: null });
    expect(clone.kill()).toBe(false);
  });
});
