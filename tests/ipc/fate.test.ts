/**
 * What becomes of what was handed over when things go wrong in between: an answer reaches the request that asked for
 * it or none, and a message that was taken is sent or counted.
 *
 * The other end is a context in this thread, so that it is gone at a moment of the test's choosing, and whoever uses
 * Bun's loop hears of it only when the test next awaits something.
 */

import { describe, expect, test } from "bun:test";
import type { Connection, End, Event, Handlers, Message } from "../../src/index.ts";
import { Context, connect, EventType, serve } from "../../src/index.ts";
import { Requests } from "../../src/ipc/requests.ts";
import { leaveNoTrace } from "../kit/no-trace.ts";
import { pattern } from "../kit/random.ts";
import { Scratch } from "../kit/scratch.ts";
import { overEach } from "../kit/transports.ts";
import { until } from "../kit/until.ts";

leaveNoTrace();

const headerBytes = 4;
const quick = { first: 1, most: 4 };
const answering: Handlers = {
  message: (connection, message) => void connection.send(`re: ${message.text()}`),
};

const outcome = (promise: Promise<Message>) =>
  promise.then(
    (message) => message.text(),
    (error: unknown) => error,
  );

const isMessage = (event: Event) => event.type === EventType.MessageRx;

/** Bytes that are nobody's any more. */
function detached(): Uint8Array {
  const bytes = new Uint8Array(8);
  structuredClone(bytes, { transfer: [bytes.buffer] });
  return bytes;
}

/** Sends something that shows that the peer is gone. The connection's end is not told yet. */
function sendInVain(connection: Connection, text: string): void {
  connection.send(text);
  void connection.drained().catch(() => undefined);
}

describe("requests around a lost service", () => {
  test("made before its end is told are answered by the next one, each its own", async () => {
    using scratch = new Scratch();
    const { path: rundir } = scratch;
    const first = new Context({ rundir });
    first.serve("pong");
    const ends: End[] = [];
    const client = await connect("pong", {
      rundir,
      reconnect: quick,
      disconnected: (_, end) => void ends.push(end),
    });
    const before = outcome(client.request("before"));
    await until("it has arrived", () => first.wait(0).some(isMessage));
    first.close();
    sendInVain(client, "in vain");
    const a = outcome(client.request("a"));
    expect(client.send("one way")).toBe(true);
    const b = outcome(client.request("b"));
    expect(client.open).toBe(true);
    expect(ends).toEqual([]);
    await until("its end is told", () => ends.length === 1);
    expect(ends[0]!.lost).toEqual({ messages: 1, bytes: headerBytes + 7, requests: 1 });
    expect(await before).toMatchObject({ code: "ECONNRESET" });
    const c = outcome(client.request("c"));
    const heard: string[] = [];
    await using _ = await serve(
      "pong",
      {
        message(connection, message) {
          heard.push(message.text());
          if (message.text() !== "one way") connection.send(`re: ${message.text()}`);
        },
      },
      { rundir },
    );
    expect([await a, await b, await c]).toEqual(["re: a", "re: b", "re: c"]);
    expect(await outcome(client.request("d"))).toBe("re: d");
    expect(heard).toEqual(["a", "one way", "b", "c", "d"]);
    await client.close();
  });

  test("that found it gone are rejected and never sent, and the next is answered", async () => {
    using scratch = new Scratch();
    const { path: rundir } = scratch;
    const first = new Context({ rundir });
    first.serve("pong");
    const client = await connect("pong", { rundir, reconnect: quick });
    first.close();
    // So long that it is not collected with others but tried at once.
    const tried = outcome(client.request(pattern(64 * 1024)));
    const held = outcome(client.request("held"));
    expect(await tried).toMatchObject({ code: "ECONNRESET" });
    await using service = await serve("pong", answering, { rundir });
    expect(await held).toBe("re: held");
    expect(await outcome(client.request("next"))).toBe("re: next");
    expect(service.statistics().messagesReceived).toBe(2);
    await client.close();
  });

  test("are counted with their messages if it is closed instead, and no more are taken", async () => {
    using scratch = new Scratch();
    const { path: rundir } = scratch;
    const first = new Context({ rundir });
    first.serve("pong");
    const client = await connect("pong", { rundir, reconnect: quick });
    first.close();
    sendInVain(client, "in vain");
    const held = outcome(client.request("held"));
    const closed = client.close();
    expect(() => client.send("too late")).toThrow("ECLOSED");
    await closed;
    expect(await held).toMatchObject({ code: "ECONNRESET" });
    expect((await client.ended).lost).toEqual({ messages: 2, bytes: 19, requests: 1 });
    expect(client.statistics().messagesLost).toBe(2);
  });
});

test("an answer that cannot be kept rejects its request, and no other", async () => {
  const requests = new Requests();
  const first = outcome(requests.add("pong", { timeout: 1_000_000 }));
  const second = outcome(requests.add("pong", {}));
  const fault = new RangeError("out of memory");
  const unkept = {
    copy() {
      throw fault;
    },
  };
  expect(requests.answer(unkept as unknown as Message)).toBe(true);
  const kept = { copy: () => ({ text: () => "the second" }) };
  expect(requests.answer(kept as unknown as Message)).toBe(true);
  expect(await first).toBe(fault);
  expect(await second).toBe("the second");
  expect(requests.answer(unkept as unknown as Message)).toBe(false);
});

overEach(({ connect, serve }) => {
  test("a message that cannot be read leaves those around it whole, for each connection", async () => {
    using scratch = new Scratch();
    const { path: rundir } = scratch;
    const heard: Record<string, string[]> = { x: [], y: [] };
    const listen = (name: string) =>
      serve(name, { message: (_, message) => void heard[name]!.push(message.text()) }, { rundir });
    await using _ = await listen("x");
    await using __ = await listen("y");
    await using x = await connect("x", { rundir });
    await using y = await connect("y", { rundir });
    expect(() => x.send(detached())).toThrow("detached");
    expect(x.queuedBytes).toBe(0);
    y.send("to y");
    expect(() => x.send(detached())).toThrow("detached");
    y.send("and y");
    x.send("to x");
    await expect(x.request(detached())).rejects.toThrow("detached");
    await until("all have arrived", () => heard["x"]!.length === 1 && heard["y"]!.length === 2);
    expect(heard).toEqual({ x: ["to x"], y: ["to y", "and y"] });
    expect(x.queuedBytes + y.queuedBytes).toBe(0);
  });
});

describe("a message sent while the end is on its way", () => {
  /** A service with two peers: the second leaves right after the first has spoken. */
  async function parting(rundir: string, spoken: (leaving: Connection) => void): Promise<End> {
    const open: Connection[] = [];
    const over = Promise.withResolvers<End>();
    await using service = await serve(
      "parting",
      {
        open: (connection) => void open.push(connection),
        message: () => spoken(open[1]!),
        close: (connection, end) => {
          if (connection === open[1]) over.resolve(end);
        },
      },
      { rundir },
    );
    using peers = new Context({ rundir });
    const [speaking, leaving] = [peers.connect("parting"), peers.connect("parting")];
    await until("both are there", () => service.connections.size === 2);
    peers.write(speaking, "now");
    peers.closeHandle(leaving, { now: true });
    return await over.promise;
  }

  test("is counted as lost, even if the same batch holds the end", async () => {
    using scratch = new Scratch();
    let taken = 0;
    const end = await parting(scratch.path, (leaving) => {
      leaving.send("too late");
      taken += 1;
    });
    expect(taken).toBe(1);
    expect(end).toEqual({
      reason: "peer_closed",
      errno: 0,
      lost: { messages: 1, bytes: headerBytes + 8, requests: 0 },
    });
  });

  test("is counted too if it was tried at once; the next is refused in words that fit", async () => {
    using scratch = new Scratch();
    const errors: unknown[] = [];
    const end = await parting(scratch.path, (leaving) => {
      leaving.send(pattern(64 * 1024));
      expect(leaving.open).toBe(false);
      try {
        leaving.send("more");
      } catch (error) {
        errors.push(error);
      }
    });
    expect(errors).toMatchObject([{ code: "ECLOSED" }]);
    expect((errors[0] as Error).message).not.toContain("being closed");
    expect(end.lost).toEqual({ messages: 1, bytes: headerBytes + 64 * 1024, requests: 0 });
  });
});

overEach(({ connect, serve }) => {
  describe("a connection that has ended", () => {
    test("has its figures, whoever ended it and though nobody had asked before", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      const open: Connection[] = [];
      await using service = await serve(
        "pong",
        { ...answering, open: (connection) => void open.push(connection) },
        { rundir },
      );
      const client = await connect("pong", { rundir });
      for (const text of ["one", "three"]) await client.request(text);
      await client.close();
      await until("both have ended", () => service.connections.size === 0);
      const figures = { queuedBytes: 0, messagesLost: 0, connectionsOpen: 0, descriptors: 0 };
      expect(client.statistics()).toMatchObject({
        ...figures,
        messagesSent: 2,
        bytesSent: 16,
        messagesReceived: 2,
        bytesReceived: 24,
        reasons: { closed: 1 },
      });
      expect(open[0]!.statistics()).toMatchObject({
        ...figures,
        messagesSent: 2,
        bytesSent: 24,
        messagesReceived: 2,
        bytesReceived: 16,
        reasons: { peer_closed: 1 },
      });
    });

    test("begins its figures anew when its service is found again", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      const first = await serve("pong", answering, { rundir });
      const told: string[] = [];
      await using client = await connect("pong", {
        rundir,
        reconnect: quick,
        disconnected: () => void told.push("disconnected"),
      });
      await client.request("one");
      await first.close();
      await until("it is told", () => told.length === 1);
      expect(client.statistics()).toMatchObject({ messagesSent: 1, connectionsOpen: 0 });
      await using _ = await serve("pong", answering, { rundir });
      for (const text of ["two", "three"]) await client.request(text);
      expect(client.statistics()).toMatchObject({ messagesSent: 2, connectionsOpen: 1 });
    });

    test("says what it sent and what it lost of a queue", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      await using _ = await serve("deaf", { open: (connection) => connection.pause() }, { rundir });
      const client = await connect("deaf", { rundir });
      const payload = pattern(40_000);
      let taken = 1;
      while (client.send(payload)) taken += 1;
      const before = client.statistics();
      await client.close({ now: true });
      const { lost } = await client.ended;
      expect(lost.messages).toBeGreaterThan(0);
      expect(client.statistics()).toMatchObject({
        messagesSent: taken - lost.messages,
        bytesSent: before.bytesSent,
        queuedBytes: 0,
        messagesLost: lost.messages,
      });
      expect(lost.bytes).toBe(before.queuedBytes);
    });

    test("or is closed is never drained", async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      await using _ = await serve("pong", answering, { rundir });
      const client = await connect("pong", { rundir });
      const closed = client.close();
      await expect(client.drained()).rejects.toMatchObject({ code: "ECLOSED" });
      await closed;
      await expect(client.drained()).rejects.toMatchObject({ code: "ECLOSED" });
    });
  });
});

overEach(({ connect, serve }) => {
  test("what arrives with the message that had it closed at once is not handed out", async () => {
    using scratch = new Scratch();
    const { path: rundir } = scratch;
    const heard: string[] = [];
    await using service = await serve(
      "hasty",
      {
        message(connection, message) {
          heard.push(message.text());
          void connection.close({ now: true });
        },
      },
      { rundir },
    );
    const peer = await connect("hasty", { rundir });
    for (const text of ["one", "two", "three"]) peer.send(text);
    await until("it has ended", () => service.statistics().reasons.closed === 1);
    await until("it is gone", () => service.connections.size === 0);
    expect(heard).toEqual(["one"]);
    await peer.close();
  });
});
