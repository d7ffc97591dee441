/** A peer that does not read is closed at the queue limit, or refused, or waited for, as the service would have it. */

import { expect, test } from "bun:test";
import { headerBytes } from "../kit/frames.ts";
import type { Hearer } from "../kit/hearer.ts";
import { leaveNoTrace } from "../kit/no-trace.ts";
import { pattern } from "../kit/random.ts";
import { overEach } from "../kit/transports.ts";
import { until } from "../kit/until.ts";
import { numbersOf, upTo } from "./numbered.ts";
import type { Pour, Poured } from "./programs/source.ts";
import type { Stage } from "./stage.ts";
import { onStage } from "./stage.ts";

leaveNoTrace();

const limits = { messageBytesMax: 65_536, queueBytesHigh: 250_000, queueBytesMax: 1_000_000 };
const bytes = 10_000;

/** A peer that wants messages and will not read. */
async function deafSubscriber(stage: Stage): Promise<Hearer> {
  const peer = await stage.hearer({ reads: false });
  peer.send("subscribe");
  await until(
    "it has subscribed",
    async () => (await stage.service.ask<Poured[]>("poured")).length > 0,
  );
  return peer;
}

async function pour(stage: Stage, order: Pour): Promise<Poured> {
  await stage.service.ask("pour", order);
  return await poured(stage);
}

async function poured(stage: Stage): Promise<Poured> {
  return (await stage.service.ask<Poured[]>("poured"))[0]!;
}

overEach(({ transport }) => {
  test("whose answers come to more than the limit is closed", async () => {
    await onStage({ transport, limits }, async (stage) => {
      const peers = await Promise.all([1, 2, 3].map(() => stage.hearer({ reads: false })));
      for (const peer of peers) {
        for (let count = 0; count < 100; count++) peer.send(pattern(65_536));
      }
      const ended = await stage.ended(peers.length);
      expect(ended.map(({ reason }) => reason)).toEqual(peers.map(() => "queue_limit"));
      stage.goesWrong("queue_limit", peers.length);
    });
  });

  test("to whom more than the limit is sent without heed is closed", async () => {
    await onStage({ transport, limits, role: "source" }, async (stage) => {
      await deafSubscriber(stage);
      const { taken, refused } = await pour(stage, { count: 1000, bytes, heeding: false });
      expect(taken).toBeLessThan(1000);
      expect(refused).toBe(0);
      expect(await stage.ended(1)).toMatchObject([{ reason: "queue_limit" }]);
      stage.goesWrong("queue_limit");
    });
  });

  test("to whom the policy is to refuse stays, and gets what was taken", async () => {
    const refusing = { ...limits, queuePolicy: "refuse" } as const;
    await onStage({ transport, limits: refusing, role: "source" }, async (stage) => {
      const peer = await deafSubscriber(stage);
      const count = 1000;
      const { taken, refused, queuedBytes } = await pour(stage, { count, bytes, heeding: false });
      expect(taken + refused).toBe(count);
      expect(refused).toBeGreaterThan(0);
      expect(queuedBytes).toBeLessThanOrEqual(limits.queueBytesMax);
      await stage.othersAreServed();
      peer.read();
      peer.send("and now?");
      await peer.received(taken + 2);
      expect(peer.texts[0]).toBe("subscribe");
      expect(numbersOf(peer.payloads.slice(1, -1))).toEqual(upTo(taken));
      expect(peer.texts.at(-1)).toBe("and now?");
      await until("the service knows", async () => (await poured(stage)).drains > 0);
    });
  });

  test("is waited for by who heeds what send says, and gets everything", async () => {
    await onStage({ transport, limits, role: "source" }, async (stage) => {
      const peer = await deafSubscriber(stage);
      const count = 2000;
      const { taken, fulls, drains } = await pour(stage, { count, bytes, heeding: true });
      expect(taken).toBeLessThan(count);
      expect({ fulls, drains }).toEqual({ fulls: 1, drains: 0 });
      await stage.othersAreServed();
      expect((await poured(stage)).taken).toBe(taken);
      peer.read();
      await peer.received(1 + count);
      expect(numbersOf(peer.payloads.slice(1))).toEqual(upTo(count));
      let after = await poured(stage);
      await until(
        () => `the last drain has been told: ${JSON.stringify(after)}`,
        async () => {
          after = await poured(stage);
          // The very last message may go over the mark after `send` has returned.
          return after.drains >= after.fulls;
        },
      );
      // The one that goes over it, and one that still lies where it was put when that is noticed.
      const overshoot = 2 * (headerBytes + bytes);
      expect(after.queuedBytes).toBeLessThanOrEqual(limits.queueBytesHigh + overshoot);
      expect(after).toMatchObject({ taken: count, refused: 0 });
    });
  });
});
