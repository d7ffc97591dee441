/**
 * A process that is killed in the middle of anything takes nobody with it: a peer's connection ends with a reason, and
 * a service's name can be served again at once. (`tests/cli/service.test.ts` does the latter with the command.)
 */

import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import type { End } from "../../src/index.ts";
import { connect, inspect } from "../../src/index.ts";
import { canCount } from "../kit/census.ts";
import { Child } from "../kit/child.ts";
import { header } from "../kit/frames.ts";
import { leaveNoTrace } from "../kit/no-trace.ts";
import { pattern } from "../kit/random.ts";
import { RawPeer } from "../kit/raw-peer.ts";
import { Scratch } from "../kit/scratch.ts";
import { overEachOpen } from "../kit/transports.ts";
import { until, within } from "../kit/until.ts";
import type { SubjectSettings } from "./programs/subject.ts";
import type { VictimSettings } from "./programs/victim.ts";
import { onStage } from "./stage.ts";

leaveNoTrace();

overEachOpen(({ transport }) => {
  const pong = new URL("./programs/pong.ts", import.meta.url);
  const victim = new URL("./programs/victim.ts", import.meta.url);
  const sigpipeBit = 1 << 12;

  describe("a peer killed in the middle of", () => {
    const rounds = 5;

    async function killPeers(doing: VictimSettings["doing"], reasons: string[]): Promise<void> {
      await onStage({ transport }, async (stage) => {
        for (let round = 0; round < rounds; round++) {
          const settings: VictimSettings = { rundir: stage.rundir, doing };
          await using peer = await Child.start(victim, settings);
          const { messagesReceived } = await stage.statistics();
          await until("it is in the middle", async () => {
            return !doing.startsWith("a stream") || (await peer.ask<number>("sent")) > 1000;
          });
          expect(messagesReceived).toBeGreaterThan(0);
          await peer.kill();
          const [ended] = await stage.ended(1);
          expect(reasons).toContain(ended!.reason);
          stage.goesWrong(ended!.reason);
        }
      });
    }

    test("a message", () => killPeers("a message", ["truncated"]));
    test("nothing at all", () => killPeers("nothing", ["peer_closed"]));

    // Answers on their way to it make it a reset; so does a message that it had written half.
    const anyEnd = ["peer_reset", "truncated", "peer_closed"];
    test("a stream", () => killPeers("a stream", anyEnd));
    test("a stream whose answers it does not read", () =>
      killPeers("a stream it does not read", anyEnd));
  });

  describe("a service killed", () => {
    const settings = (rundir: string): SubjectSettings => ({ rundir, transport, limits: {} });

    test("in the middle of messages: all its peers are told, and its name is free at once", async () => {
      using scratch = new Scratch();
      const rundir = scratch.path;
      for (let round = 0; round < 5; round++) {
        await using service = await Child.start(pong, settings(rundir));
        const ends: End[] = [];
        const close = (_: unknown, end: End) => void ends.push(end);
        const asking = await connect("pong", { rundir, close });
        const sending = await connect("pong", { rundir, close, message: () => undefined });
        const silent = await connect("pong", { rundir, close });
        using half = await RawPeer.connect(scratch.join("pong"));
        half.write(header(1000));
        await half.written();
        await asking.request("here");

        const requests = Array.from({ length: 100 }, () => asking.request(pattern(10_000)));
        const outcomes = Promise.allSettled(requests);
        while (sending.send(pattern(10_000)));
        await service.kill();
        await half.gone();
        await within("all have ended", Promise.all([asking.ended, sending.ended, silent.ended]));

        expect(ends).toHaveLength(3);
        for (const { reason } of ends)
          expect(["peer_closed", "peer_reset", "truncated"]).toContain(reason);
        const unanswered = (await outcomes).filter(({ status }) => status === "rejected");
        const { lost } = await asking.ended;
        expect(lost.requests).toBe(unanswered.length);
        for (const outcome of unanswered) {
          expect(outcome).toMatchObject({ reason: { code: "ECONNRESET" } });
        }
        expect(inspect("pong", { rundir }).state).toBe("stale");
        await expect(connect("pong", { rundir })).rejects.toMatchObject({ code: "ECONNREFUSED" });
      }
    });

    test("while a client streams to it: no signal ends the client, who finds the next one", async () => {
      using scratch = new Scratch();
      const rundir = scratch.path;
      await using client = await Child.start(
        new URL("./programs/persistent.ts", import.meta.url),
        settings(rundir),
      );
      if (canCount) expect(ignoredSignals(client.pid) & sigpipeBit).toBe(0);
      for (let round = 0; round < 5; round++) {
        await using service = await Child.start(pong, settings(rundir));
        const before = await client.ask<number>("answers");
        await until(
          "it is answered",
          async () => (await client.ask<number>("answers")) > before + 10,
        );
        await service.kill();
      }
      expect(await client.finish()).toMatchObject({ code: 0, signal: null, stderr: "" });
    });
  });

  function ignoredSignals(pid: number): number {
    const [, bits] = /^SigIgn:\s*([0-9a-f]+)$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))!;
    return Number.parseInt(bits!.slice(-8), 16);
  }
});
