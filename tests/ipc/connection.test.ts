/** One end of a conversation: what can be sent, how long it may be, how it ends, and what it counts. */

import { describe, expect, test } from "bun:test";
import type { Connection, Handlers, Payload } from "../../src/index.ts";
import { IpcError, serve } from "../../src/index.ts";
import { leaveNoTrace } from "../kit/no-trace.ts";
import { pattern } from "../kit/random.ts";
import { RawPeer } from "../kit/raw-peer.ts";
import { Scratch } from "../kit/scratch.ts";
import { overEach } from "../kit/transports.ts";
import { until } from "../kit/until.ts";

leaveNoTrace();

overEach(({ connect, deaf, serve }) => {
  const echo: Handlers = { message: (connection, message) => void connection.send(message.bytes) };

  function thrown(act: () => unknown): unknown {
    try {
      act();
    } catch (error) {
      return error;
    }
    return undefined;
  }

  describe("what is sent", () => {
    const shared = pattern(1000);
    const cases: [string, Payload, Uint8Array][] = [
      ["an empty text", "", new Uint8Array()],
      ["an empty array", new Uint8Array(), new Uint8Array()],
      ["an empty buffer", new ArrayBuffer(0), new Uint8Array()],
      ["text", "hello", Buffer.from("hello")],
      ["text of two, three and four bytes", "é€😀𝄞", Buffer.from("é€😀𝄞")],
      ["long text of four bytes", "😀".repeat(50_000), Buffer.from("😀".repeat(50_000))],
      ["half of a pair", "a\ud83db", Buffer.from("a\ufffdb")],
      ["zero bytes", "a\0b\0", Buffer.from("a\0b\0")],
      ["an array", pattern(300), pattern(300)],
      ["a part of an array", shared.subarray(100, 200), shared.slice(100, 200)],
      ["a long part of an array", pattern(200_000).subarray(7), pattern(200_000).slice(7)],
      ["a Buffer", Buffer.from("buffer"), Buffer.from("buffer")],
      ["an ArrayBuffer", pattern(77).buffer as ArrayBuffer, pattern(77)],
      ["a megabyte", pattern(1024 * 1024), pattern(1024 * 1024)],
    ];

    test.each(cases)("%s arrives as its bytes, at both ends", async (_, payload, bytes) => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      const received: Uint8Array[] = [];
      await using service = await serve(
        "pong",
        {
          message(connection, message) {
            received.push(message.copy().bytes);
            connection.send(message.bytes);
          },
        },
        { rundir },
      );
      await using client = await connect("pong", { rundir });
      const answer = await client.request(payload);
      expect(Buffer.compare(received[0]!, bytes)).toBe(0);
      expect(Buffer.compare(answer.bytes, bytes)).toBe(0);
      expect(service.statistics().bytesReceived).toBe(bytes.length + 4);
    });

    test("goes in order, whatever its size", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      const lengths: number[] = [];
      await using _ = await serve(
        "sink",
        { message: (__, message) => void lengths.push(message.length) },
        { rundir },
      );
      const sizes = [0, 1, 127, 128, 255, 256, 40_000, 3, 65_535, 65_536, 0, 500_000, 2];
      await using client = await connect("sink", { rundir });
      for (const size of sizes) client.send(pattern(size));
      await until("all have arrived", () => lengths.length === sizes.length);
      expect(lengths).toEqual(sizes);
    });

    test("may be changed as soon as it was handed over", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      await using _ = await serve("pong", echo, { rundir });
      await using client = await connect("pong", { rundir });
      const small = Buffer.from("small");
      const large = new Uint8Array(4 * 1024 * 1024).fill(1);
      const answers = [client.request(small), client.request(large)];
      small.fill(0);
      large.fill(0);
      const [first, second] = await Promise.all(answers);
      expect(first!.text()).toBe("small");
      expect(second!.bytes.every((byte) => byte === 1)).toBe(true);
    });

    test("is a view at the other end, which says so when it is read too late", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      const read = Promise.withResolvers<unknown>();
      const later = Promise.withResolvers<void>();
      await using _ = await serve(
        "late",
        {
          async message(connection, message) {
            const kept = message.copy();
            expect(kept.text()).toBe("hello");
            connection.send("go on");
            await later.promise;
            read.resolve([kept.text(), thrown(() => message.text())]);
          },
        },
        { rundir },
      );
      await using client = await connect("late", { rundir });
      // There has been another wait, since something else has come.
      await client.request("hello");
      later.resolve();
      const [kept, error] = (await read.promise) as [string, unknown];
      expect(kept).toBe("hello");
      expect(error).toMatchObject({ code: "ESTALE" });
    });
  });

  describe("the longest message", () => {
    test("passes, and one byte more is refused by who sends it", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      const limits = { messageBytesMax: 1000 };
      await using _ = await serve("pong", echo, { rundir, ...limits });
      await using client = await connect("pong", { rundir, ...limits });
      const longest: Payload[] = [pattern(1000), "x".repeat(1000), "😀".repeat(250)];
      for (const payload of longest) expect((await client.request(payload)).length).toBe(1000);
      const tooLong: Payload[] = [pattern(1001), "x".repeat(1001), `${"😀".repeat(250)}x`];
      for (const payload of tooLong) {
        const error = thrown(() => client.send(payload));
        expect(error).toBeInstanceOf(IpcError);
        expect(error).toMatchObject({ code: "EMSGSIZE", service: "pong" });
        expect((error as Error).message).toContain("1001 bytes");
        await expect(client.request(payload)).rejects.toMatchObject({ code: "EMSGSIZE" });
      }
      expect((await client.request("still")).text()).toBe("still");
      expect(client.statistics()).toMatchObject({ messagesSent: 4, messagesReceived: 4 });
    });

    test("of the receiver counts where the sender allows more", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      await using service = await serve("pong", echo, { rundir, messageBytesMax: 1000 });
      await using other = await connect("pong", { rundir });
      const client = await connect("pong", { rundir });
      expect((await client.request(pattern(1000))).length).toBe(1000);
      client.send(pattern(1001));
      // Sealed, it is seen that the service has not said that it ends.
      expect((await client.ended).reason).toMatch(/^(peer_closed|peer_reset|truncated)$/);
      expect(service.statistics().reasons).toEqual({ message_too_long: 1 });
      expect((await other.request("still")).text()).toBe("still");
    });

    test("is sixteen megabytes unless it is said otherwise", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      const longest = 16 * 1024 * 1024;
      await using _ = await serve("pong", echo, { rundir });
      await using client = await connect("pong", { rundir });
      const bytes = new Uint8Array(longest + 1);
      bytes[longest - 1] = 7;
      const answer = await client.request(bytes.subarray(0, longest));
      expect([answer.length, answer.bytes.at(-1)]).toEqual([longest, 7]);
      expect(thrown(() => client.send(bytes))).toMatchObject({ code: "EMSGSIZE" });
    });
  });

  describe("close", () => {
    test("lets nothing more be sent, and ends once", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      await using _ = await serve("pong", echo, { rundir });
      let ends = 0;
      const client = await connect("pong", {
        rundir,
        close: () => {
          ends += 1;
        },
      });
      const closed = client.close();
      expect(client.open).toBe(false);
      const being = thrown(() => client.send("too late"));
      expect(being).toMatchObject({ code: "ECLOSED", service: "pong" });
      expect((being as Error).message).toContain("being closed");
      await Promise.all([closed, client.close(), client.close({ now: true })]);
      const end = await client.ended;
      expect(end).toEqual({
        reason: "closed",
        errno: 0,
        lost: { messages: 0, bytes: 0, requests: 0 },
      });
      const over = thrown(() => client.send("too late"));
      expect(over).toMatchObject({ code: "ECLOSED" });
      expect((over as Error).message).toContain("closed (closed)");
      await client.close();
      expect(ends).toBe(1);
    });

    test("sends all that was taken before", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      const texts: string[] = [];
      let over = false;
      await using _ = await serve(
        "sink",
        {
          message: (__, message) => void texts.push(message.text()),
          close: () => {
            over = true;
          },
        },
        { rundir },
      );
      const sent = Array.from({ length: 5000 }, (__, index) => `${index}`.padEnd(1000));
      {
        await using client = await connect("sink", { rundir });
        for (const text of sent) client.send(text);
      }
      await until("the end has arrived", () => over);
      expect(texts).toEqual(sent);
    });

    test("now loses what waits, and says how much", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      let accepted: Connection | undefined;
      await using service = await serve(
        "source",
        {
          open: (connection) => {
            accepted = connection;
          },
        },
        { rundir },
      );
      await using _ = await deaf("source", { rundir });
      await until("it is accepted", () => accepted !== undefined);
      const connection = accepted!;
      while (connection.send(new Uint8Array(65_532)));
      const { messagesSent, queuedBytes } = connection.statistics();
      const waiting = connection.queuedBytes;
      expect(waiting).toBe(queuedBytes);
      await connection.close({ now: true });
      const { reason, lost } = await connection.ended;
      expect(reason).toBe("closed");
      // One of them may have gone in part.
      expect(lost.bytes).toBe(waiting);
      expect(lost.messages).toBe(Math.ceil(waiting / 65_536));
      expect(connection.queuedBytes).toBe(0);
      expect(service.statistics()).toMatchObject({ messagesSent, messagesLost: lost.messages });
    });

    test("waits no longer than drainTimeout for a peer that does not read", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      let accepted: Connection | undefined;
      await using __ = await serve(
        "source",
        {
          open: (connection) => {
            accepted = connection;
          },
        },
        { rundir, drainTimeout: 1 },
      );
      await using _ = await deaf("source", { rundir });
      await until("it is accepted", () => accepted !== undefined);
      const connection = accepted!;
      while (connection.send(new Uint8Array(65_532)));
      await connection.close();
      expect((await connection.ended).lost.messages).toBeGreaterThan(0);
    });

    test("by the other side is told, after all it had sent", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      await using _ = await serve(
        "brief",
        {
          open(connection) {
            connection.send("first and last");
            void connection.close();
          },
        },
        { rundir },
      );
      const told: string[] = [];
      const client = await connect("brief", {
        rundir,
        message: (__, message) => void told.push(message.text()),
        close: (__, { reason }) => void told.push(reason),
      });
      await client.ended;
      expect(told).toEqual(["first and last", "peer_closed"]);
      expect(thrown(() => client.send("anybody?"))).toMatchObject({ code: "ECLOSED" });
    });
  });

  describe("statistics", () => {
    test("count messages and bytes on the wire, and are kept when it is closed", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      await using _ = await serve("pong", echo, { rundir });
      const client = await connect("pong", { rundir });
      for (const text of ["", "12345", "é"]) await client.request(text);
      const expected = {
        messagesReceived: 3,
        messagesSent: 3,
        bytesReceived: 19,
        bytesSent: 19,
        queuedBytes: 0,
        messagesLost: 0,
      };
      expect(client.statistics()).toMatchObject({ ...expected, connectionsOpen: 1 });
      client.send("the last");
      await client.close();
      expect(client.statistics()).toMatchObject({ messagesSent: 4, bytesSent: 31 });
    });
  });
});

test("figures can be asked for wherever its end may be on its way", async () => {
  using scratch = new Scratch();
  const { path: rundir } = scratch;
  const counts: number[] = [];
  const errors: unknown[] = [];
  const count = (connection: Connection) =>
    void counts.push(connection.statistics().messagesReceived);
  await using service = await serve(
    "counter",
    { open: count, message: count, close: count, error: (_, error) => void errors.push(error) },
    { rundir, messageBytesMax: 8 },
  );
  using peer = await RawPeer.connect(service.path);
  // A message and the end of it all, in one read.
  peer.write(Buffer.from("\0\0\0\u0001x\u007f\0\0\0", "latin1"));
  await peer.gone();
  await until("the end is told", () => service.connections.size === 0);
  expect(errors).toEqual([]);
  expect(counts).toHaveLength(3);
});
