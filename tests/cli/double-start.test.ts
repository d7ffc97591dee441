/** Two starts of one service at the same moment, a hundred times: exactly one serves, and nothing is left behind. */

import { expect, test } from "bun:test";
import { connect } from "../../src/index.ts";
import { Command, earshot, leaveNoCommand } from "../kit/command.ts";
import { leaveNoTrace } from "../kit/no-trace.ts";
import { Scratch } from "../kit/scratch.ts";
import { until } from "../kit/until.ts";

leaveNoTrace();
leaveNoCommand();

const rounds = 100;
const atOnce = 4;

/** In every second round a dead owner's socket and lock are in the way. */
async function round(rundir: string, isStale: boolean): Promise<void> {
  await using one = new Command(earshot("service", "pong"), { rundir });
  await using other = new Command(earshot("service", "pong"), { rundir });
  const both = [one, other] as const;
  const serves = ({ stdout }: Command) => stdout.includes("listening");
  await until("one serves", () => both.some(serves));
  const [winner, loser] = serves(one) ? both : [other, one];

  const { code, stdout, stderr } = await loser.whenEnded();
  expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
  expect(stderr).toContain(`"pong" is already served in ${rundir} by process ${winner.pid}; `);

  const client = await connect("pong", { rundir });
  expect(client.peer.pid).toBe(winner.pid);
  expect((await client.request("hello")).text()).toBe("hello");
  await client.close();
  const ended = await winner.end(isStale ? "SIGKILL" : "SIGTERM");
  if (!isStale) expect(ended).toMatchObject({ code: 0, stderr: "" });
}

test("of two starts at the same moment exactly one serves, a hundred times", async () => {
  const lanes = Array.from({ length: atOnce }, async () => {
    using scratch = new Scratch();
    for (let count = 0; count < rounds / atOnce; count++) {
      const isStale = count % 2 === 0;
      await round(scratch.path, isStale);
      expect(scratch.entries()).toEqual(
        isStale ? ["pong", "pong.lock", "pong.takeover", "pong.takeover.lock"] : [],
      );
    }
  });
  await Promise.all(lanes);
}, 300_000); // A machine that is busy with something else takes its time.
