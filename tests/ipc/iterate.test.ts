/** `for await (const message of connection)`: all of them, in order, at the reader's own pace. */

import { describe, expect, test } from "bun:test";
import type { Connection, Handlers } from "../../src/index.ts";

import { frame, header } from "../kit/frames.ts";
import { leaveNoTrace } from "../kit/no-trace.ts";
import { RawPeer } from "../kit/raw-peer.ts";
import { Scratch } from "../kit/scratch.ts";
import { overEach } from "../kit/transports.ts";
import { until } from "../kit/until.ts";

leaveNoTrace();

overEach(({ connect, serve, testOpen }) => {
  const echo: Handlers = { message: (connection, message) => void connection.send(message.bytes) };

  /** A service and the connections it has accepted, for what begins at its side. */
  async function source(rundir: string, limits: { queueBytesHigh?: number } = {}) {
    const accepted: Connection[] = [];
    const service = await serve(
      "source",
      { open: (connection) => void accepted.push(connection) },
      { rundir, ...limits },
    );
    const next = async () => {
      await until("somebody is accepted", () => accepted.length > 0);
      return accepted.shift()!;
    };
    return { service, next, [Symbol.asyncDispose]: () => service.close() };
  }

  async function texts(connection: Connection): Promise<string[]> {
    const read: string[] = [];
    for await (const message of connection) read.push(message.text());
    return read;
  }

  describe("an iteration", () => {
    test("has every message in order, and ends with the connection", async () => {
      using scratch = new Scratch();
      await using from = await source(scratch.path);
      const client = await connect("source", { rundir: scratch.path });
      const connection = await from.next();
      const sent = Array.from({ length: 10_000 }, (_, index) => `message ${index}`);
      for (const text of sent) connection.send(text);
      const read = texts(client);
      await connection.close();
      expect(await read).toEqual(sent);
    });

    test("has what came before it began, and after the end", async () => {
      using scratch = new Scratch();
      await using from = await source(scratch.path);
      const client = await connect("source", { rundir: scratch.path });
      const connection = await from.next();
      for (const text of ["one", "", "three"]) connection.send(text);
      await connection.close();
      await client.ended;
      expect(await texts(client)).toEqual(["one", "", "three"]);
      expect(await texts(client)).toEqual([]);
    });

    test("has messages with bytes of their own", async () => {
      using scratch = new Scratch();
      await using from = await source(scratch.path);
      const client = await connect("source", { rundir: scratch.path });
      const connection = await from.next();
      for (let count = 0; count < 100; count++) connection.send(new Uint8Array(1000).fill(count));
      void connection.close();
      const kept: Uint8Array[] = [];
      for await (const message of client) kept.push(message.bytes);
      expect(kept.every((bytes, index) => bytes.every((byte) => byte === index))).toBe(true);
      expect(kept.length).toBe(100);
    });

    test("can be left, and taken up again where it was", async () => {
      using scratch = new Scratch();
      await using from = await source(scratch.path);
      await using client = await connect("source", { rundir: scratch.path });
      const connection = await from.next();
      for (const text of ["a", "b", "c", "d"]) connection.send(text);
      const read: string[] = [];
      for (let round = 0; round < 2; round++) {
        for await (const message of client) {
          read.push(message.text());
          if (read.length % 2 === 0) break;
        }
      }
      expect(read).toEqual(["a", "b", "c", "d"]);
      expect(client.open).toBe(true);
    });

    test("goes on beside requests, which take their answers for themselves", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      await using _ = await serve("pong", echo, { rundir });
      const client = await connect("pong", { rundir });
      client.send("for the reader");
      const read = texts(client);
      await until("it is there", () => client.statistics().messagesReceived === 1);
      expect((await client.request("for me")).text()).toBe("for me");
      await client.close();
      expect(await read).toEqual(["for the reader"]);
    });

    test("is there for a service's connections too", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      await using _ = await serve(
        "upper",
        {
          async open(connection) {
            for await (const message of connection) connection.send(message.text().toUpperCase());
          },
        },
        { rundir },
      );
      await using client = await connect("upper", { rundir });
      expect((await client.request("loud")).text()).toBe("LOUD");
      expect((await client.request("louder")).text()).toBe("LOUDER");
    });

    test("ends when it waits while its own side closes", async () => {
      using scratch = new Scratch();
      await using _ = await source(scratch.path);
      const client = await connect("source", { rundir: scratch.path });
      const read = texts(client);
      await client.close();
      expect(await read).toEqual([]);
    });

    test("that waits and one that comes later share what arrives", async () => {
      using scratch = new Scratch();
      await using from = await source(scratch.path);
      const client = await connect("source", { rundir: scratch.path });
      const connection = await from.next();
      const readers = [texts(client), texts(client)];
      const sent = Array.from({ length: 100 }, (_, index) => `${index}`);
      for (const text of sent) connection.send(text);
      await connection.close();
      const read = (await Promise.all(readers)).flat();
      expect(read.toSorted((a, b) => Number(a) - Number(b))).toEqual(sent);
    });
  });

  describe("an end that is not in order", () => {
    testOpen("throws after all that had come whole", async () => {
      using scratch = new Scratch();
      await using from = await source(scratch.path);
      using peer = await RawPeer.connect(from.service.path);
      const connection = await from.next();
      peer.write(frame("whole"));
      peer.write(header(0xffffffff));
      await peer.gone();
      const read: string[] = [];
      const reading = (async () => {
        for await (const message of connection) read.push(message.text());
      })();
      const error = await reading.catch((reason: unknown) => reason);
      expect(error).toMatchObject({ code: "ECONNRESET", service: "source" });
      expect((error as Error).message).toContain("message_too_long");
      expect(read).toEqual(["whole"]);
    });

    testOpen("in the middle of a message is one", async () => {
      using scratch = new Scratch();
      await using from = await source(scratch.path);
      using peer = await RawPeer.connect(from.service.path);
      const connection = await from.next();
      const reading = texts(connection);
      peer.write(frame("whole"));
      peer.write(header(10));
      await peer.written();
      peer.endWriting();
      await expect(reading).rejects.toMatchObject({ code: "ECONNRESET" });
      expect((await connection.ended).reason).toBe("truncated");
    });
  });

  describe("a slow reader", () => {
    test("makes the peer wait, and still gets everything", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      const queueBytesHigh = 64 * 1024;
      await using from = await source(rundir, { queueBytesHigh });
      const client = await connect("source", { rundir, queueBytesHigh });
      const connection = await from.next();
      const length = 1000;
      let sent = 0;
      // Without anybody reading, this ends because the reader's side takes no more, not because it is done.
      const pump = async () => {
        for (; sent < 20_000; sent++) {
          if (!connection.send(`${sent}`.padEnd(length))) await connection.drained();
        }
        await connection.close();
      };
      const pumped = pump();
      // Until it stays so, however often the loop comes round.
      let stuckAt = -1;
      while (stuckAt !== sent) {
        stuckAt = sent;
        for (let turn = 0; turn < 100; turn++) await new Promise(setImmediate);
      }
      expect(sent).toBeLessThan(20_000);
      // One read of the socket may bring more than the mark, and no more than the areas hold.
      expect(client.statistics().messagesReceived * length).toBeLessThan(4 * 1024 * 1024);

      let read = 0;
      for await (const message of client) {
        if (Number(message.text()) !== read)
          throw new Error(`${message.text()} instead of ${read}`);
        read += 1;
        const unread = client.statistics().messagesReceived - read;
        if (unread * length > 4 * 1024 * 1024) throw new Error(`${unread} are unread`);
      }
      expect(read).toBe(20_000);
      await pumped;
    });

    test("holds up nobody else", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      const queueBytesHigh = 64 * 1024;
      await using service = await serve("pong", echo, { rundir, queueBytesHigh });
      const slow = await connect("pong", { rundir, queueBytesHigh });
      await using quick = await connect("pong", { rundir });
      while (service.statistics().queuedBytes === 0) {
        slow.send(new Uint8Array(10_000));
        expect((await quick.request("quick")).text()).toBe("quick");
      }
      expect((await quick.request("still")).text()).toBe("still");
      await slow.close({ now: true });
    });

    test("can close without having read", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      await using from = await source(rundir);
      const client = await connect("source", { rundir, queueBytesHigh: 1000 });
      const connection = await from.next();
      while (connection.send(new Uint8Array(10_000)));
      await client.close();
      expect((await client.ended).reason).toBe("closed");
      const { reason, lost } = await connection.ended;
      expect(reason).toBe("peer_reset");
      expect(lost.messages).toBeGreaterThan(0);
    });

    testOpen("is told when its peer is gone, and still gets what there was", async () => {
      using scratch = new Scratch();
      await using from = await source(scratch.path, { queueBytesHigh: 1000 });
      using peer = await RawPeer.connect(from.service.path);
      const connection = await from.next();
      const sent = Array.from({ length: 50 }, (_, index) => `${index}`.padEnd(1000));
      peer.write(frame(sent[0]!));
      peer.write(frame(sent[1]!));
      await until("it makes its peer wait", () => connection.statistics().messagesReceived === 2);
      for (const text of sent.slice(2)) peer.write(frame(text));
      await peer.written();
      peer.close();
      expect((await connection.ended).reason).toBe("peer_closed");
      expect(await texts(connection)).toEqual(sent);
    });

    test("still has its requests answered", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      await using _ = await serve("pong", echo, { rundir });
      await using client = await connect("pong", { rundir, queueBytesHigh: 1000 });
      for (let index = 0; index < 10; index++) client.send(new Uint8Array(1000));
      await until("nobody reads", () => client.statistics().messagesReceived > 0);
      // All it has sent is answered in order, so this is what answers first.
      expect((await client.request("hello", { timeout: 20_000 })).length).toBeGreaterThan(0);
    });

    test("is bounded in empty messages too", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      await using from = await source(rundir, { queueBytesHigh: 4096 });
      const client = await connect("source", { rundir, queueBytesHigh: 6400 });
      const connection = await from.next();
      let sent = 0;
      const pump = async () => {
        for (; sent < 500_000; sent++) if (!connection.send("")) await connection.drained();
        await connection.close();
      };
      const pumped = pump();
      await until("the sender is made to wait", () => connection.queuedBytes > 4096);
      expect(sent).toBeLessThan(500_000);
      let read = 0;
      for await (const { length } of client) read += 1 + length;
      expect(read).toBe(500_000);
      await pumped;
    });
  });
});
