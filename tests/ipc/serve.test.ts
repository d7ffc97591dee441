/** `serve`: its handlers, who may connect, and how it ends. */

import { describe, expect, test } from "bun:test";
import type { Connection, End, Handlers, Service, Trouble } from "../../src/index.ts";
import { inspect } from "../../src/index.ts";
import { Child } from "../kit/child.ts";
import { frame } from "../kit/frames.ts";
import { leaveNoTrace } from "../kit/no-trace.ts";
import { RawPeer } from "../kit/raw-peer.ts";
import { Scratch } from "../kit/scratch.ts";
import { overEach } from "../kit/transports.ts";
import { until, within } from "../kit/until.ts";

leaveNoTrace();

overEach(({ connect, serve, testOpen, transport }) => {
  const echo: Handlers = { message: (connection, message) => void connection.send(message.bytes) };

  /** Nobody's number, and surely not that of who runs the tests. */
  const stranger = 65_534;

  describe("handlers", () => {
    test("are told of a connection, its messages, and its end, in this order", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      const told: unknown[] = [];
      await using service = await serve(
        "ears",
        {
          open: ({ peer }) => void told.push(["open", peer.pid, peer.uid]),
          message: (_, message) => void told.push(message.text()),
          close: (_, { reason, lost }) => void told.push(["close", reason, lost]),
        },
        { rundir },
      );
      const client = await connect("ears", { rundir });
      client.send("one");
      client.send("two");
      await client.close();
      await until("the end is told", () => told.length === 4);
      expect(told).toEqual([
        ["open", process.pid, process.getuid!()],
        "one",
        "two",
        ["close", "peer_closed", { messages: 0, bytes: 0, requests: 0 }],
      ]);
      expect(service.connections.size).toBe(0);
    });

    test("get the same connection each time, open until its end", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      const seen: [Connection, boolean][] = [];
      const note = (connection: Connection) => void seen.push([connection, connection.open]);
      await using service = await serve(
        "ears",
        { open: note, message: note, close: note },
        { rundir },
      );
      const client = await connect("ears", { rundir });
      client.send("");
      await until("the message is there", () => seen.length === 2);
      const [connection] = service.connections;
      await client.close();
      await until("the end is told", () => seen.length === 3);
      expect(seen.map(([one, open]) => [one === connection, open])).toEqual([
        [true, true],
        [true, true],
        [true, false],
      ]);
      expect(connection!.service).toBe("ears");
    });

    test("may be asynchronous, and hold up nothing", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      const gate = Promise.withResolvers<void>();
      await using _ = await serve(
        "ears",
        {
          async message(connection, message) {
            const text = message.text();
            if (text === "later") await gate.promise;
            connection.send(text);
          },
        },
        { rundir },
      );
      await using client = await connect("ears", { rundir });
      const first = client.request("later");
      // Answers come in the order they are sent, whatever was asked.
      const second = client.request("now");
      expect((await first).text()).toBe("now");
      gate.resolve();
      expect((await second).text()).toBe("later");
    });

    test("may send and close wherever they are", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      await using _ = await serve(
        "greeter",
        {
          open: (connection) => void connection.send("welcome"),
          async message(connection, message) {
            connection.send(`bye ${message.text()}`);
            await connection.close();
          },
        },
        { rundir },
      );
      const client = await connect("greeter", { rundir });
      client.send("you");
      const texts: string[] = [];
      for await (const message of client) texts.push(message.text());
      expect(texts).toEqual(["welcome", "bye you"]);
      expect((await client.ended).reason).toBe("peer_closed");
    });

    test("are all left out where nothing is to be done", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      await using service = await serve("deaf", {}, { rundir });
      await using client = await connect("deaf", { rundir });
      client.send("hello");
      await until("it has arrived", () => service.statistics().messagesReceived === 1);
    });
  });

  const where = ["open", "message", "close"] as const;

  describe("a handler that throws", () => {
    test.each([
      ...where.map((name) => [name, "sync"] as const),
      ...where.map((name) => [name, "async"] as const),
    ])("%s, %s, has it told to error, and others are undisturbed", async (name, kind) => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      const told: [Connection, unknown][] = [];
      const fault = new Error(`in ${name}`);
      const fail = () => {
        if (kind === "async") return Promise.reject(fault);
        throw fault;
      };
      await using service = await serve(
        "faulty",
        {
          ...echo,
          [name]: fail,
          error: (connection, error) => void told.push([connection, error]),
        },
        { rundir },
      );
      const connections: Connection[] = [];
      await using well = await serve("well", echo, { rundir });
      await using other = await connect("well", { rundir });
      for (const count of [1, 2]) {
        const client = await connect("faulty", { rundir });
        await until("it is accepted", () => service.connections.size === 1);
        connections.push(...service.connections);
        client.send("a");
        expect((await other.request(`${count}`)).text()).toBe(`${count}`);
        await client.close();
        await until("the error is told", () => told.length === count);
        await until("it is over", () => service.connections.size === 0);
      }
      expect(told).toEqual(connections.map((connection) => [connection, fault]));
      expect(well.connections.size).toBe(1);
    });

    test("keeps its connection, and gets the next message", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      await using _ = await serve(
        "faulty",
        {
          message(connection, message) {
            if (message.text() === "bad") throw new Error("bad");
            connection.send(message.bytes);
          },
          error: (connection, error) => void connection.send(`sorry: ${(error as Error).message}`),
        },
        { rundir },
      );
      await using client = await connect("faulty", { rundir });
      const answers = await Promise.all(
        ["good", "bad", "good"].map((text) => client.request(text)),
      );
      expect(answers.map((answer) => answer.text())).toEqual(["good", "sorry: bad", "good"]);
    });

    test("has it uncaught where there is no error handler, and everything goes on", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      const program = new URL("programs/throwing-service.ts", import.meta.url);
      await using child = await Child.start(program, { rundir, transport });
      const uncaught = () => child.ask<string[]>("uncaught");
      await using client = await connect("thrower", { rundir });
      await using other = await connect("thrower", { rundir });

      // In one batch with what must not be lost for it.
      for (const text of ["throw", "a", "reject", "b", "throw"]) client.send(text);
      const answers = [await client.request("c"), await other.request("d")];
      expect(answers.map((answer) => answer.text())).toEqual(["a", "d"]);
      await until("all are thrown", async () => (await uncaught()).length === 3);
      expect((await uncaught()).sort()).toEqual(["rejected", "thrown", "thrown"]);

      for (const name of ["helpless", "slowly-helpless"]) {
        await using helpless = await connect(name, { rundir });
        expect((await helpless.request("hello")).text()).toBe("told");
      }
      await until("the handler's own are thrown", async () => (await uncaught()).length === 5);
      expect((await uncaught()).slice(3).sort()).toEqual([
        "the second, after the first",
        "the second, later",
      ]);
      expect(await child.finish()).toEqual({ code: 0, signal: null, stderr: "" });
    });

    testOpen("has trouble uncaught too, and costs nobody a message", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      const program = new URL("programs/throwing-service.ts", import.meta.url);
      await using child = await Child.start(program, { rundir, transport });
      await using client = await connect("thrower", { rundir });
      await using other = await connect("thrower", { rundir });
      const path = await child.ask<string>("path");
      // While it sleeps: the refused and what comes after them are one batch, or near it.
      for (let round = 1; round <= 8; round++) {
        process.kill(child.pid, "SIGSTOP");
        const refused = await connect("thrower", { rundir });
        const answers = [client.request("a"), other.request("b")];
        process.kill(child.pid, "SIGCONT");
        expect((await Promise.all(answers)).map((answer) => answer.text())).toEqual(["a", "b"]);
        await refused.ended;
      }
      expect(path).toBe(scratch.join("thrower"));
      expect(new Set(await child.ask<string[]>("uncaught"))).toEqual(new Set(["in trouble"]));
      await child.finish();
    });

    test("ends a process that does not catch it", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      const program = new URL("programs/throwing-service.ts", import.meta.url);
      await using child = await Child.start(program, { rundir, transport, dies: true });
      const client = await connect("thrower", { rundir });
      client.send("throw");
      const exit = await within("its end", child.exited);
      expect(exit.code).toBe(1);
      expect(exit.stderr).toContain("error: thrown");
      await client.ended;
    });
  });

  describe("a name", () => {
    test("is served once, by whoever came first, who goes on", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      await using service = await serve("pong", echo, { rundir });
      const error = await serve("pong", echo, { rundir }).catch((reason: unknown) => reason);
      expect(error).toMatchObject({ code: "EADDRINUSE", service: "pong" });
      expect((error as Error).message).toContain(`by process ${process.pid}`);
      await using client = await connect("pong", { rundir });
      expect((await client.request("still")).text()).toBe("still");
      expect(service.path).toBe(scratch.join("pong"));
      expect(service.name).toBe("pong");
    });

    test("is free again as soon as close was called", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      for (let round = 0; round < 20; round++) {
        const service = await serve("pong", echo, { rundir });
        const client = await connect("pong", { rundir });
        await client.request("there");
        const closed = service.close();
        expect(scratch.entries()).toEqual([]);
        const next = await serve("pong", echo, { rundir });
        expect(inspect("pong", { rundir })).toMatchObject({ state: "live", pid: process.pid });
        await Promise.all([closed, next.close(), client.ended]);
      }
      await expect(connect("pong", { rundir })).rejects.toMatchObject({ code: "ENOENT" });
    });

    test("that breaks a rule is refused", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      await expect(serve("../pong", echo, { rundir })).rejects.toMatchObject({ code: "ENAME" });
      expect(scratch.entries()).toEqual([]);
    });
  });

  describe("a signal", () => {
    test("that is aborted already keeps a service from starting", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      const signal = AbortSignal.abort("changed my mind");
      const outcome = await serve("pong", echo, { rundir, signal }).catch(
        (error: unknown) => error,
      );
      expect(outcome).toBe("changed my mind");
      expect(scratch.entries()).toEqual([]);
    });

    test("ends a service and its connections", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      const controller = new AbortController();
      const ends: End[] = [];
      const service = await serve(
        "pong",
        { ...echo, close: (_, end) => void ends.push(end) },
        { rundir, signal: controller.signal },
      );
      const client = await connect("pong", { rundir });
      await client.request("there");
      controller.abort();
      expect(scratch.entries()).toEqual([]);
      expect((await client.ended).reason).toBe("peer_closed");
      await service.close();
      expect(ends.map(({ reason }) => reason)).toEqual(["closed"]);
    });

    test("that outlives its services keeps none of them", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      const signal = new CountingSignal();
      const service = await serve("pong", echo, { rundir, signal });
      const client = await connect("pong", { rundir, signal });
      await client.request("there", { signal });
      expect(signal.listeners).toBe(2);
      await client.close();
      await service.close();
      expect(signal.listeners).toBe(0);
    });
  });

  describe("close", () => {
    test("ends every connection, and resolves when all have ended", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      let closed = 0;
      const service = await serve(
        "pong",
        {
          ...echo,
          close: () => {
            closed += 1;
          },
        },
        { rundir },
      );
      const clients = await Promise.all(
        Array.from({ length: 50 }, () => connect("pong", { rundir })),
      );
      await Promise.all(clients.map((client) => client.request("there")));
      expect(service.connections.size).toBe(50);
      await service.close();
      expect(closed).toBe(50);
      expect(service.connections.size).toBe(0);
      const ends = await Promise.all(clients.map((client) => client.ended));
      expect(new Set(ends.map(({ reason }) => reason))).toEqual(new Set(["peer_closed"]));
    });

    test("twice is no error, and await using is enough", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      let client: Connection;
      {
        await using service = await serve("pong", echo, { rundir });
        client = await connect("pong", { rundir });
        await client.request("there");
        await Promise.all([service.close(), service.close()]);
        await service.close();
      }
      expect((await client.ended).reason).toBe("peer_closed");
    });

    test("leaves out nobody who has just come", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      for (let round = 0; round < 10; round++) {
        const holder: { service?: Service } = {};
        let closing: Promise<void> | undefined;
        const service = await serve(
          "pong",
          {
            open: () => {
              closing ??= holder.service!.close();
            },
          },
          { rundir },
        );
        holder.service = service;
        // All of them are in the batch in which the first one has the service closed.
        const clients = await Promise.all(
          Array.from({ length: 5 }, () => connect("pong", { rundir })),
        );
        const ends = await Promise.all(
          clients.map((client) => within("a client's end", client.ended)),
        );
        expect(ends.length).toBe(5);
        await closing;
        expect(service.connections.size).toBe(0);
      }
    });

    test("sends what was taken first, unless it is to be now", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      const large = new Uint8Array(400 * 1024);
      for (const now of [false, true]) {
        const service = await serve(
          "source",
          {
            message(connection) {
              for (let count = 0; count < 8; count++) connection.send(large);
              connection.send("the last");
            },
          },
          { rundir },
        );
        const client = await connect("source", { rundir });
        client.send("go");
        await until(
          "there is more than the kernel takes",
          () => service.statistics().queuedBytes > 0,
        );
        const [connection] = service.connections;
        const closed = service.close({ now });
        const lengths: number[] = [];
        const read = async () => {
          for await (const message of client) lengths.push(message.length);
        };
        await read().catch(() => undefined);
        await closed;
        const { reason, lost } = await connection!.ended;
        expect(reason).toBe("closed");
        expect(lengths.length + lost.messages).toBeGreaterThanOrEqual(9);
        expect(lengths.at(-1) === 8).toBe(!now);
        expect(lost.messages > 0).toBe(now);
        expect(lost.bytes > 0).toBe(now);
      }
    });
  });

  describe("statistics", () => {
    test("add up those of all connections, and stay when it is closed", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      const service = await serve("pong", echo, { rundir });
      for (let count = 0; count < 3; count++) {
        await using client = await connect("pong", { rundir });
        await client.request("12345");
      }
      await until("all have gone", () => service.connections.size === 0);
      const expected = {
        messagesReceived: 3,
        messagesSent: 3,
        bytesReceived: 27,
        bytesSent: 27,
        queuedBytes: 0,
        messagesLost: 0,
        connectionsAccepted: 3,
        connectionsOpen: 0,
        reasons: { peer_closed: 3 },
      };
      expect(service.statistics()).toMatchObject(expected);
      await service.close();
      expect(service.statistics()).toMatchObject(expected);
    });
  });

  describe("allow", () => {
    const told = (troubles: Trouble[]) => (_: Service, trouble: Trouble) =>
      void troubles.push(trouble);

    test("lets in anyone, or those it names", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      const own = { users: [process.getuid!()] };
      const group = { groups: [process.getgid!()] };
      for (const allow of ["anyone", own, group] as const) {
        await using _ = await serve("pong", echo, { rundir, allow });
        await using client = await connect("pong", { rundir });
        expect((await client.request("hello")).text()).toBe("hello");
      }
    });

    testOpen("refuses all others before it reads a byte, and tells who they are", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      const troubles: Trouble[] = [];
      const opened: Connection[] = [];
      await using service = await serve(
        "pong",
        { ...echo, open: (connection) => void opened.push(connection), trouble: told(troubles) },
        { rundir, allow: { users: [stranger] } },
      );
      const client = await connect("pong", { rundir });
      const refused = client.request("let me in").catch((error: unknown) => error);
      expect(await refused).toMatchObject({ code: "ECONNRESET" });
      await until("it is told", () => troubles.length === 1);
      const { pid } = process;
      const uid = process.getuid!();
      expect(troubles).toEqual([{ reason: "not_allowed", errno: 0, uid, pid }]);
      expect(opened).toEqual([]);
      expect(service.statistics()).toMatchObject({
        connectionsAccepted: 0,
        messagesReceived: 0,
        reasons: { not_allowed: 1 },
      });
    });

    const isRoot = process.getuid!() === 0;
    if (!isRoot) console.log("only root can be somebody else; allow is not tried with other users");

    testOpen.if(isRoot)("goes by what the kernel says of another user", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      const troubles: Trouble[] = [];
      await using _ = await serve(
        "for-root",
        { ...echo, trouble: told(troubles) },
        { rundir, allow: { users: [0] } },
      );
      await using __ = await serve("for-all", echo, { rundir, allow: "anyone" });
      await using ___ = await serve("for-them", echo, { rundir, allow: { users: [stranger] } });
      const program = new URL("programs/stranger.ts", import.meta.url);
      await using child = await Child.start(program, { rundir, uid: stranger });
      const ask = (name: string) => child.ask<string>("request", name);
      expect(await ask("for-all")).toBe("hello");
      expect(await ask("for-them")).toBe("hello");
      await expect(ask("for-root")).rejects.toMatchObject({ code: "ECONNRESET" });
      expect(troubles).toEqual([
        { reason: "not_allowed", errno: 0, uid: stranger, pid: child.pid },
      ]);
      await child.finish();
    });

    test("that names nobody is refused", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      const nobody = serve("pong", echo, { rundir, allow: { users: [] } });
      await expect(nobody).rejects.toMatchObject({ code: "EINVAL" });
    });
  });

  describe("trouble", () => {
    testOpen("tells of peers for whom there is no room", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      const troubles: Trouble[] = [];
      await using service = await serve(
        "small",
        { ...echo, trouble: (of, trouble) => void (of === service && troubles.push(trouble)) },
        { rundir, connectionsMax: 1 },
      );
      await using first = await connect("small", { rundir });
      await first.request("in");
      const second = await connect("small", { rundir });
      await second.ended;
      await until("it is told", () => troubles.length === 1);
      expect(troubles[0]).toMatchObject({ reason: "connections_limit", pid: process.pid });
      expect((await first.request("still")).text()).toBe("still");
    });

    testOpen("is not what a peer's nonsense is, which ends its connection", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      const troubles: Trouble[] = [];
      const ends: End[] = [];
      await using service = await serve(
        "pong",
        {
          ...echo,
          close: (_, end) => void ends.push(end),
          trouble: (_, trouble) => void troubles.push(trouble),
        },
        { rundir },
      );
      await using other = await connect("pong", { rundir });
      using peer = await RawPeer.connect(service.path);
      peer.write(frame("well"));
      await peer.received(1);
      peer.write(new TextEncoder().encode("GET / HTTP/1.1\r\n\r\n"));
      await peer.gone();
      await until("it is told", () => ends.length === 1);
      expect(ends[0]!.reason).toBe("message_too_long");
      expect(troubles).toEqual([]);
      expect((await other.request("still")).text()).toBe("still");
    });
  });

  /** A signal that says how many wait for it. */
  class CountingSignal extends EventTarget implements AbortSignal {
    readonly aborted = false;
    readonly reason: unknown = undefined;
    onabort = null;
    listeners = 0;

    throwIfAborted(): void {
      // It never is.
    }

    override addEventListener(...call: Parameters<EventTarget["addEventListener"]>): void {
      this.listeners += 1;
      super.addEventListener(...call);
    }

    override removeEventListener(...call: Parameters<EventTarget["removeEventListener"]>): void {
      this.listeners -= 1;
      super.removeEventListener(...call);
    }
  }
});
