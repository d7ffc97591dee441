/** Owns a zygote and clones of it, until it is killed. */

import type { Clone, Mode, Orphans } from "../../../src/zygote/index.ts";
import { answer, settings } from "../../kit/answer.ts";
import type { State } from "../stage.ts";
import { ask, start } from "../stage.ts";

const { mode, orphans } = settings<{ mode: Mode; orphans: Orphans }>();
const zygote = await start(mode, { orphans, grace: 50 });
let clones: Clone[] = [];

await answer({
  clone: async (count: number) => {
    clones = await Promise.all(Array.from({ length: count }, () => zygote.clone()));
    const states = await Promise.all(clones.map((clone) => ask<State>(clone, "state")));
    const parents = states.map(({ ppid }) => ppid).filter((pid) => pid !== process.pid);
    return { pids: [...clones.map(({ pid }) => pid), ...parents], parents };
  },
  /** Has as many as it gets, and says what became of each. */
  exhaust: async (count: number) => {
    const results: string[] = [];
    for (let index = 0; index < count; index += 1) {
      try {
        clones.push(await zygote.clone());
        results.push("fine");
      } catch (error) {
        results.push((error as { code: string }).code);
      }
    }
    return results;
  },
  /** The same, of all at once. */
  crowd: async (count: number) => {
    const asked = Array.from({ length: count }, () => zygote.clone());
    const results = await Promise.allSettled(asked);
    return results.map((result) => {
      if (result.status === "rejected") return (result.reason as { code: string }).code;
      clones.push(result.value);
      return "fine";
    });
  },
  first: async () => await ask<number>(clones[0]!, "change"),
  close: async () => await zygote.close(),
  /** One of them is busy for ever. */
  spin: async () => {
    void ask(clones[0]!, "spin").catch(() => undefined);
    await Bun.sleep(20);
  },
});
