/** Messages queued to many peers at once keep their order for each, however slowly it reads. */

import { expect, test } from "bun:test";
import { frame } from "../kit/frames.ts";
import { leaveNoTrace } from "../kit/no-trace.ts";
import { overEach } from "../kit/transports.ts";
import { until } from "../kit/until.ts";
import { numbersOf, upTo } from "./numbered.ts";
import type { Pour, Poured } from "./programs/source.ts";
import { onStage } from "./stage.ts";

leaveNoTrace();

overEach(({ testOpen, transport }) => {
  testOpen("messages queued to one peer among other peers", async () => {
    await onStage({ transport, role: "source" }, async (stage) => {
      const quick = await Promise.all([1, 2, 3, 4].map(() => stage.peer()));
      const slow = await Promise.all([1, 2, 3, 4].map(() => stage.peer({ reads: false })));
      const peers = [...quick, ...slow];
      const kept: Uint8Array[] = [];
      const client = await stage.client({
        message: (_, message) => void kept.push(message.copy().bytes),
      });
      for (const peer of peers) peer.write(frame("subscribe"));
      client.send("subscribe");
      await until("all have subscribed", async () => {
        return (await stage.service.ask<Poured[]>("poured")).length === peers.length + 1;
      });

      const order: Pour = { count: 5000, bytes: 200, heeding: false };
      await stage.service.ask("pour", order);
      for (const peer of quick) await peer.received(1 + order.count);
      await stage.othersAreServed();
      for (const peer of slow.toReversed()) peer.read();
      for (const peer of slow) await peer.received(1 + order.count);
      await until("the client has everything", () => kept.length === 1 + order.count);

      for (const payloads of [kept, ...peers.map((peer) => peer.payloads)]) {
        expect(numbersOf(payloads.slice(1))).toEqual(upTo(order.count));
      }
    });
  });

  test("messages of many clients, each to be answered in its order", async () => {
    await onStage({ transport }, async (stage) => {
      const clients = await Promise.all([1, 2, 3, 4, 5].map(() => stage.client()));
      const count = 2000;
      const asked = clients.map(() => [] as Promise<string>[]);
      for (let number = 0; number < count; number++) {
        for (const [each, client] of clients.entries()) {
          const answered = client.request(`${each}: ${number}`);
          asked[each]!.push(answered.then((message) => message.text()));
        }
      }
      for (const [each, answers] of asked.entries()) {
        expect(await Promise.all(answers)).toEqual(
          upTo(count).map((number) => `${each}: ${number}`),
        );
      }
    });
  });
});
