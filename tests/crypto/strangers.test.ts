/** Strangers at a sealed service, who have come and not shown who they are: however many, friends are served. */

import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { about, formatHello } from "../../src/crypto/hello.ts";
import { Asking } from "../../src/crypto/meeting.ts";
import { strangersMax } from "../../src/crypto/strangers.ts";
import type { Connection, Handlers, ServeOptions, Service, Trouble } from "../../src/index.ts";
import { connect, serve } from "../../src/index.ts";
import * as memory from "../../src/memory/hello.ts";
import { ServerSocket } from "../../src/memory/index.ts";
import { Child } from "../kit/child.ts";
import { frame } from "../kit/frames.ts";
import { leaveNoTrace } from "../kit/no-trace.ts";
import { clientKeys, reached, served, serviceKeys, type Transport } from "../kit/over.ts";
import { RawPeer } from "../kit/raw-peer.ts";
import { rejection } from "../kit/rejection.ts";
import { Scratch } from "../kit/scratch.ts";
import { until } from "../kit/until.ts";

leaveNoTrace();
setDefaultTimeout(60_000);

/** A sealed pong that gives strangers all the time they like, and where they come to. */
class Stage implements AsyncDisposable {
  readonly #scratch = new Scratch();
  readonly #strangers: RawPeer[] = [];
  readonly troubles: Trouble[] = [];
  readonly transport: Transport;
  service!: Service;

  constructor(transport: Transport) {
    this.transport = transport;
  }

  static async open(transport: Transport, options: ServeOptions = {}): Promise<Stage> {
    const stage = new Stage(transport);
    const handlers: Handlers = { message: (to, { bytes }) => void to.send(bytes) };
    const seal = { keys: serviceKeys, allow: [clientKeys.publicKey], timeout: Infinity };
    const trouble = (_: unknown, each: Trouble) => void stage.troubles.push(each);
    const { rundir } = stage;
    const given = { rundir, ...served(transport), seal, ...options };
    stage.service = await serve("pong", { ...handlers, trouble }, given);
    return stage;
  }

  get rundir(): string {
    return this.#scratch.path;
  }

  /** Where strangers come to. */
  get path(): string {
    return this.transport === "sealed memory" ? `${this.service.path}.memory` : this.service.path;
  }

  /** One after the other. */
  async strangers(count: number): Promise<readonly RawPeer[]> {
    for (let left = count; left > 0; left--) this.#strangers.push(await RawPeer.connect(this.path));
    return this.#strangers;
  }

  friend(timeout?: number): Promise<Connection> {
    return connect("pong", { rundir: this.rundir, ...reached(this.transport), timeout });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const stranger of this.#strangers) stranger.close();
    await this.service.close({ now: true });
    this.#scratch[Symbol.dispose]();
  }
}

/** What a friend says first. */
function helloOf(transport: Transport): string {
  const rings = { up: 65_536, down: 65_536 };
  const isMemory = transport === "sealed memory";
  const what = isMemory ? memory.about("pong", rings) : about("pong");
  using asking = new Asking(clientKeys, serviceKeys.publicKey, what);
  return isMemory ? memory.formatHello({ rings, seal: asking.asked }) : formatHello(asking.asked);
}

async function asks(friend: Connection): Promise<void> {
  expect((await friend.request("hello", { timeout: 30_000 })).text()).toBe("hello");
}

describe.each(["sealed", "sealed memory"] as const)("over %s", (transport) => {
  test("they take up none of the places of friends, who have so many and no more", async () => {
    await using stage = await Stage.open(transport, { connectionsMax: 2 });
    const strangers = await stage.strangers(10);
    const friends = [await stage.friend(), await stage.friend()];
    for (const friend of friends) await asks(friend);
    const refused = await rejection(stage.friend());
    expect(refused).toMatchObject({ code: "ECONNREFUSED", service: "pong" });
    expect(refused.message).toContain("there are as many connections as are allowed");
    expect(stage.troubles.map(({ reason, pid }) => [reason, pid])).toEqual([
      ["connections_limit", process.pid],
    ]);
    await friends[0]!.close();
    await until("it is gone", () => stage.service.connections.size === 1);
    await using later = await stage.friend();
    for (const friend of [later, friends[1]!]) await asks(friend);
    expect(strangers.some(({ ended }) => ended)).toBe(false);
    expect(stage.service.statistics()).toMatchObject({
      connectionsAccepted: 3,
      connectionsOpen: 2,
      reasons: { connections_limit: 1, peer_closed: 1 },
    });
    await friends[1]!.close();
  });

  test("of too many those go that have waited longest, and friends get in", async () => {
    await using stage = await Stage.open(transport, { connectionsMax: 1 });
    const extra = 10;
    const strangers = await stage.strangers(strangersMax + extra);
    for (const stranger of strangers.slice(0, extra)) await stranger.gone();
    for (const { texts } of strangers.slice(0, extra)) {
      expect(texts).toHaveLength(1);
      expect(texts[0]).toContain(`more than ${strangersMax} who had not shown who they are`);
    }
    expect(strangers.slice(extra).some(({ ended }) => ended)).toBe(false);
    const counted = (count: number) =>
      until("they are counted, and once", () =>
        Bun.deepEquals(stage.service.statistics().reasons, { connections_limit: count }),
      );
    await counted(extra);
    await using friend = await stage.friend();
    await asks(friend);
    // He made one more go, until he was known.
    await strangers[extra]!.gone();
    expect(strangers.slice(extra + 1).some(({ ended }) => ended)).toBe(false);
    await counted(extra + 1);
    expect(stage.service.statistics()).toMatchObject({
      connectionsAccepted: 1,
      connectionsOpen: 1,
    });
    expect(stage.troubles).toHaveLength(extra + 1);
    expect(stage.troubles[0]).toMatchObject({ reason: "connections_limit", pid: process.pid });
    expect(stage.troubles[0]!.error?.message).toContain("had waited longest");
  });

  test.each([
    ["some of whom say again what a friend has said", [0, 20, Infinity], 10],
    // They hold the line for some seconds, in which he tries again.
    ["all of whom do", [Infinity], 1],
  ])("a flood of them, %s, keeps no friend out", async (_, lengths, rounds) => {
    await using stage = await Stage.open(transport, { connectionsMax: 2 });
    await using first = await stage.friend();
    const hello = frame(helloOf(transport));
    const said = lengths.map((length) => hello.slice(0, length).toBase64());
    const program = new URL("programs/strangers.ts", import.meta.url);
    await using flood = await Child.start(program, { path: stage.path, said });
    await flood.ask("flood", 2 * strangersMax);
    const come = () => flood.ask("come") as Promise<number>;
    await until("there are more than may be", async () => (await come()) > 2 * strangersMax);
    const before = await come();
    for (let round = 0; round < rounds; round++) {
      const friend = await stage.friend(30_000);
      await asks(friend);
      await asks(first);
      await friend.close();
      await until("he has left his place", () => stage.service.connections.size === 1);
    }
    await until("they have come all the while", async () => (await come()) > before);
    expect(stage.service.statistics().connectionsAccepted).toBe(rounds + 1);
    expect(stage.service.statistics().descriptors).toBeLessThan(3 * strangersMax);
  });

  test("a flood of them keeps no friend out who is a process of his own", async () => {
    await using stage = await Stage.open(transport);
    const program = new URL("programs/strangers.ts", import.meta.url);
    const said = [frame(helloOf(transport)).slice(0, 20).toBase64(), ""];
    await using flood = await Child.start(program, { path: stage.path, said });
    await flood.ask("flood", 2 * strangersMax);
    const come = () => flood.ask("come") as Promise<number>;
    await until("there are more than may be", async () => (await come()) > 2 * strangersMax);
    const friends = new URL("programs/friends.ts", import.meta.url);
    await using other = await Child.start(friends, { rundir: stage.rundir, transport });
    expect(await other.ask("come", 3)).toEqual(["hello"]);
  });

  test("more friends at once than strangers there may be are all served", async () => {
    await using stage = await Stage.open(transport);
    const program = new URL("programs/friends.ts", import.meta.url);
    await using friends = await Child.start(program, { rundir: stage.rundir, transport });
    expect(await friends.ask("come", 2 * strangersMax)).toEqual(["hello"]);
    expect(stage.service.statistics().connectionsAccepted).toBe(2 * strangersMax);
  });
});

test("a server of memory sockets has a place for each friend as well", async () => {
  using scratch = new Scratch();
  const { path: rundir } = scratch;
  await using server = new ServerSocket();
  const options = { keys: serviceKeys, allow: [clientKeys.publicKey], connectionsMax: 1 };
  await server.listen("pong", { rundir, ...options });
  using stranger = await RawPeer.connect(`${rundir}/pong.memory`);
  await using friend = await connect("pong", { rundir, ...reached("sealed memory") });
  await until("he is in", () => server.sockets.size === 1);
  const refused = await rejection(connect("pong", { rundir, ...reached("sealed memory") }));
  expect(refused.message).toContain("there are as many connections as are allowed");
  expect(stranger.ended).toBe(false);
  expect(friend.open).toBe(true);
});
