/** Taking a service over from another process: that each step can be the last, and nothing is lost. */

import { describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import type { Connection, Message } from "../../src/index.ts";
import { connect, list, offerTakeover, serve, takeOver } from "../../src/index.ts";
import { loop } from "../../src/ipc/loop.ts";
import { leaveNoTrace } from "../kit/no-trace.ts";
import { Scratch } from "../kit/scratch.ts";
import { until } from "../kit/until.ts";

leaveNoTrace();

const saying = (word: string) => ({
  message: (connection: Connection, message: Message) =>
    void connection.send(`${word} ${message.text()}`),
});

/** A service that is on offer. */
async function offered(rundir: string, options: { stateless?: boolean; timeout?: number } = {}) {
  const service = await serve("pong", saying("first"), { rundir });
  return { service, offer: await offerTakeover(service, { rundir, ...options }) };
}

/** Bun's own `rejects` waits in a loop of its own, in which a turn of ours that is under way cannot go on. */
async function failureOf(promise: Promise<unknown>): Promise<string> {
  return await promise.then(
    () => "it did not fail",
    (error: Error) => error.message,
  );
}

async function ask(client: Connection, text: string): Promise<string> {
  return (await client.request(text, { timeout: 5000 })).text();
}

describe("taking over", () => {
  test("what nobody offers gives nothing", async () => {
    using scratch = new Scratch();
    const rundir = scratch.path;
    expect(await takeOver("pong", { rundir })).toBeUndefined();
    await using _ = await serve("pong", {}, { rundir });
    expect(await takeOver("pong", { rundir })).toBeUndefined();
  });

  test("moves the name at once, and connections as they come to rest", async () => {
    using scratch = new Scratch();
    const rundir = scratch.path;
    const { service, offer } = await offered(rundir, { stateless: true });
    await using client = await connect("pong", { rundir });
    expect(await ask(client, "one")).toBe("first one");
    const before = await takeOver("pong", { rundir });
    expect(before!.pid).toBe(process.pid);
    const next = await serve("pong", saying("second"), {
      rundir,
      descriptor: before!.descriptors,
    });
    const nextOffer = await offerTakeover(next, { rundir, before });
    expect((await offer.taken).pid).toBe(process.pid);
    await offer.finished;
    expect([service.connections.size, next.connections.size]).toEqual([0, 1]);
    expect(await ask(client, "two")).toBe("second two");
    expect(list({ rundir })).toMatchObject([{ name: "pong", state: "live" }]);
    await nextOffer.close();
    await next.close();
    await offer.close();
    expect(scratch.entries()).toEqual([]);
  });

  test("leaves connections that are not stateless where they are, until they end", async () => {
    using scratch = new Scratch();
    const rundir = scratch.path;
    const { offer } = await offered(rundir);
    const client = await connect("pong", { rundir });
    expect(await ask(client, "one")).toBe("first one");
    const before = await takeOver("pong", { rundir });
    const next = await serve("pong", saying("second"), { rundir, descriptor: before!.descriptors });
    await using _offer = await offerTakeover(next, { rundir, before });
    let finished = false;
    void offer.finished.then(() => {
      finished = true;
    });
    expect(await ask(client, "two")).toBe("first two");
    expect(finished).toBe(false);
    await client.close();
    await offer.finished;
    await next.close();
  });

  test("is for one at a time, and the other is told who has it", async () => {
    using scratch = new Scratch();
    const rundir = scratch.path;
    const { service, offer } = await offered(rundir);
    const one = await takeOver("pong", { rundir });
    expect(await failureOf(takeOver("pong", { rundir }))).toContain(
      `EBUSY: "pong" is not to be had: "process ${process.pid} is just taking it over"`,
    );
    await one!.close();
    await until("the first one's end has come", async () => {
      const again = await takeOver("pong", { rundir }).catch(() => undefined);
      await again?.close();
      return again !== undefined;
    });
    await offer.close();
    await service.close();
    expect(scratch.entries()).toEqual([]);
  });

  test("can stop before it serves, and the one that runs it goes on with its name", async () => {
    using scratch = new Scratch();
    const rundir = scratch.path;
    const { service, offer } = await offered(rundir);
    const before = await takeOver("pong", { rundir });
    const next = await serve("pong", saying("second"), { rundir, descriptor: before!.descriptors });
    // As if it had died here.
    next.leave();
    await before!.close();
    await sleep(20);
    await using client = await connect("pong", { rundir });
    expect(await ask(client, "one")).toBe("first one");
    await client.close();
    await offer.close();
    await service.close();
    expect(scratch.entries()).toEqual([]);
  });

  test("that takes too long is called off", async () => {
    using scratch = new Scratch();
    const rundir = scratch.path;
    const { service, offer } = await offered(rundir, { timeout: 20 });
    const before = await takeOver("pong", { rundir });
    await until("it was called off", () => before!.over);
    const next = await serve("pong", saying("second"), { rundir, descriptor: before!.descriptors });
    expect(await failureOf(offerTakeover(next, { rundir, before }))).toContain(
      "ETIMEDOUT: process",
    );
    await before!.close();
    await using client = await connect("pong", { rundir });
    expect(await ask(client, "one")).toBe("first one");
    await client.close();
    await offer.close();
    await service.close();
  });

  test("goes on alone when the one that ran it has gone", async () => {
    using scratch = new Scratch();
    const rundir = scratch.path;
    const { service, offer } = await offered(rundir);
    const before = await takeOver("pong", { rundir });
    const next = await serve("pong", saying("second"), { rundir, descriptor: before!.descriptors });
    service.leave();
    await offer.close();
    await until("its end has come", () => before!.over);
    const nextOffer = await offerTakeover(next, { rundir, before });
    await using client = await connect("pong", { rundir });
    expect(await ask(client, "one")).toBe("second one");
    await client.close();
    await nextOffer.close();
    await next.close();
    expect(scratch.entries()).toEqual([]);
  });

  test("is offered no more when its service is closed", async () => {
    using scratch = new Scratch();
    const rundir = scratch.path;
    const { service } = await offered(rundir);
    await service.close();
    await until("nobody offers it", () => scratch.entries().length === 0);
    expect(await takeOver("pong", { rundir })).toBeUndefined();
  });

  test("leaves everything to a taker that has not said yet that it serves, when the service is closed", async () => {
    using scratch = new Scratch();
    const rundir = scratch.path;
    const { service } = await offered(rundir);
    const before = await takeOver("pong", { rundir });
    const next = await serve("pong", saying("second"), { rundir, descriptor: before!.descriptors });
    // What another process has written when it goes on with copies.
    writeFileSync(scratch.join("pong.lock"), `${process.ppid}\n`);
    await service.close();
    await until("its end has come", () => before!.over);
    const nextOffer = await offerTakeover(next, { rundir, before });
    await using client = await connect("pong", { rundir });
    expect(await ask(client, "one")).toBe("second one");
    await client.close();
    await nextOffer.close();
    await next.close();
  });

  test("calls a taker off that has not said yet that it serves, when it is offered no more", async () => {
    using scratch = new Scratch();
    const rundir = scratch.path;
    const { service, offer } = await offered(rundir);
    const before = await takeOver("pong", { rundir });
    const next = await serve("pong", saying("second"), { rundir, descriptor: before!.descriptors });
    await offer.close();
    expect(await failureOf(offerTakeover(next, { rundir, before }))).toContain("has called it off");
    await before!.close();
    await using client = await connect("pong", { rundir });
    expect(await ask(client, "one")).toBe("first one");
    await client.close();
    await service.close();
    expect(scratch.entries()).toEqual([]);
  });

  test("shows what the other side says as a short text of one line", async () => {
    using scratch = new Scratch();
    const rundir = scratch.path;
    const why = `\u001b[2J\n${"x".repeat(3000)}`;
    await using _ = await serve(
      "pong.takeover",
      {
        message: (connection) =>
          void connection.send(JSON.stringify({ version: 1, say: "refused", why })),
      },
      { rundir },
    );
    const said = await failureOf(takeOver("pong", { rundir }));
    expect(said).toContain('EBUSY: "pong" is not to be had: "\\u001b[2J\\nxxx');
    expect(said.length).toBeLessThan(300);
  });

  test("goes on with what has come when the other one has died right behind it", async () => {
    using scratch = new Scratch();
    const rundir = scratch.path;
    await using old = await serve("old", {}, { rundir });
    const heard: string[] = [];
    await using _ = await serve(
      "pong.takeover",
      {
        message: (connection, message) => {
          const { say } = JSON.parse(message.text()) as { say: string };
          heard.push(say);
          if (say === "take") {
            const copies = old.copies();
            const yours = { version: 1, say: "yours", service: copies.length, pid: process.pid };
            connection.send(JSON.stringify(yours), { descriptors: copies });
            for (const copy of copies) copy.close();
            return;
          }
          connection.send(JSON.stringify({ version: 1, say: "left" }));
          const [one, other] = loop().context.pair();
          const connections = JSON.stringify({ version: 1, say: "connections" });
          connection.send(connections, { descriptors: [one] });
          one.close();
          other.close();
          void connection.close({ now: true });
        },
      },
      { rundir, descriptors: { max: 4 } },
    );
    const before = await takeOver("pong", { rundir });
    let adopted = 0;
    await before!.confirm((descriptors) => {
      for (const descriptor of descriptors) descriptor.close();
      adopted += descriptors.length;
      return descriptors.length;
    });
    await until("its end has come", () => before!.over);
    expect(heard).toEqual(["take", "serving"]);
    expect(adopted).toBe(1);
    await before!.close();
  });

  test("leaves the name to another process even if the one that ran it is closed instead", async () => {
    using scratch = new Scratch();
    const rundir = scratch.path;
    const service = await serve("pong", {}, { rundir });
    // What another process writes when it goes on with copies.
    writeFileSync(scratch.join("pong.lock"), `${process.ppid}\n`);
    await service.close();
    expect(scratch.entries()).toEqual(["pong", "pong.lock"]);
  });

  test("is nothing that one can talk oneself into", async () => {
    using scratch = new Scratch();
    const rundir = scratch.path;
    const { service, offer } = await offered(rundir);
    for (const text of ["", "garbage", "null", '{"version":2,"say":"take"}']) {
      const stranger = await connect("pong.takeover", { rundir });
      stranger.send(text);
      expect((await stranger.ended).reason).toBe("peer_closed");
    }
    const early = await connect("pong.takeover", { rundir });
    early.send('{"version":1,"say":"serving"}');
    early.send('{"version":1,"say":"kept","count":1}');
    await early.close();
    await using client = await connect("pong", { rundir });
    expect(await ask(client, "one")).toBe("first one");
    await client.close();
    await offer.close();
    await service.close();
  });
});
