/** What happens to messages that a peer does not read: `send`, `drain`, `drained`, and the limit of the queue. */

import { describe, expect, test } from "bun:test";
import type { Connection, Handlers, ServeOptions } from "../../src/index.ts";

import { leaveNoTrace } from "../kit/no-trace.ts";
import { Scratch } from "../kit/scratch.ts";
import { overEach } from "../kit/transports.ts";
import { until } from "../kit/until.ts";

leaveNoTrace();

overEach(({ connect, deaf, serve }) => {
  const chunk = new Uint8Array(65_532);
  const chunkOnWire = 65_536;
  const high = 4 * chunkOnWire;

  async function source(rundir: string, options: ServeOptions, handlers: Handlers = {}) {
    const accepted: Connection[] = [];
    const service = await serve(
      "source",
      { open: (connection) => void accepted.push(connection), ...handlers },
      { rundir, queueBytesHigh: high, ...options },
    );
    const next = async () => {
      await until("somebody is accepted", () => accepted.length > 0);
      return accepted.shift()!;
    };
    return { service, next, [Symbol.asyncDispose]: () => service.close({ now: true }) };
  }

  function thrown(act: () => unknown): unknown {
    try {
      act();
    } catch (error) {
      return error;
    }
    return undefined;
  }

  describe("send", () => {
    test("what was queued is queued no more when the peer has read, and nobody has to ask for that", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      await using from = await source(rundir, { queueBytesHigh: 64 * chunkOnWire });
      let received = 0;
      const client = await connect("source", {
        rundir,
        message: (_, { length }) => {
          received += length;
        },
      });
      client.pause();
      const connection = await from.next();
      const count = 20;
      for (let sent = 0; sent < count; sent++) expect(connection.send(chunk)).toBe(true);
      await until("some of it waits", () => connection.queuedBytes > 0);
      client.resume();
      await until("all of it has come", () => received === count * chunk.length);
      await until("nothing waits", () => connection.queuedBytes === 0);
      await client.close();
    });

    test("says false beyond the mark, and drain follows when the peer has read", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      let drains = 0;
      await using from = await source(
        rundir,
        {},
        {
          drain(connection) {
            drains += 1;
            expect(connection.queuedBytes).toBeLessThanOrEqual(high);
          },
        },
      );
      const client = await connect("source", { rundir, queueBytesHigh: high });
      const connection = await from.next();
      let sent = 1;
      while (connection.send(chunk)) sent += 1;
      expect(connection.queuedBytes).toBeGreaterThan(high);
      expect(connection.queuedBytes).toBeLessThanOrEqual(high + chunkOnWire);
      // What it said false to was taken all the same.
      let read = 0;
      const reading = (async () => {
        for await (const message of client) read += message.length;
      })();
      await until("it is drained", () => drains === 1);
      expect(connection.send(chunk)).toBe(true);
      await connection.close();
      await reading;
      expect(read).toBe((sent + 1) * chunk.length);
      expect(drains).toBe(1);
    });

    test("says true for as long as the kernel takes everything", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      let received = 0;
      await using _ = await serve(
        "sink",
        {
          message: () => {
            received += 1;
          },
        },
        { rundir },
      );
      let drains = 0;
      await using client = await connect("sink", {
        rundir,
        queueBytesHigh: 100,
        drain: () => {
          drains += 1;
        },
      });
      // Who was not answered yet may have to keep what he sends.
      client.send("first");
      await until("it has arrived", () => received === 1);
      received = 0;
      for (let count = 1; count <= 100; count++) {
        expect(client.send("0123456789".repeat(8))).toBe(true);
        if (count % 10 === 0) await until("they have arrived", () => received === count);
      }
      expect(drains).toBe(0);
    });

    test("from within drain goes on for ever", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      const total = 400;
      let sent = 0;
      const pump = (connection: Connection) => {
        while (sent < total) {
          sent += 1;
          if (!connection.send(chunk)) return;
        }
        void connection.close();
      };
      await using _ = await serve("source", { open: pump, drain: pump }, { rundir });
      const client = await connect("source", { rundir });
      let read = 0;
      for await (const message of client) read += message.length;
      expect(read).toBe(total * chunk.length);
    });
  });

  describe("a drain handler that throws", () => {
    test.each(["sync", "async"])("%s, has it told to error", async (kind) => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      const fault = new Error("in drain");
      const told: unknown[] = [];
      await using from = await source(
        rundir,
        {},
        {
          drain() {
            if (kind === "async") return Promise.reject(fault);
            throw fault;
          },
          error: (_, error) => void told.push(error),
        },
      );
      const client = await connect("source", { rundir });
      const connection = await from.next();
      while (connection.send(chunk));
      const reading = (async () => {
        for await (const _ of client);
      })();
      await until("it is told", () => told.length === 1);
      expect(told).toEqual([fault]);
      expect(connection.open).toBe(true);
      await connection.close();
      await reading;
    });
  });

  describe("drained", () => {
    test("resolves at once where there is room, and else when the peer has read", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      await using from = await source(rundir, {});
      const client = await connect("source", { rundir });
      const connection = await from.next();
      await connection.drained();
      while (connection.send(chunk));
      let waiting = 3;
      const waits = Array.from({ length: waiting }, async () => {
        await connection.drained();
        expect(connection.queuedBytes).toBeLessThanOrEqual(high);
        waiting -= 1;
      });
      for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate);
      // Nobody reads more than the unread mark of the client, which is as high as what is sent.
      while (waiting > 0 && connection.send(chunk));
      const reading = (async () => {
        for await (const _ of client);
      })();
      await Promise.all(waits);
      await connection.close();
      await reading;
    });

    test("rejects when the connection ends first", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      await using from = await source(rundir, {});
      const peer = await deaf("source", { rundir });
      const connection = await from.next();
      while (connection.send(chunk));
      const drained = connection.drained().catch((error: unknown) => error);
      await peer.close();
      expect(await drained).toMatchObject({ code: "ECONNRESET", service: "source" });
    });

    test("rejects when it is closed by this side", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      await using from = await source(rundir, {});
      await using _ = await deaf("source", { rundir });
      const connection = await from.next();
      while (connection.send(chunk));
      const drained = connection.drained().catch((error: unknown) => error);
      await connection.close({ now: true });
      expect(await drained).toMatchObject({ code: "ECONNRESET" });
      const late = await connection.drained().catch((error: unknown) => error);
      expect(late).toMatchObject({ code: "ECLOSED" });
    });
  });

  describe("the limit of the queue", () => {
    const limits = { messageBytesMax: 65_536, queueBytesMax: 16 * chunkOnWire };

    test("ends the connection of a peer that never reads, and of nobody else", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      await using from = await source(rundir, limits, {
        message: (connection, message) => void connection.send(message.bytes),
      });
      await using _ = await deaf("source", { rundir });
      const connection = await from.next();
      await using other = await connect("source", { rundir });
      let taken = 0;
      let refused: unknown;
      while (refused === undefined) {
        refused = thrown(() => connection.send(chunk));
        if (refused === undefined) taken += 1;
        expect(connection.queuedBytes).toBeLessThanOrEqual(limits.queueBytesMax + chunkOnWire);
      }
      expect(refused).toMatchObject({ code: "ECLOSED" });
      expect(connection.open).toBe(false);
      const { reason, lost } = await connection.ended;
      expect(reason).toBe("queue_limit");
      // All that was taken is either with the kernel or among the lost.
      const { messagesSent, messagesLost, reasons } = from.service.statistics();
      expect(messagesSent + messagesLost).toBe(taken);
      expect(lost.messages).toBe(messagesLost);
      expect(reasons).toEqual({ queue_limit: 1 });
      expect((await other.request("still")).text()).toBe("still");
    });

    test("makes send throw ENOBUFS where the policy is to refuse, and nothing is lost", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      await using from = await source(rundir, { ...limits, queuePolicy: "refuse" });
      const client = await connect("source", { rundir, queueBytesHigh: high });
      const connection = await from.next();
      let taken = 0;
      let refused: unknown;
      while (refused === undefined) {
        refused = thrown(() => connection.send(chunk));
        if (refused === undefined) taken += 1;
      }
      expect(refused).toMatchObject({ code: "ENOBUFS", service: "source" });
      await expect(connection.request(chunk)).rejects.toMatchObject({ code: "ENOBUFS" });
      expect(connection.open).toBe(true);
      expect(connection.queuedBytes).toBeLessThanOrEqual(limits.queueBytesMax);
      expect(connection.queuedBytes).toBeGreaterThan(limits.queueBytesMax - 2 * chunkOnWire);
      let read = 0;
      const reading = (async () => {
        for await (const message of client) {
          expect(message.length).toBe(chunk.length);
          read += 1;
        }
      })();
      await connection.drained();
      connection.send(chunk);
      await connection.close();
      await reading;
      expect(read).toBe(taken + 1);
    });

    test("counts each connection for itself", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      await using from = await source(rundir, { ...limits, queuePolicy: "refuse" });
      const peers = await Promise.all([1, 2, 3].map(() => deaf("source", { rundir })));
      let queued = 0;
      for (const _ of peers) {
        const connection = await from.next();
        while (thrown(() => connection.send(chunk)) === undefined);
        expect(connection.queuedBytes).toBeGreaterThan(limits.queueBytesMax - 2 * chunkOnWire);
        queued += connection.queuedBytes;
      }
      expect(from.service.statistics().queuedBytes).toBe(queued);
      await Promise.all(peers.map((peer) => peer.close()));
    });
  });
});
