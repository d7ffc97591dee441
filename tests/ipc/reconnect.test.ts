/** `reconnect`: a service goes and comes back, and its client says what that has cost. */

import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import type { Connection, ConnectOptions, End, Handlers, Lost } from "../../src/index.ts";

import { Command } from "../kit/command.ts";
import { leaveNoTrace } from "../kit/no-trace.ts";
import { Scratch } from "../kit/scratch.ts";
import { overEach } from "../kit/transports.ts";
import { until } from "../kit/until.ts";

leaveNoTrace();

/** Only Linux is asked, where it has been seen to matter. */
function isStopped(pid: number): boolean {
  if (process.platform !== "linux") return true;
  return /\) [Tt] /.test(readFileSync(`/proc/${pid}/stat`, "latin1"));
}

overEach(({ connect, serve, transport }) => {
  const echo: Handlers = { message: (connection, message) => void connection.send(message.bytes) };
  const quick = { first: 1, most: 4 };
  const nothing: Lost = { messages: 0, bytes: 0, requests: 0 };

  /** A client and what it is told. */
  async function persistent(rundir: string, options: ConnectOptions = {}) {
    const told: [string, (End | Lost)?][] = [];
    const client = await connect("pong", {
      rundir,
      reconnect: quick,
      open: () => void told.push(["open"]),
      disconnected: (_, end) => void told.push(["disconnected", end]),
      reconnected: (_, lost) => void told.push(["reconnected", lost]),
      close: (_, end) => void told.push(["close", end]),
      ...options,
    });
    const heard = (what: string) =>
      until(
        () => `it is told of ${what} after ${JSON.stringify(told)}`,
        () => told.some(([name]) => name === what),
      );
    return { client, told, heard };
  }

  describe("a service that comes back", () => {
    test("is found again, round after round", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      let service = await serve("pong", echo, { rundir });
      const { client, told, heard } = await persistent(rundir);
      const rounds = 5;
      for (let round = 0; round < rounds; round++) {
        expect((await client.request(`${round}`)).text()).toBe(`${round}`);
        told.length = 0;
        await service.close();
        await heard("disconnected");
        expect(client.open).toBe(true);
        service = await serve("pong", echo, { rundir });
        await heard("reconnected");
        expect(told).toEqual([
          ["disconnected", { reason: "peer_closed", errno: 0, lost: nothing }],
          ["reconnected", nothing],
        ]);
      }
      expect(client.peer.pid).toBe(process.pid);
      await client.close();
      expect(told.at(-1)).toEqual(["close", { reason: "closed", errno: 0, lost: nothing }]);
      await service.close();
    });

    test("gets what was sent meanwhile, in order, requests among it", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      const first = await serve("pong", echo, { rundir });
      const { client, heard } = await persistent(rundir);
      await first.close();
      await heard("disconnected");
      expect(client.send("one")).toBe(true);
      const two = client.request(Buffer.from("two"));
      expect(client.send("three")).toBe(true);
      expect(client.queuedBytes).toBe(4 * 3 + "onetwothree".length);
      const texts: string[] = [];
      await using _ = await serve(
        "pong",
        {
          message(connection, message) {
            texts.push(message.text());
            if (texts.length === 2) connection.send("the answer");
          },
        },
        { rundir },
      );
      await until("all have arrived", () => texts.length === 3);
      expect(texts).toEqual(["one", "two", "three"]);
      expect((await two).text()).toBe("the answer");
      expect(client.queuedBytes).toBe(0);
      await client.close();
    });

    test("has requests rejected that it had not answered, and they are counted", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      const first = await serve("pong", {}, { rundir });
      const { client, told, heard } = await persistent(rundir);
      const waiting = [client.request("a"), client.request("b")].map((request) =>
        request.catch((error: unknown) => error),
      );
      await until("they have arrived", () => first.statistics().messagesReceived === 2);
      await first.close();
      for (const request of waiting) {
        expect(await request).toMatchObject({ code: "ECONNRESET", service: "pong" });
      }
      await using _ = await serve("pong", echo, { rundir });
      await heard("reconnected");
      expect(told.at(-1)).toEqual(["reconnected", { messages: 0, bytes: 0, requests: 2 }]);
      expect((await client.request("c")).text()).toBe("c");
      await client.close();
    });

    test("says what the one that was killed never got", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      const program = new URL("programs/deaf-service.ts", import.meta.url);
      const words = [process.execPath, Bun.fileURLToPath(program), rundir, transport];
      await using command = new Command(words, { keyboard: true });
      await command.says("listening");
      const { client, told, heard } = await persistent(rundir);
      await command.says("accepted");
      command.signal("SIGSTOP");
      // On another processor it may still be reading when the signal was sent.
      await until("it stands still", () => isStopped(command.pid));
      while (client.send(new Uint8Array(65_532)));
      const { queuedBytes } = client;
      await command.end("SIGKILL");
      await heard("disconnected");
      const end = told.at(-1)![1] as End;
      expect(end.reason).toBe("peer_reset");
      expect(end.lost.bytes).toBe(queuedBytes);
      expect(end.lost.messages).toBe(Math.ceil(queuedBytes / 65_536));
      await using _ = await serve("pong", echo, { rundir });
      await heard("reconnected");
      expect(told.at(-1)).toEqual(["reconnected", end.lost]);
      expect((await client.request("and now")).text()).toBe("and now");
      await client.close();
    });

    test("is iterated on as if it had never been away", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      const texts: string[] = [];
      const greet = (text: string): Handlers => ({
        open: (connection) => void connection.send(text),
      });
      const first = await serve("pong", greet("first"), { rundir });
      const { client } = await persistent(rundir);
      const reading = (async () => {
        for await (const message of client) texts.push(message.text());
      })();
      await until("the first has spoken", () => texts.length === 1);
      await first.close();
      await using _ = await serve("pong", greet("second"), { rundir });
      await until("the second has spoken", () => texts.length === 2);
      await client.close();
      await reading;
      expect(texts).toEqual(["first", "second"]);
    });
  });

  describe("while it is away", () => {
    /** A client whose service has gone. */
    async function bereft(rundir: string, options: ConnectOptions = {}) {
      const service = await serve("pong", echo, { rundir });
      const all = await persistent(rundir, options);
      await service.close();
      await all.heard("disconnected");
      return all;
    }

    const seldom = { first: 1_000_000, most: 1_000_000 };

    test("send says false beyond the mark, and throws where the queue is full", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      let drains = 0;
      const { client, told } = await bereft(rundir, {
        messageBytesMax: 96,
        queueBytesHigh: 200,
        queueBytesMax: 400,
        drain: () => {
          drains += 1;
        },
      });
      const bytes = new Uint8Array(96);
      const said = [1, 2, 3, 4].map(() => client.send(bytes));
      expect(said).toEqual([true, true, false, false]);
      expect(() => client.send(bytes)).toThrow("ENOBUFS");
      expect(() => client.send(new Uint8Array(97))).toThrow("EMSGSIZE");
      await expect(client.request(bytes)).rejects.toMatchObject({ code: "ENOBUFS" });
      expect(client.open).toBe(true);
      const drained = client.drained();
      await using service = await serve("pong", {}, { rundir });
      await drained;
      await until("they have arrived", () => service.statistics().messagesReceived === 4);
      expect(drains).toBe(1);
      expect(told.at(-1)).toEqual(["reconnected", nothing]);
      await client.close();
    });

    test("close ends it at once, and says what was kept in vain", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      const { client, told } = await bereft(rundir, { reconnect: seldom });
      client.send("kept");
      const request = client.request("kept too").catch((error: unknown) => error);
      await client.close();
      expect(await request).toMatchObject({ code: "ECONNRESET" });
      const lost = { messages: 2, bytes: 20, requests: 1 };
      expect(told.at(-1)).toEqual(["close", { reason: "closed", errno: 0, lost }]);
      expect(() => client.send("more")).toThrow("ECLOSED");
    });

    test("a signal ends it too", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      const controller = new AbortController();
      const { client } = await bereft(rundir, { reconnect: seldom, signal: controller.signal });
      controller.abort();
      expect((await client.ended).reason).toBe("closed");
    });

    test("a client that is closed holds no process", async () => {
      using scratch = new Scratch();
      const program = new URL("programs/bereft-client.ts", import.meta.url);
      const words = [process.execPath, Bun.fileURLToPath(program), scratch.path];
      await using command = new Command(words);
      expect(await command.whenEnded()).toMatchObject({ code: 0, stdout: "closed\n", stderr: "" });
    });

    test("a timeout gives a request up, and its answer is dropped in its turn", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      const { client } = await bereft(rundir);
      const first = client.request("first", { timeout: 1 }).catch((error: unknown) => error);
      expect(await first).toMatchObject({ code: "ETIMEDOUT" });
      const second = client.request("second");
      await using _ = await serve("pong", echo, { rundir });
      expect((await second).text()).toBe("second");
      await client.close();
    });
  });

  describe("attempts", () => {
    test("that are used up end it, with all that was lost", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      const service = await serve("pong", {}, { rundir });
      let held: Promise<unknown> | undefined;
      const { client, told } = await persistent(rundir, {
        reconnect: { first: 1, most: 1, attempts: 2 },
        disconnected(connection) {
          connection.send("kept");
          held = connection.request("kept too").catch((error: unknown) => error);
        },
      });
      const asked = client.request("asked").catch((error: unknown) => error);
      await until("it has arrived", () => service.statistics().messagesReceived === 1);
      await service.close();
      const reading = (async () => {
        for await (const _ of client);
      })();
      const end = await client.ended;
      expect(end).toEqual({
        reason: "peer_closed",
        errno: 0,
        lost: { messages: 2, bytes: 20, requests: 2 },
      });
      expect(told.map(([name]) => name)).toEqual(["open", "close"]);
      for (const error of [await asked, await held]) {
        expect(error).toMatchObject({ code: "ECONNRESET" });
      }
      await reading;
      expect(client.open).toBe(false);
    });

    test("begin anew each time", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      let service = await serve("pong", echo, { rundir });
      const { client, told, heard } = await persistent(rundir, {
        reconnect: { first: 20, most: 20, attempts: 1 },
      });
      for (let round = 0; round < 3; round++) {
        told.length = 0;
        expect((await client.request("there")).text()).toBe("there");
        // The name is free before the client can know that its service is gone.
        const closed = service.close();
        service = await serve("pong", echo, { rundir });
        await heard("reconnected");
        await closed;
      }
      await client.request("there");
      await service.close();
      expect((await client.ended).reason).toBe("peer_closed");
    });
  });

  describe("handlers that throw", () => {
    test("have it told to error, and the service is looked for all the same", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      const faults: string[] = [];
      const first = await serve("pong", echo, { rundir });
      const client: Connection = await connect("pong", {
        rundir,
        reconnect: quick,
        disconnected: () => {
          throw new Error("disconnected");
        },
        reconnected: () => Promise.reject(new Error("reconnected")),
        error: (_, error) => void faults.push((error as Error).message),
      });
      await first.close();
      await until("the first is told", () => faults.length === 1);
      await using _ = await serve("pong", echo, { rundir });
      await until("both are told", () => faults.length === 2);
      expect(faults).toEqual(["disconnected", "reconnected"]);
      expect((await client.request("still")).text()).toBe("still");
      await client.close();
    });
  });
});
