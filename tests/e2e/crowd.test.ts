/** Very many clients at once: as many as the descriptor limit allows are served, and the others in their turn. */

import { describe, expect, test } from "bun:test";
import type { PollerKind, Statistics } from "../../src/index.ts";
import { Child } from "../kit/child.ts";
import { leaveNoCommand, run } from "../kit/command.ts";
import { frame } from "../kit/frames.ts";
import { leaveNoTrace } from "../kit/no-trace.ts";
import { overEachOpen } from "../kit/transports.ts";
import { until } from "../kit/until.ts";
import { onStage } from "./stage.ts";

leaveNoTrace();
leaveNoCommand();

const crowd = new URL("./programs/crowd.ts", import.meta.url);
const pollers: readonly PollerKind[] =
  process.platform === "linux" ? ["epoll", "poll"] : ["kqueue", "poll"];

overEachOpen(({ memory, transport }) => {
  describe("thousands of clients at once", () => {
    const wanted = memory ? 2000 : 5000;
    /** What a process needs besides its connections: through memory, the descriptors of the rings that a batch brings. */
    const spare = memory ? 1100 : 100;
    /** Twice what the collector was seen to keep of so many connections and of what is told of each. */
    const memorySlack = 64 * 1024 * 1024;

    async function descriptorLimit(): Promise<number> {
      const { stdout } = await run(["sh", "-c", "ulimit -Hn"]);
      return stdout === "unlimited\n" ? Infinity : Number(stdout);
    }

    test.each(pollers)("are all served, with %s", async (poller) => {
      const count = Math.min(wanted, (await descriptorLimit()) - spare);
      console.log(
        `crowd.test.ts: ${count} clients at once, with ${poller}${memory ? ", through memory" : ""}`,
      );
      const shell = `ulimit -n ${count + spare}`;
      await onStage(
        { transport, shell, env: { EARSHOT_POLLER: poller }, memorySlack },
        async (stage) => {
          const { rundir } = stage;
          const env = { EARSHOT_POLLER: poller };
          await using clients = await Child.start(crowd, { rundir }, { shell, env });
          for (let round = 0; round < 2; round++) {
            expect(await clients.ask<number>("come", count)).toBe(count);
            expect(await clients.ask<number>("ask")).toBe(count);
            await stage.othersAreServed();
            expect(await clients.ask<number>("ask")).toBe(count);
            await clients.ask("leave");
            await stage.cleared();
          }
          expect(await clients.finish()).toMatchObject({ code: 0, stderr: "" });
        },
      );
    });
  });
});

describe("without descriptors", () => {
  const limit = 64;
  const shell = `ulimit -n ${limit}`;
  const count = 150;

  test.each(pollers)(
    "accepting pauses, and goes on when there are some, with %s",
    async (poller) => {
      await onStage({ shell, env: { EARSHOT_POLLER: poller } }, async (stage) => {
        const waiting = new Set(
          await Promise.all(Array.from({ length: count }, () => stage.peer())),
        );
        for (const peer of waiting) peer.write(frame("hello"));
        await stage.counted("descriptor_limit");
        // While nobody leaves, those who are connected are served, and the others are not refused.
        await stage.othersAreServed();
        let left = 0;
        while (waiting.size > 0) {
          let served = [...waiting].filter(({ payloads }) => payloads.length > 0);
          await until("more are served when some have left", () => {
            served = [...waiting].filter(({ payloads }) => payloads.length > 0);
            return served.length > 0;
          });
          for (const peer of served) {
            expect(peer.texts).toEqual(["hello"]);
            waiting.delete(peer);
            peer.close();
            left += 1;
          }
        }
        expect(left).toBe(count);
        const { reasons } = await stage.service.ask<Statistics>("statistics");
        // Once for each time that it paused, and it cannot pause more often than somebody came or left.
        expect(reasons.descriptor_limit).toBeLessThanOrEqual(2 * count);
        stage.goesWrong("descriptor_limit", reasons.descriptor_limit);
      });
    },
  );
});
