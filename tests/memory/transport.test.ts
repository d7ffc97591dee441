/** Shared memory as a way to a service: who offers and takes it, what cannot be had by it, and who breaks its rules. */

import { describe, expect, test } from "bun:test";
import { Asking } from "../../src/crypto/meeting.ts";
import type { Connection, ConnectOptions, End, Handlers, Trouble } from "../../src/index.ts";
import { bind, Context, connect, inspect, list, serve } from "../../src/index.ts";
import { about, formatHello, parseAnswer } from "../../src/memory/hello.ts";
import { kinds, memoryConstants } from "../../src/native/memory-layout.ts";
import { earshot, leaveNoCommand, run, startService } from "../kit/command.ts";
import { MemoryPeer } from "../kit/memory-peer.ts";
import { leaveNoTrace } from "../kit/no-trace.ts";
import { clientKeys, isSealed, reached, served, serviceKeys } from "../kit/over.ts";
import { rejection } from "../kit/rejection.ts";
import { Scratch } from "../kit/scratch.ts";
import { until } from "../kit/until.ts";

leaveNoTrace();
leaveNoCommand();

const echo: Handlers = { message: (connection, message) => void connection.send(message.bytes) };

/** Only of a socket there are copies. */
function transportOf(connection: Connection): "unix" | "memory" {
  try {
    for (const copy of connection.copies()) copy.close();
    return "unix";
  } catch (error) {
    expect(error).toMatchObject({ code: "ENOTSUP" });
    return "memory";
  }
}

describe("connect", () => {
  test("takes memory where it is offered, a socket otherwise, and the one that is named", async () => {
    using scratch = new Scratch();
    const { path: rundir } = scratch;
    await using _ = await serve("both", echo, { rundir, memory: true });
    await using __ = await serve("socket", echo, { rundir });
    const cases: [string, ConnectOptions, string][] = [
      ["both", {}, "memory"],
      ["both", { transport: "memory" }, "memory"],
      ["both", { transport: "unix" }, "unix"],
      ["socket", {}, "unix"],
      ["socket", { transport: "unix" }, "unix"],
    ];
    for (const [name, options, transport] of cases) {
      await using client = await connect(name, { rundir, ...options });
      expect((await client.request("hello")).text()).toBe("hello");
      expect(transportOf(client)).toBe(transport as "unix");
    }
  });

  test("says what is missing where memory was named and is not offered", async () => {
    using scratch = new Scratch();
    const { path: rundir } = scratch;
    await using _ = await serve("socket", echo, { rundir });
    const error = await rejection(connect("socket", { rundir, transport: "memory" }));
    expect(error).toMatchObject({ code: "ENOENT", service: "socket" });
    expect(error.message).toContain('nobody serves "socket" through memory');
  });

  test("goes by the socket where who offered memory has gone", async () => {
    using scratch = new Scratch();
    const { path: rundir } = scratch;
    const dead = await startService(["pong", "--memory"], { rundir });
    await dead.end("SIGKILL");
    await using _ = await serve("pong", echo, { rundir });
    expect(scratch.entries()).toContain("pong.memory");
    await using client = await connect("pong", { rundir });
    expect((await client.request("hello")).text()).toBe("hello");
    expect(transportOf(client)).toBe("unix");
    const error = await rejection(connect("pong", { rundir, transport: "memory" }));
    expect(error).toMatchObject({ code: "ECONNREFUSED", service: "pong" });
  });

  test("finds a service again by whatever it offers then", async () => {
    using scratch = new Scratch();
    const { path: rundir } = scratch;
    let found = 0;
    let service = await serve("pong", echo, { rundir, memory: true });
    await using client = await connect("pong", {
      rundir,
      reconnect: { first: 1, most: 4 },
      reconnected: () => {
        found += 1;
      },
    });
    for (const [round, memory] of [false, true].entries()) {
      expect(transportOf(client)).toBe(memory ? "unix" : "memory");
      await service.close();
      const answer = client.request("meanwhile").catch(() => "lost");
      service = await serve("pong", echo, { rundir, memory });
      await until("it is found again", () => found === round + 1);
      await answer;
      expect((await client.request("again")).text()).toBe("again");
    }
    expect(transportOf(client)).toBe("memory");
    await service.close();
  });

  test("refuses what goes by a socket alone, in words that say so", async () => {
    using scratch = new Scratch();
    const { path: rundir } = scratch;
    await using _ = await serve("pong", echo, { rundir, memory: true });
    const named: [ConnectOptions, string][] = [
      [{ raw: true }, "raw"],
      [{ descriptor: 0 }, "descriptor"],
      [{ address: { host: "127.0.0.1", port: 1 } }, "address"],
      [{ network: "pong tcp://127.0.0.1:1/pong" }, "elsewhere"],
      [{ ring: 1000 }, "ring.up is 1000"],
    ];
    for (const [options, word] of named) {
      const error = await rejection(connect("pong", { rundir, transport: "memory", ...options }));
      expect(error.code).toBe("EINVAL");
      expect(error.message).toContain(word);
    }
    const odd = { rundir, transport: "smoke" } as unknown as ConnectOptions;
    expect((await rejection(connect("pong", odd))).message).toContain('"unix" or "memory"');
    await using raw = await connect("pong", { rundir, raw: true });
    expect(transportOf(raw)).toBe("unix");
  });

  test("has a connection that cannot be bound, nor is anywhere", async () => {
    using scratch = new Scratch();
    const { path: rundir } = scratch;
    await using _ = await serve("pong", echo, { rundir, memory: true });
    await using one = await connect("pong", { rundir });
    await using other = await connect("pong", { rundir, transport: "unix" });
    await one.request("there");
    expect(() => bind(one, other)).toThrow('transport: "unix"');
    expect(() => one.remote).toThrow("ENOTSUP");
    expect((await one.request("still")).text()).toBe("still");
    expect((await other.request("still")).text()).toBe("still");
  });
});

describe("serve", () => {
  test("has both names, and gives both up", async () => {
    using scratch = new Scratch();
    const { path: rundir } = scratch;
    for (let round = 0; round < 10; round++) {
      const service = await serve("pong", echo, { rundir, memory: { ring: 65_536 } });
      expect(scratch.entries()).toEqual(["pong", "pong.lock", "pong.memory", "pong.memory.lock"]);
      const client = await connect("pong", { rundir });
      await client.request("there");
      const closed = service.close();
      expect(scratch.entries()).toEqual([]);
      await closed;
      expect((await client.ended).reason).toBe("peer_closed");
    }
  });

  test("takes neither name where one is somebody else's", async () => {
    using scratch = new Scratch();
    const { path: rundir } = scratch;
    using context = new Context({ rundir });
    context.serve("pong.memory");
    const error = await rejection(serve("pong", echo, { rundir, memory: true }));
    expect(error).toMatchObject({ code: "EADDRINUSE", service: "pong" });
    expect(error.message).toContain(`through memory is already served`);
    expect(scratch.entries()).toEqual(["pong.memory", "pong.memory.lock"]);
  });

  test("refuses what goes by a socket alone", async () => {
    using scratch = new Scratch();
    const { path: rundir } = scratch;
    for (const options of [
      { raw: true },
      { descriptor: 0 },
      { address: { host: "127.0.0.1", port: 0 } },
    ]) {
      const error = await rejection(serve("pong", echo, { rundir, memory: true, ...options }));
      expect(error.code).toBe("EINVAL");
      expect(error.message).toContain("memory do not go together");
    }
    const error = await rejection(serve("pong", echo, { rundir, memory: { ring: 70_000 } }));
    expect(error).toMatchObject({ code: "EINVAL" });
    expect(scratch.entries()).toEqual([]);
  });

  test("counts those who come by either, and lets no more in than it may", async () => {
    using scratch = new Scratch();
    const { path: rundir } = scratch;
    const troubles: Trouble[] = [];
    const trouble = (_: unknown, each: Trouble) => void troubles.push(each);
    const options = { rundir, memory: true, connectionsMax: 2 };
    await using service = await serve("small", { ...echo, trouble }, options);
    const transports = ["unix", "memory"] as const;
    const clients: Connection[] = [];
    for (const transport of transports) {
      const client = await connect("small", { rundir, transport });
      await client.request("in");
      clients.push(client);
    }
    for (const transport of transports) {
      const late = await connect("small", { rundir, transport });
      expect((await late.ended).reason).toMatch(/^peer_/);
    }
    await until("both are told", () => troubles.length === 2);
    expect(troubles.map(({ reason, pid }) => [reason, pid])).toEqual([
      ["connections_limit", process.pid],
      ["connections_limit", process.pid],
    ]);
    await until("they are gone", () => service.statistics().connectionsOpen === 2);
    expect(service.statistics().messagesReceived).toBe(2);
    expect(service.statistics().reasons.connections_limit).toBe(2);
    for (const client of clients) await client.close();
    await until("they have gone", () => service.connections.size === 0);
    expect(service.statistics().reasons.peer_closed).toBe(2);
  });

  test("is listed once, as one that offers memory", async () => {
    using scratch = new Scratch();
    const { path: rundir } = scratch;
    await using _ = await serve("both", echo, { rundir, memory: true });
    await using __ = await serve("socket", echo, { rundir });
    expect(list({ rundir }).map(({ name, memory }) => [name, memory])).toEqual([
      ["both", true],
      ["socket", false],
    ]);
    expect(inspect("both", { rundir })).toMatchObject({ state: "live", memory: true });
  });

  test("by the command, and a client that asks for it", async () => {
    using scratch = new Scratch();
    const { path: rundir } = scratch;
    await using _ = await startService(["hello", "--memory"], { rundir });
    const words = ["hello", "--transport", "memory"];
    expect(await run(earshot("client", ...words, "you"), { rundir })).toMatchObject({
      code: 0,
      stdout: 'You said "you"\n',
      stderr: "",
    });
    expect(await run(earshot("client", ...words), { rundir, input: "a\n\nb" })).toMatchObject({
      code: 0,
      stdout: 'You said "a"\nYou said ""\nYou said "b"\n',
      stderr: "",
    });
    await using __ = await serve("mute", {}, { rundir, memory: true });
    const mute = earshot("client", "mute", "--transport", "memory", "--timeout", "20");
    expect(await run([...mute, "hello"], { rundir })).toMatchObject({
      code: 1,
      stderr: 'client: "mute" did not answer within 20 ms\n',
    });
    expect(await run(mute, { rundir, input: "a\nb\n" })).toMatchObject({
      code: 1,
      stderr: "client: 2 of the lines had no answer\n",
    });
    expect(await run(earshot("service", "pong", "--memory", "--takeover"))).toMatchObject({
      code: 2,
    });
  });

  test("is taken over without memory, whose connections go on where they are", async () => {
    using scratch = new Scratch();
    const { path: rundir } = scratch;
    await using first = await startService(["pong", "--memory"], { rundir });
    await using client = await connect("pong", { rundir });
    expect((await client.request("one")).text()).toBe("one");
    await using _ = await startService(["pong", "--takeover"], { rundir });
    await first.says("taken over by");
    expect((await client.request("two")).text()).toBe("two");
    expect(client.peer.pid).toBe(first.pid);
    expect(scratch.entries()).not.toContain("pong.memory");
    await using other = await connect("pong", { rundir });
    expect((await other.request("three")).text()).toBe("three");
    await client.close();
    expect((await first.whenEnded()).code).toBe(0);
  });
});

test.each(["memory", "sealed memory"] as const)(
  "whoever leaves before he is answered, over %s, is no trouble",
  async (transport) => {
    using scratch = new Scratch();
    const { path: rundir } = scratch;
    const troubles: Trouble[] = [];
    const trouble = (_: unknown, each: Trouble) => void troubles.push(each);
    await using service = await serve(
      "pong",
      { ...echo, trouble },
      { rundir, ...served(transport) },
    );
    const rings = { up: 65_536, down: 65_536 };
    for (let round = 0; round < 10; round++) {
      using asking = new Asking(clientKeys, serviceKeys.publicKey, about("pong", rings));
      const peer = await MemoryPeer.connect("pong", rundir);
      peer.say(formatHello({ rings, seal: isSealed(transport) ? asking.asked : undefined }));
      if (round % 3 === 0) peer.say("end");
      await peer.link.close({ now: round % 2 === 0 });
    }
    await using client = await connect("pong", { rundir, ...reached(transport) });
    await client.request("hello");
    expect(troubles).toEqual([]);
    const { reasons } = service.statistics();
    expect([reasons["descriptor_limit"], reasons["malformed"]]).toEqual([undefined, undefined]);
  },
);

describe("a sealed service that offers memory", () => {
  const { seal: given } = served("sealed memory");
  const { seal: mine } = reached("sealed memory");

  test("counts who says nothing, or proves nothing, as stalled", async () => {
    using scratch = new Scratch();
    const { path: rundir } = scratch;
    const troubles: Trouble[] = [];
    const trouble = (_: unknown, each: Trouble) => void troubles.push(each);
    const seal = { ...given!, timeout: 500 };
    await using service = await serve("pong", { trouble }, { rundir, memory: true, seal });
    await using _ = await MemoryPeer.connect("pong", rundir);
    await using __ = await MemoryPeer.beginSealed(
      "pong",
      rundir,
      clientKeys,
      serviceKeys.publicKey,
      false,
    );
    await until("both are turned away", () => troubles.length === 2);
    expect(service.statistics().reasons).toEqual({ stalled: 2 });
    expect(troubles.map(({ reason, error }) => [reason, error?.code])).toEqual([
      ["stalled", "ESEAL"],
      ["stalled", "ESEAL"],
    ]);
  });

  test("is the one that is meant only by the name that it has itself", async () => {
    using scratch = new Scratch();
    const { path: rundir } = scratch;
    await using _ = await serve("pong", echo, { rundir, memory: { ring: 65_536 }, seal: given });
    const meant = (service: string) =>
      connect("pong", { rundir, transport: "memory", seal: { ...mine!, service } });
    expect(await rejection(meant("other"))).toMatchObject({ code: "ECONNREFUSED" });
    await using client = await meant("pong");
    expect((await client.request("hello")).text()).toBe("hello");
  });

  test("tells a client without a seal what it is", async () => {
    using scratch = new Scratch();
    const { path: rundir } = scratch;
    await using _ = await serve("pong", echo, { rundir, memory: true, seal: given });
    await using client = await connect("pong", { rundir, transport: "memory" });
    const { error } = await client.ended;
    expect(error).toMatchObject({ code: "ECONNREFUSED", service: "pong" });
    expect(error!.message).toContain("it is sealed here; connect with keys, and peer");
  });
});

describe("a peer that breaks the rules", () => {
  test("is told why when its hello is none", async () => {
    using scratch = new Scratch();
    const { path: rundir } = scratch;
    await using _ = await serve("pong", echo, { rundir, memory: true });
    await using other = await connect("pong", { rundir });
    for (const hello of [
      "hello",
      "{}",
      '{"memory":2}',
      formatHello({ rings: { up: 1, down: 1 } }),
    ]) {
      await using peer = await MemoryPeer.connect("pong", rundir);
      peer.say(hello);
      await peer.link.ended;
      expect(peer.heard.map((text) => parseAnswer(Buffer.from(text)))).toMatchObject([
        { error: { code: "EPROTO" } },
      ]);
    }
    expect((await other.request("still")).text()).toBe("still");
  });

  const { tail_at: tailAt } = memoryConstants;
  const attacks: [string, End["reason"], (peer: MemoryPeer) => void][] = [
    ["shows half a record", "malformed", ({ out }) => void Atomics.store(out.words, tailAt / 4, 4)],
    ["goes back", "malformed", ({ out }) => void Atomics.store(out.words, tailAt / 4, -8)],
    ["writes what is of no kind", "malformed", (peer) => commit(peer, 4)],
    ["passes far too much", "message_too_long", (peer) => commit(peer, kinds.passed)],
    ["promises descriptors", "descriptors_unasked", (peer) => commit(peer, kinds.attended)],
    ["sends descriptors", "descriptors_unasked", (peer) => peer.say("descriptors", [1])],
    ["says nonsense", "malformed", (peer) => peer.say("nonsense")],
    ["says too much", "message_too_long", (peer) => peer.say(new Uint8Array(10_000))],
  ];

  test.each(attacks)(
    "and %s ends its own connection, with the reason (%s)",
    async (_, reason, attack) => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      const ends: End[] = [];
      const close = (_: Connection, end: End) => void ends.push(end);
      await using service = await serve("pong", { ...echo, close }, { rundir, memory: true });
      await using other = await connect("pong", { rundir });
      await other.request("there");
      await using peer = await MemoryPeer.begin("pong", rundir);
      attack(peer);
      if (peer.link.open) peer.say("");
      await peer.link.ended;
      await until("the end is told", () => ends.length === 1);
      expect(ends.map((end) => end.reason)).toEqual([reason]);
      expect((await other.request("still")).text()).toBe("still");
      expect(service.connections.size).toBe(1);
    },
  );
});

/** Shows a record of a kind, whose payload is a length that nobody may send. */
function commit({ out, writer }: MemoryPeer, kind: number): void {
  out.bytes.set(new Uint8Array(BigUint64Array.of(0x7fff_ffffn).buffer), writer.place);
  writer.commit(8, kind);
  writer.publish();
}
