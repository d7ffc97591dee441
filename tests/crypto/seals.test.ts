/** `seal` of `serve` and `connect`: what goes together with it and what does not, and what it changes for nobody. */

import { describe, expect, test } from "bun:test";
import { KeyPair, keyPair, loadKeys, saveKeys } from "../../src/crypto/index.ts";
import type { ConnectOptions, Handlers, ServeOptions } from "../../src/index.ts";
import { bind, Context, connect, Descriptor, offerTakeover, serve } from "../../src/index.ts";
import { leaveNoCommand, run } from "../kit/command.ts";
import { leaveNoTrace } from "../kit/no-trace.ts";
import { clientKeys, reached, served, serviceKeys } from "../kit/over.ts";
import { rejection } from "../kit/rejection.ts";
import { Scratch } from "../kit/scratch.ts";
import { until } from "../kit/until.ts";

leaveNoTrace();
leaveNoCommand();

const echo: Handlers = { message: (connection, message) => void connection.send(message.bytes) };
const offer = served("sealed");
const { seal } = reached("sealed");

describe("serve and connect refuse", () => {
  test.each([
    ["raw", { raw: true }, "raw and seal do not go together"],
    ["descriptors", { descriptors: { max: 1 } }, "descriptors and seal do not go together"],
  ])("%s, and say why", async (_, options, why) => {
    using scratch = new Scratch();
    const { path: rundir } = scratch;
    for (const refused of [
      serve("pong", echo, { rundir, ...offer, ...options }),
      connect("pong", { rundir, seal, ...options }),
    ]) {
      const error = await rejection(refused);
      expect(error).toMatchObject({ code: "EINVAL", service: "pong" });
      expect(error.message).toContain(why);
    }
    expect(scratch.entries()).toEqual([]);
  });

  const keys = serviceKeys;
  const allow = [clientKeys.publicKey];
  test.each([
    [{}, "EINVAL", "both"],
    [{ keys }, "EINVAL", "both"],
    [{ keys, allow: [] }, "EINVAL", "both"],
    [{ keys, allow: clientKeys.publicKey }, "EINVAL", "both"],
    [{ keys, allow: ["nobody"] }, "EKEY", '"nobody" is not a public key'],
    [{ keys: {}, allow }, "EKEY", "keyPair()"],
    [{ keys: { secretKey: new Uint8Array(31) }, allow }, "EKEY", "32 bytes"],
    [
      { keys: { ...keys, secretKey: new Uint8Array(32), publicKey: "x" }, allow },
      "EKEY",
      "not that",
    ],
    [{ keys, allow, timeout: -1 }, "EINVAL", "seal.timeout"],
  ])("a service's seal %#, and leave nothing behind", async (given, code, why) => {
    using scratch = new Scratch();
    const { path: rundir } = scratch;
    const options = { rundir, seal: given } as unknown as ServeOptions;
    const error = await rejection(serve("pong", echo, options));
    expect(error.code).toBe(code as "EINVAL");
    expect(error.message).toContain(why);
    expect(scratch.entries()).toEqual([]);
  });

  const peer = serviceKeys.publicKey;
  test.each([
    [{}, "EINVAL", "both"],
    [{ peer }, "EINVAL", "both"],
    [{ keys }, "EINVAL", "both"],
    [{ keys, peer: "somebody" }, "EKEY", '"somebody" is not a public key'],
    [{ keys, peer: 1 }, "EINVAL", "seal.peer"],
    [{ keys, peer, service: 1 }, "EINVAL", "seal.service"],
    [{ keys: peer, peer }, "EKEY", "keyPair()"],
    // Among the few with which nothing is secret.
    [{ keys, peer: "A".repeat(43) }, "EKEY", "nothing is secret"],
  ])("a client's seal %#", async (given, code, why) => {
    using scratch = new Scratch();
    const { path: rundir } = scratch;
    await using service = await serve("pong", echo, { rundir, ...offer });
    const options = { rundir, seal: given } as unknown as ConnectOptions;
    const error = await rejection(connect("pong", options));
    expect(error.code).toBe(code as "EINVAL");
    expect(error.message).toContain(why);
    await until("nobody is left", () => service.statistics().descriptors <= 3);
  });
});

describe.each(["sealed", "sealed memory"] as const)("over %s", (transport) => {
  test("each end knows whose key the other has", async () => {
    using scratch = new Scratch();
    const { path: rundir } = scratch;
    const other = keyPair();
    const who: (string | undefined)[] = [];
    const open: Handlers["open"] = ({ peer }) => void who.push(peer.publicKey);
    const given = served(transport);
    const allow = [clientKeys.publicKey, other.publicKey];
    const options = { rundir, ...given, seal: { keys: serviceKeys, allow } };
    await using _ = await serve("pong", { ...echo, open }, options);
    const { transport: by } = reached(transport);
    for (const keys of [other, clientKeys]) {
      const theirs = { keys, peer: serviceKeys.publicKey };
      await using client = await connect("pong", { rundir, transport: by, seal: theirs });
      await client.request("hello");
      expect(client.peer).toMatchObject({
        pid: process.pid,
        publicKey: serviceKeys.publicKey,
      });
    }
    expect(who).toEqual([other.publicKey, clientKeys.publicKey]);
  });
});

describe("a sealed service", () => {
  test("goes over to no other process, nor do its connections", async () => {
    using scratch = new Scratch();
    const { path: rundir } = scratch;
    await using service = await serve("pong", echo, { rundir, ...offer });
    await using client = await connect("pong", { rundir, seal });
    await client.request("here");
    for (const act of [() => service.copies(), () => service.adopt(0)]) {
      expect(act).toThrow(expect.objectContaining({ code: "EINVAL", service: "pong" }));
    }
    expect(await rejection(offerTakeover(service, { rundir }))).toMatchObject({ code: "EINVAL" });
    const copies = [new Descriptor(99_998), new Descriptor(99_999)];
    const taken = serve("other", echo, { rundir, ...offer, descriptor: copies });
    expect((await rejection(taken)).message).toContain("stop the one that runs");
    for (const copy of copies) copy.take();
    const [server] = service.connections;
    for (const connection of [client, server!]) {
      expect(() => connection.copies()).toThrow(expect.objectContaining({ code: "ENOTSUP" }));
      expect(() => connection.send("x", { descriptors: [0] })).toThrow("ENOTSUP");
    }
    await using other = await connect("pong", { rundir, seal });
    expect(() => bind(client, other)).toThrow("is sealed, and cannot be bound");
    expect((await client.request("still")).text()).toBe("still");
    expect((await client.request("none", { descriptors: [] })).text()).toBe("none");
  });

  test("tells a client without a seal what to do, and is told by nothing of him", async () => {
    using scratch = new Scratch();
    const { path: rundir } = scratch;
    const heard: string[] = [];
    const message: Handlers["message"] = (_, each) => void heard.push(each.text());
    await using service = await serve("pong", { message }, { rundir, ...offer });
    const client = await connect("pong", { rundir });
    const answer = (await client.request("hello")).json<{ error: { message: string } }>();
    expect(answer.error.message).toContain("this service is sealed: connect with seal");
    expect((await client.ended).reason).toBe("peer_closed");
    expect(heard).toEqual([]);
    expect(service.statistics()).toMatchObject({ messagesReceived: 0, reasons: { malformed: 1 } });
  });

  test("offers memory with the same seal, and lets nobody in there without", async () => {
    using scratch = new Scratch();
    const { path: rundir } = scratch;
    const reasons: string[] = [];
    await using service = await serve(
      "pong",
      { ...echo, trouble: (_, { reason }) => void reasons.push(reason) },
      { rundir, ...offer, memory: true },
    );
    // Taken without being asked for, since it is offered.
    await using client = await connect("pong", { rundir, seal });
    expect((await client.request("hello")).text()).toBe("hello");
    expect(() => client.copies()).toThrow("goes through memory");
    expect(() => client.send("x", { descriptors: [0] })).toThrow("descriptors cannot be sealed");
    const keys = keyPair();
    const stranger = { keys, peer: serviceKeys.publicKey };
    const options = { rundir, transport: "memory" } as const;
    expect((await rejection(connect("pong", { ...options, seal: stranger }))).message).toContain(
      "not among those that are allowed here",
    );
    const open = await connect("pong", options);
    expect(await rejection(open.request("hello"))).toMatchObject({ code: "ECONNRESET" });
    expect(reasons).toEqual(["not_allowed", "not_allowed"]);
    expect(service.statistics().reasons).toEqual({ not_allowed: 2 });
    expect((await client.request("still")).text()).toBe("still");
  });
});

describe("a sealed client", () => {
  test("is told where the service is not sealed", async () => {
    using scratch = new Scratch();
    const { path: rundir } = scratch;
    await using _ = await serve("echo", echo, { rundir });
    await using __ = await serve("silent", {}, { rundir });
    await using ___ = await serve(
      "greeter",
      { open: (connection) => void connection.send("x".repeat(5000)) },
      { rundir },
    );
    await using ____ = await serve("rude", { message: (each) => void each.close() }, { rundir });
    const cases = [
      ["echo", "ESEAL", "it sent the hello back; serve it with seal"],
      ["silent", "ETIMEDOUT", "is it served with seal"],
      ["greeter", "ESEAL", "it answered with 5000 bytes; serve it with seal"],
      ["rude", "ECONNRESET", "it ended the connection"],
    ] as const;
    for (const [name, code, why] of cases) {
      // Who says something is waited for.
      const timeout = code === "ETIMEDOUT" ? 200 : 60_000;
      const error = await rejection(connect(name, { rundir, seal, timeout }));
      expect(error).toMatchObject({ code, service: name });
      expect(error.message).toContain(why);
    }
  });

  test("gives up when its signal aborts, and leaves nothing", async () => {
    using scratch = new Scratch();
    const { path: rundir } = scratch;
    const heard: unknown[] = [];
    await using service = await serve(
      "silent",
      { message: (_, { length }) => void heard.push(length) },
      { rundir },
    );
    const abort = new AbortController();
    const connecting = connect("silent", { rundir, seal, signal: abort.signal });
    const outcome = connecting.catch((error: unknown) => error);
    await until("it has said hello", () => heard.length === 1);
    abort.abort("enough");
    expect(await outcome).toBe("enough");
    await until("it is gone", () => service.connections.size === 0);
  });

  test("means the service by its own name, which may be another than it is reached by", async () => {
    const listening = { address: { host: "127.0.0.1", port: 0 } };
    await using service = await serve("pong", echo, { ...listening, ...offer });
    const { address } = service;
    await using client = await connect("pong", { address, seal });
    expect((await client.request("hello")).text()).toBe("hello");
    expect(client.remote.port).toBe(address.port);
    expect((await rejection(connect("ping", { address, seal }))).code).toBe("ECONNREFUSED");
    await using other = await connect("ping", { address, seal: { ...seal!, service: "pong" } });
    expect((await other.request("hello")).text()).toBe("hello");
  });

  test("goes on with a connection that was made elsewhere", async () => {
    using scratch = new Scratch();
    const { path: rundir } = scratch;
    await using _ = await serve("pong", echo, { rundir, ...offer });
    const open = await connect("pong", { rundir });
    const [descriptor] = open.copies();
    await using client = await connect("pong", { descriptor: descriptor!, seal });
    expect((await client.request("hello")).text()).toBe("hello");
    await open.close({ now: true });
    expect((await client.request("still")).text()).toBe("still");
  });
});

test("keys from a file do as well as those that were just made", async () => {
  using scratch = new Scratch();
  const { path: rundir } = scratch;
  const path = scratch.join("keys");
  saveKeys(path, keyPair());
  const keys = loadKeys(path);
  const plain = { publicKey: clientKeys.publicKey, secretKey: clientKeys.secretKey };
  await using _ = await serve("pong", echo, {
    rundir,
    seal: { keys, allow: [new KeyPair(plain.secretKey).publicKey] },
  });
  await using client = await connect("pong", {
    rundir,
    seal: { keys: plain, peer: keys.publicKey },
  });
  expect((await client.request("hello")).text()).toBe("hello");
});

test("who seals nothing loads nothing of it", async () => {
  using scratch = new Scratch();
  const program = `
    import { connect, serve } from "./src/index.ts";
    const has = async () => (await Bun.file("/proc/self/maps").text()).includes("libearshot-seal");
    const echo = { message: (connection, message) => void connection.send(message.bytes) };
    const talk = async (served, reached) => {
      await using service = await serve("pong", echo, served);
      await using client = await connect("pong", reached);
      return (await client.request("hello")).text();
    };
    const { served, reached } = await import("./tests/kit/over.ts");
    console.log(await talk(), await has(), await talk(served("sealed"), reached("sealed")), await has());
    process.exit(0);`;
  const words = [process.execPath, "--eval", program];
  const { stdout, stderr } = await run(words, { rundir: scratch.path });
  const maps = process.platform === "linux" ? [false, true] : [false, false];
  expect({ stdout, stderr }).toEqual({ stdout: `hello ${maps[0]} hello ${maps[1]}\n`, stderr: "" });
});

test("a context, which knows of sockets alone, is turned away like any stranger", async () => {
  using scratch = new Scratch();
  const { path: rundir } = scratch;
  await using service = await serve("pong", echo, { rundir, ...offer });
  const context = new Context({ rundir });
  const connection = context.connect("pong");
  context.write(connection, "hello");
  await until("it is turned away", () => service.statistics().reasons.malformed === 1);
  context.close();
});
