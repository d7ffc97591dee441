/** `connect`: finding a service, what its client is told, and how waiting for one ends. */

import { describe, expect, test } from "bun:test";
import type { Connection, End, Handlers } from "../../src/index.ts";
import { Context, IpcError } from "../../src/index.ts";
import { leaveNoTrace } from "../kit/no-trace.ts";
import { Scratch } from "../kit/scratch.ts";
import { overEach } from "../kit/transports.ts";
import { until } from "../kit/until.ts";

leaveNoTrace();

overEach(({ connect, serve, socket, testOpen }) => {
  const echo: Handlers = { message: (connection, message) => void connection.send(message.bytes) };

  describe("a client", () => {
    test("is told of its connection, the messages, and the end", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      const service = await serve("pong", echo, { rundir });
      const told: unknown[] = [];
      const client = await connect("pong", {
        rundir,
        open(connection) {
          told.push("open");
          connection.send("first");
        },
        message: (_, message) => void told.push(message.text()),
        close: (connection, { reason }) => void told.push(reason, connection.open),
      });
      expect(told).toEqual(["open"]);
      client.send("second");
      await until("both are back", () => told.length === 3);
      await service.close();
      await client.ended;
      expect(told).toEqual(["open", "first", "second", "peer_closed", false]);
    });

    test("knows whom it talks to", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      await using _ = await serve("pong", echo, { rundir });
      await using client = await connect("pong", { rundir });
      const { pid } = process;
      expect(client.peer).toMatchObject({ uid: process.getuid!(), gid: process.getgid!(), pid });
      expect(client.service).toBe("pong");
      expect(client.open).toBe(true);
    });

    test.each(["open", "message", "close"] as const)(
      "has what its %s handler throws told to its error handler",
      async (name) => {
        using scratch = new Scratch();
        const { path: rundir } = scratch;
        await using _ = await serve("pong", echo, { rundir });
        for (const kind of ["sync", "async"]) {
          const fault = new Error(kind);
          const told: unknown[] = [];
          const client = await connect("pong", {
            rundir,
            [name]: () => {
              if (kind === "async") return Promise.reject(fault);
              throw fault;
            },
            error: (_, error) => void told.push(error),
          });
          client.send("back and forth");
          if (name === "message") await until("it is told", () => told.length === 1);
          await client.close();
          await until("it is told", () => told.length === 1);
          expect(told).toEqual([fault]);
        }
      },
    );

    test("of many is served like the others", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      await using service = await serve("pong", echo, { rundir });
      const clients = await Promise.all(
        Array.from({ length: 200 }, () => connect("pong", { rundir })),
      );
      const answers = await Promise.all(clients.map((client, index) => client.request(`${index}`)));
      expect(answers.map((answer) => answer.text())).toEqual(clients.map((_, index) => `${index}`));
      expect(service.statistics().connectionsOpen).toBe(200);
      await Promise.all(clients.map((client) => client.close()));
    });
  });

  describe("without a service", () => {
    test("it is said where none was found", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      const error = await connect("nobody", { rundir }).catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(IpcError);
      expect(error).toMatchObject({ code: "ENOENT", service: "nobody" });
      expect((error as Error).message).toContain(rundir);
    });

    test("nothing is tried again unless there has been one", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      const lonely = connect("nobody", { rundir, reconnect: true });
      await expect(lonely).rejects.toMatchObject({ code: "ENOENT" });
    });

    test("options that do not go together are an error all the same", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      const wrong = connect("nobody", { rundir, messageBytesMax: 100, queueBytesMax: 10 });
      await expect(wrong).rejects.toMatchObject({ code: "EINVAL" });
    });
  });

  describe("a service without room", () => {
    /** One that does not accept, with as many connections as wait for it. */
    async function crowd(context: Context, rundir: string): Promise<Connection[]> {
      context.serve(socket("crowded"), { backlog: 1 });
      const waiting: Connection[] = [];
      let error: unknown;
      while (error === undefined) {
        await connect("crowded", { rundir, timeout: 0 }).then(
          (connection) => waiting.push(connection),
          (reason: unknown) => {
            error = reason;
          },
        );
      }
      expect(error).toMatchObject({ code: "EBUSY", service: "crowded" });
      return waiting;
    }

    testOpen("is waited for until it has some", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      using context = new Context({ rundir });
      const waiting = await crowd(context, rundir);
      const late = connect("crowded", { rundir });
      const accept = setInterval(() => context.wait(0), 1);
      const client = await late;
      clearInterval(accept);
      expect(client.open).toBe(true);
      context.close();
      for (const { ended } of [...waiting, client]) {
        expect((await ended).reason).toMatch(/^peer_/);
      }
    });

    testOpen("is not waited for when the signal aborts", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      using context = new Context({ rundir });
      const waiting = await crowd(context, rundir);
      const controller = new AbortController();
      const late = connect("crowded", { rundir, signal: controller.signal });
      controller.abort("enough");
      expect(await late.catch((reason: unknown) => reason)).toBe("enough");
      await Promise.all(waiting.map((connection) => connection.close()));
    });
  });

  describe("a signal", () => {
    test("that is aborted already keeps it from connecting", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      await using service = await serve("pong", echo, { rundir });
      const signal = AbortSignal.abort("before");
      const outcome = await connect("pong", { rundir, signal }).catch((error: unknown) => error);
      expect(outcome).toBe("before");
      await using client = await connect("pong", { rundir });
      await client.request("the next one");
      expect(service.statistics().connectionsAccepted).toBe(1);
    });

    test("that aborts on the way leaves no connection behind", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      const ends: End[] = [];
      await using service = await serve(
        "pong",
        { ...echo, close: (_, end) => void ends.push(end) },
        { rundir },
      );
      const controller = new AbortController();
      const connecting = connect("pong", { rundir, signal: controller.signal });
      controller.abort("on the way");
      expect(await connecting.catch((error: unknown) => error)).toBe("on the way");
      await using client = await connect("pong", { rundir });
      await client.request("the next one");
      await until("the first one is gone", () => service.connections.size === 1);
    });

    test("closes the connection later, and nobody else's", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      await using _ = await serve("pong", echo, { rundir });
      const controller = new AbortController();
      const client = await connect("pong", { rundir, signal: controller.signal });
      await using other = await connect("pong", { rundir });
      await client.request("there");
      controller.abort();
      expect(client.open).toBe(false);
      expect((await client.ended).reason).toBe("closed");
      expect((await other.request("still")).text()).toBe("still");
    });
  });
});
