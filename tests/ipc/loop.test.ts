/** Inside Bun's event loop: everything else goes on, idling costs nothing, and a process lives as long as it is needed. */

import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import type { Connection, Handlers } from "../../src/index.ts";
import { connect, serve } from "../../src/index.ts";
import { loop } from "../../src/ipc/loop.ts";
import { canCount } from "../kit/census.ts";
import { Child } from "../kit/child.ts";
import { Command } from "../kit/command.ts";
import { leaveNoTrace } from "../kit/no-trace.ts";
import { Scratch } from "../kit/scratch.ts";
import { until } from "../kit/until.ts";

leaveNoTrace();

const echo: Handlers = { message: (connection, message) => void connection.send(message.bytes) };

const words = (name: string, ...rest: string[]) => [
  process.execPath,
  Bun.fileURLToPath(new URL(`programs/${name}.ts`, import.meta.url)),
  ...rest,
];

/** The most of a processor that something idle may take. */
const idleShareMax = 0.05;

describe("beside a connection that is never quiet", () => {
  test("timers, immediates and fetch go on, and it goes on beside them", async () => {
    using scratch = new Scratch();
    const { path: rundir } = scratch;
    let bounces = 0;
    let playing = true;
    const bounce = (connection: Connection) => {
      bounces += 1;
      if (playing) connection.send("ball");
    };
    await using service = await serve("court", { message: bounce }, { rundir });
    await using client = await connect("court", { rundir, message: bounce });
    const web = Bun.serve({
      port: 0,
      fetch: (request) => new Response(new URL(request.url).pathname),
    });
    let ticks = 0;
    const timer = setInterval(() => {
      ticks += 1;
    }, 1);
    client.send("ball");
    for (let turn = 0; turn < 20; turn++) {
      const before = bounces;
      const answer = await fetch(new URL(`/${turn}`, web.url), { keepalive: false });
      expect(await answer.text()).toBe(`/${turn}`);
      await new Promise(setImmediate);
      await Bun.sleep(1);
      await until("the ball has moved on", () => bounces > before);
    }
    await until("the timer has come round", () => ticks >= 20);
    playing = false;
    clearInterval(timer);
    await web.stop(true);
    expect(service.connections.size).toBe(1);
  });

  test("others are served, in their order", async () => {
    using scratch = new Scratch();
    const { path: rundir } = scratch;
    let playing = true;
    const bounce = (connection: Connection) => void (playing && connection.send("ball"));
    await using _ = await serve("court", { message: bounce }, { rundir });
    await using __ = await serve("pong", echo, { rundir });
    await using player = await connect("court", { rundir, message: bounce });
    await using client = await connect("pong", { rundir });
    player.send("ball");
    for (let turn = 0; turn < 200; turn++) {
      expect((await client.request(`${turn}`)).text()).toBe(`${turn}`);
    }
    playing = false;
  });
});

/** Of the processor, in a second. Who has just begun has things to put in order; who is never idle shows in each second. */
async function leastShare(share: () => Promise<number>): Promise<number> {
  let least = 1;
  for (let second = 0; second < 5 && least >= idleShareMax; second++) {
    least = Math.min(least, await share());
  }
  return least;
}

describe("an idle process", () => {
  test("with an open service and its clients takes next to no processor time", async () => {
    using scratch = new Scratch();
    const program = new URL("programs/idler.ts", import.meta.url);
    await using child = await Child.start(program, { rundir: scratch.path });
    const client = await connect("pong", { rundir: scratch.path });
    expect((await client.request("awake")).text()).toBe("awake");
    expect(await leastShare(() => child.ask<number>("idle", 1000))).toBeLessThan(idleShareMax);
    expect((await client.request("still awake")).text()).toBe("still awake");
    expect(await child.finish()).toEqual({ code: 0, signal: null, stderr: "" });
    await client.ended;
  });

  test.if(canCount)("that blocks in a context's loop takes none either", async () => {
    using scratch = new Scratch();
    await using command = new Command(words("blocker", scratch.path));
    await command.says("listening");
    await using client = await connect("blocked", { rundir: scratch.path });
    expect((await client.request("awake")).text()).toBe("awake");
    // After the name, which may hold anything, `man 5 proc` counts from the third: state, and 14 and 15 for the times.
    const field = (number: number) => {
      const text = readFileSync(`/proc/${command.pid}/stat`, "utf8");
      return text.slice(text.lastIndexOf(")") + 2).split(" ")[number - 3]!;
    };
    await until("it sleeps", () => field(3) === "S");
    const ticks = () => Number(field(14)) + Number(field(15));
    const share = async () => {
      const before = ticks();
      await Bun.sleep(1000);
      // A hundred of them are a second.
      return (ticks() - before) / 100;
    };
    expect(await leastShare(share)).toBeLessThan(idleShareMax);
    expect((await client.request("still awake")).text()).toBe("still awake");
    client.send("stop");
    expect(await command.whenEnded()).toMatchObject({ code: 0, stderr: "" });
  });
});

describe("a process", () => {
  test("lives for as long as a service is open, and then ends by itself", async () => {
    using scratch = new Scratch();
    await using command = new Command(words("lifetime", scratch.path, "service"));
    await command.says("open");
    for (let turn = 0; turn < 5; turn++) {
      await using client = await connect("brief", { rundir: scratch.path });
      expect((await client.request(`${turn}`)).text()).toBe(`${turn}`);
    }
    const last = await connect("brief", { rundir: scratch.path });
    last.send("close");
    expect(await command.whenEnded()).toMatchObject({ code: 0, stdout: "open\nclosed\n" });
    await last.ended;
  });

  test("lives for as long as a connection is open, and then ends by itself", async () => {
    using scratch = new Scratch();
    const accepted: Connection[] = [];
    const service = await serve(
      "host",
      { open: (connection) => void accepted.push(connection) },
      { rundir: scratch.path },
    );
    await using command = new Command(words("lifetime", scratch.path, "client"));
    await command.says("open");
    await until("it is accepted", () => accepted.length === 1);
    for (let turn = 0; turn < 5; turn++) {
      expect((await accepted[0]!.request(`${turn}`)).text()).toBe(`${turn}`);
    }
    await service.close();
    expect(await command.whenEnded()).toMatchObject({ code: 0, stdout: "open\nclosed\n" });
  });
});

test("what is thrown in the middle of a batch keeps the rest of it from nobody", async () => {
  await using command = new Command(words("throwing-listener"));
  expect(await command.whenEnded()).toMatchObject({ code: 0, stdout: "one\nother\n", stderr: "" });
});

test("each of two threads has its own loop, and they talk to each other", async () => {
  using scratch = new Scratch();
  await using command = new Command(words("threads", scratch.path));
  expect(await command.whenEnded()).toMatchObject({
    code: 0,
    stdout: "left: 500 answers\nright: 500 answers\n",
    stderr: "",
  });
  expect(scratch.entries()).toEqual([]);
});

test("what is sent in a task goes when the task is done, all at once", async () => {
  using scratch = new Scratch();
  const { path: rundir } = scratch;
  await using service = await serve("pong", echo, { rundir });
  await using client = await connect("pong", { rundir });
  await client.request("there");
  // A task of its own: in one of the loop's turns it would go with the turn.
  await Bun.sleep(1);
  const { messagesSent } = client.statistics();
  const answers = Array.from({ length: 10 }, (_, index) => client.request(`${index}`));
  expect(client.statistics().messagesSent).toBe(messagesSent);
  await Promise.resolve();
  await Promise.resolve();
  expect(client.statistics().messagesSent).toBe(messagesSent + 10);
  await Promise.all(answers);
  expect(service.statistics().messagesReceived).toBe(11);
});

test("who holds up the loop and hears what comes meanwhile gets his thread back, though more comes each time", async () => {
  using scratch = new Scratch();
  const { path: rundir } = scratch;
  const enough = 200_000;
  let bounces = 0;
  const bounce = (connection: Connection) => {
    bounces += 1;
    if (bounces < enough) connection.send("ball");
  };
  await using _ = await serve("court", { message: bounce }, { rundir });
  await using client = await connect("court", { rundir, message: bounce });
  client.send("ball");
  loop().poll(1000);
  expect(bounces).toBeGreaterThan(0);
  expect(bounces).toBeLessThan(enough);
  bounces = enough;
});
