/** What a clone gives up, it has not; and what cannot be given up is said. */

import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { IpcError } from "../../src/index.ts";
import { Zygote } from "../../src/zygote/index.ts";
import { leaveNoTrace } from "../kit/no-trace.ts";
import { until } from "../kit/until.ts";
import { ask, canFork, failure, modes, services, start } from "./stage.ts";

leaveNoTrace();

const isBound = /^NoNewPrivs:\t1$/m;

function statusOf(folder: string): string {
  return readFileSync(join(folder, "status"), "utf8");
}

const isRoot = process.getuid!() === 0;

describe.each(modes)("%s", (mode) => {
  test("files: it cannot open more", async () => {
    await using zygote = await start(mode);
    const clone = await zygote.clone({ limits: { files: 64 } });
    expect(await ask<number>(clone, "open", 16)).toBe(16);
    const error = await ask(clone, "open", 64).catch(String);
    expect(error).toContain("EMFILE");
    const other = await zygote.clone();
    expect(await ask<number>(other, "open", 128)).toBe(128);
  });

  test("files: with none left it is served all the same", async () => {
    const module = join(services, "greedy.ts");
    await using zygote = await Zygote.start({ module, mode });
    const clone = await zygote.clone({ limits: { files: 64 } });
    for (let round = 0; round < 3; round += 1) {
      // It goes to sleep, for which there is nothing left that could wake it.
      await Bun.sleep(20);
      expect((await clone.connection.request("still there?")).text()).toBe("still there?");
    }
  });

  test.skipIf(!canFork)("cpu: it is killed when it has used so much", async () => {
    await using zygote = await start(mode);
    const clone = await zygote.clone({ limits: { cpu: 1 } });
    void ask(clone, "spin").catch(() => undefined);
    const { signal } = await clone.exited;
    expect(["SIGXCPU", "SIGKILL"]).toContain(signal!);
    expect(zygote.statistics).toMatchObject({ killed: 1 });
  });

  test.skipIf(mode === "pool")("memory: it ends when it asks for more", async () => {
    await using zygote = await start(mode);
    const clone = await zygote.clone({ limits: { memory: 128 * 2 ** 20 } });
    expect(await ask<number>(clone, "take", 16)).toBe(16);
    const error = await ask(clone, "take", 1000).catch(String);
    expect(error).toBeString();
    const other = await zygote.clone();
    expect(await ask<number>(other, "take", 256)).toBe(256);
  });

  test.skipIf(!canFork)("noNewPrivileges: the kernel knows", async () => {
    await using zygote = await start(mode);
    const clone = await zygote.clone({ limits: { noNewPrivileges: true } });
    expect(await ask<string>(clone, "status")).toMatch(isBound);
    const other = await zygote.clone();
    expect(await ask<string>(other, "status")).toMatch(/^NoNewPrivs:\t0$/m);
  });

  test.skipIf(!canFork)("one that was made ahead has them in all of its threads", async () => {
    await using zygote = await start(mode, { standby: 1 });
    await until("one waits", () => zygote.statistics.standby === 1);
    const clone = await zygote.clone({
      limits: { noNewPrivileges: true, files: 64 },
      arguments: "given",
    });
    expect(await ask<string>(clone, "arguments")).toBe("given");
    // A process of a pool had threads of Bun's before.
    if (mode === "pool") expect(statusOf(`/proc/${clone.pid}`)).toMatch(isBound);
    else {
      for (const path of new Bun.Glob("*/status").scanSync(`/proc/${clone.pid}/task`)) {
        expect(statusOf(`/proc/${clone.pid}/task/${dirname(path)}`)).toMatch(isBound);
      }
    }
    expect(await ask(clone, "open", 64).catch(String)).toContain("EMFILE");
  });

  test.skipIf(!isRoot)("uid and gid: it goes on as another user, in no further group", async () => {
    await using zygote = await start(mode);
    const clone = await zygote.clone({ limits: { uid: 65_534, gid: 65_533 } });
    expect(await ask<unknown>(clone, "ids")).toEqual({
      uid: 65_534,
      gid: 65_533,
      groups: [],
    });
    expect(await clone.close()).toEqual({ code: 0, signal: null });
  });

  test.skipIf(mode === "fork")(
    "network: false is refused where threads would keep it",
    async () => {
      await using zygote = await start(mode);
      const error = await failure(zygote.clone({ limits: { network: false } }));
      expect(error).toMatchObject({ code: "ENOTSUP" });
      expect(zygote.statistics.made).toBe(0);
    },
  );

  test.skipIf(mode === "pool")(
    "network: false leaves nothing but a loopback that is down",
    async () => {
      await using zygote = await start(mode);
      const clone = await failure(zygote.clone({ limits: { network: false } }));
      if (clone instanceof IpcError) {
        // In a container that permits neither way.
        expect(clone.code).toMatch(/^(EPERM|EAGAIN|EINVAL)$/);
        return;
      }
      const made = await zygote.clone({ limits: { network: false } });
      expect(await ask<string[]>(made, "network")).toEqual([]);
    },
  );

  test("a limit that is none is refused before anything is made", async () => {
    await using zygote = await start(mode);
    const nobody = 65_534;
    for (const limits of [
      { files: 3 },
      { cpu: 0 },
      { memory: -1 },
      { uid: 2 ** 32, gid: nobody },
      { gid: 0.5 },
      // It would stay in the groups that this user is in.
      { uid: nobody },
    ])
      expect(await failure(zygote.clone({ limits }))).toMatchObject({ code: "EINVAL" });
    expect(zygote.statistics.made).toBe(0);
  });
});
