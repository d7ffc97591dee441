/** The context by hand: what it is given, what it reports, and what becomes of what it is asked to send. */

import { describe, expect, test } from "bun:test";
import { closeSync, readFileSync, statSync } from "node:fs";
import type { Event } from "../../src/index.ts";
import { Context, EventType, IpcError } from "../../src/index.ts";
import { canCount, descriptors } from "../kit/census.ts";
import { leaveNoTrace } from "../kit/no-trace.ts";
import { drive, event, events, messages, Pair, texts } from "../kit/pair.ts";
import { pattern } from "../kit/random.ts";
import { Scratch } from "../kit/scratch.ts";

leaveNoTrace();

const onLinux = process.platform === "linux";
const kib = 1024;
const mib = 1024 * kib;
const headerBytes = 4;

/** What a call throws. */
function thrown(call: () => unknown): IpcError {
  try {
    call();
  } catch (error) {
    expect(error).toBeInstanceOf(IpcError);
    return error as IpcError;
  }
  throw new Error("it did not throw");
}

/** Tries `call` until it says that more than `bytes` are queued, and returns how often that was. */
function fill(bytes: number, call: () => number): number {
  let count = 1;
  while (call() <= bytes) count += 1;
  return count;
}

describe("walking a batch", () => {
  test("a loop that is left goes on where it was left", () => {
    using pair = new Pair();
    const { context } = pair;
    for (const text of ["a", "b", "c", "d", "e"]) context.schedule(pair.client, text);
    const seen: string[] = [];
    for (const each of context) {
      if (each.type === EventType.MessageRx) seen.push(each.message.text());
      if (seen.length === 2) break;
    }
    for (const each of context) {
      seen.push(each.message.text());
      if (seen.length === 3) break;
    }
    expect(seen).toEqual(["a", "b", "c"]);
    expect(context.wait(0).map((each) => each.message.text())).toEqual(["d", "e"]);
    expect(context.wait(0)).toEqual([]);
  });

  test("wait returns nothing when the time is up", () => {
    using context = new Context();
    for (const timeout of [0, 1, 0.001, -1]) expect(context.wait(timeout)).toEqual([]);
  });

  test("a wait without a timeout, and one of infinity, end with an event", () => {
    using context = new Context();
    for (const timeout of [undefined, Infinity]) {
      const timer = context.timer(1);
      expect(context.wait(timeout).map((each) => each.source)).toEqual([timer]);
    }
  });

  test("ten thousand small messages are one batch", () => {
    using pair = new Pair();
    const { context } = pair;
    const sent = Array.from({ length: 10_000 }, (_, index) => index.toString(36));
    for (const text of sent) context.schedule(pair.client, text);
    const batch = context.wait();
    expect(batch.map((each) => each.message.text())).toEqual(sent);
    expect(new Set(batch.map((each) => each.connection))).toEqual(new Set([pair.server]));
  });

  test("contexts in one process talk to each other", () => {
    using scratch = new Scratch();
    const rundir = scratch.path;
    using server = new Context({ rundir });
    using first = new Context({ rundir });
    using second = new Context({ rundir });
    server.serve("upper");
    const clients = new Map([first, second].map((each) => [each, each.connect("upper")]));
    for (const [context, connection] of clients) {
      for (let number = 0; number < 20; number++) context.schedule(connection, `n${number}`);
    }
    const answers = new Map<Context, string[]>([first, second].map((each) => [each, []]));
    drive(
      "both have their answers",
      [server, first, second],
      () => [...answers.values()].every((texts) => texts.length === 20),
      (each, context) => {
        if (each.type !== EventType.MessageRx) return;
        const text = each.message.text();
        if (context === server) server.schedule(each.connection, text.toUpperCase());
        else answers.get(context)!.push(text);
      },
    );
    const expected = Array.from({ length: 20 }, (_, number) => `N${number}`);
    expect([...answers.values()]).toEqual([expected, expected]);
    server.closeAll();
    for (const context of [first, second]) {
      expect(event(context, EventType.Disconnection).reason).toBe("peer_closed");
    }
  });

  test("a context is its own client, and no worse for it", () => {
    using pair = new Pair();
    pair.context.schedule(pair.client, "there");
    expect(texts(pair.context, 1)).toEqual(["there"]);
    pair.context.schedule(pair.server, "and back");
    expect(texts(pair.context, 1)).toEqual(["and back"]);
  });
});

describe("sending", () => {
  test("what the kernel takes waits nowhere", () => {
    using pair = new Pair();
    expect(pair.context.write(pair.client, "hello")).toBe(0);
    expect(pair.context.schedule(pair.client, "world")).toBe(0);
    pair.context.flush();
    expect(pair.context.statistics(pair.client)).toMatchObject({ messagesSent: 2, queuedBytes: 0 });
    expect(texts(pair.context, 2)).toEqual(["hello", "world"]);
  });

  test("write goes behind what was scheduled", () => {
    using pair = new Pair();
    pair.context.schedule(pair.client, "first");
    pair.context.write(pair.client, "second");
    pair.context.schedule(pair.client, pattern(100 * kib));
    pair.context.schedule(pair.client, "fourth");
    const found = messages(pair.context, 4);
    expect(found.map((each) => each.length)).toEqual([5, 6, 100 * kib, 6]);
    expect(found[3]!.text()).toBe("fourth");
  });

  test("flush sends without waiting for anything, and is nothing where there is nothing", () => {
    using pair = new Pair();
    pair.context.flush();
    for (let count = 0; count < 3; count++) pair.context.schedule(pair.client, "x");
    expect(pair.context.statistics().messagesSent).toBe(0);
    pair.context.flush();
    expect(pair.context.statistics().messagesSent).toBe(3);
    pair.context.flush();
    expect(pair.context.statistics().messagesSent).toBe(3);
    expect(texts(pair.context, 3)).toEqual(["x", "x", "x"]);
  });

  test("more than the outbox holds goes by itself, in order", () => {
    using pair = new Pair({ connect: { queueBytesHigh: 64 * mib } });
    const sent = Array.from({ length: 500 }, (_, index) => pattern(3000, index));
    for (const payload of sent) pair.context.schedule(pair.client, payload);
    const found = messages(pair.context, sent.length);
    for (const [index, message] of found.entries()) expect(message.bytes).toEqual(sent[index]!);
  });

  for (const [what, send] of [
    ["write", (pair: Pair, bytes: Uint8Array) => pair.context.write(pair.client, bytes)],
    ["schedule", (pair: Pair, bytes: Uint8Array) => pair.context.schedule(pair.client, bytes)],
  ] as const) {
    test(`${what} says how much waits, and a Drain event when that is little again`, () => {
      const queueBytesHigh = 64 * kib;
      using pair = new Pair({ connect: { queueBytesHigh } });
      const { context } = pair;
      context.pause(pair.server);
      const payload = pattern(40 * kib);
      const sent = fill(queueBytesHigh, () => send(pair, payload));
      const { queuedBytes } = context.statistics(pair.client);
      expect(queuedBytes).toBeGreaterThan(queueBytesHigh);
      expect(queuedBytes).toBeLessThanOrEqual(queueBytesHigh + payload.length + headerBytes);
      expect(context.wait(0)).toEqual([]);
      context.pause(pair.server, false);
      const seen: EventType[] = [];
      let left = Infinity;
      drive(
        "everything is there",
        [context],
        () =>
          seen.filter((type) => type === EventType.MessageRx).length === sent && left < Infinity,
        (each) => {
          seen.push(each.type);
          if (each.type === EventType.MessageRx) expect(each.message.length).toBe(payload.length);
          if (each.type !== EventType.Drain) return;
          expect(each.connection).toBe(pair.client);
          left = each.queuedBytes;
        },
      );
      expect(left).toBeLessThanOrEqual(queueBytesHigh / 2);
      expect(seen.filter((type) => type === EventType.Drain)).toHaveLength(1);
    });
  }

  test("schedule speaks of the connection that it was asked about, whoever else waits", () => {
    using pair = new Pair();
    const { context } = pair;
    const idle = context.connect("self");
    event(context, EventType.Connection);
    context.pause(pair.server);
    fill(64 * kib, () => context.write(pair.client, pattern(40 * kib)));
    // Twelve of these leave the outbox less room than the next one takes, which makes it be sent.
    const small = pattern(20 * kib);
    for (let count = 0; count < 12; count++) context.schedule(pair.client, small);
    expect(context.schedule(idle, pattern(17 * kib))).toBe(0);
    for (let count = 0; count < 11; count++) context.schedule(pair.client, small);
    context.schedule(idle, "behind it");
    expect(context.schedule(pair.client, small)).toBeGreaterThan(12 * small.length);
  });

  test("over the limit of a queue that refuses: ENOBUFS, and a Drain event when there is room", () => {
    const limits = {
      messageBytesMax: 64 * kib,
      queueBytesMax: 128 * kib,
      queueBytesHigh: 128 * kib,
    };
    using pair = new Pair({ connect: { ...limits, queuePolicy: "refuse" } });
    const { context } = pair;
    context.pause(pair.server);
    const payload = pattern(60 * kib);
    let sent = 0;
    const error = thrown(() => {
      while (true) {
        context.write(pair.client, payload);
        sent += 1;
      }
    });
    expect(error.code).toBe("ENOBUFS");
    context.schedule(pair.client, payload);
    const refused = event(context, EventType.Error);
    expect(refused).toMatchObject({ connection: pair.client, error: { code: "ENOBUFS" } });
    context.pause(pair.server, false);
    let drained = false;
    let received = 0;
    drive(
      "what was taken is there",
      [context],
      () => drained && received === sent,
      (each) => {
        if (each.type === EventType.MessageRx) received += 1;
        if (each.type === EventType.Drain) drained = true;
      },
    );
    expect(context.write(pair.client, "more")).toBe(0);
    expect(texts(context, 1)).toEqual(["more"]);
  });

  test("over the limit of a queue that closes: the reason, and what was lost", () => {
    const limits = {
      messageBytesMax: 64 * kib,
      queueBytesMax: 128 * kib,
      queueBytesHigh: 128 * kib,
    };
    using pair = new Pair({ connect: limits });
    const { context } = pair;
    context.pause(pair.server);
    const payload = pattern(60 * kib);
    let tried = 0;
    const error = thrown(() => {
      while (true) {
        tried += 1;
        context.write(pair.client, payload);
      }
    });
    expect(error.code).toBe("ECLOSED");
    const { messagesSent } = context.statistics(pair.client);
    const end = event(context, EventType.Disconnection);
    expect(end).toMatchObject({ connection: pair.client, reason: "queue_limit", service: 0 });
    expect(end.lost.messages).toBe(tried - messagesSent);
    expect(end.lost.bytes).toBeGreaterThan(0);
    expect(end.lost.bytes).toBeLessThanOrEqual(end.lost.messages * (payload.length + headerBytes));
    expect(context.statistics().reasons).toEqual({ queue_limit: 1 });
  });
});

describe("reports", () => {
  test("tokens come in the order of the messages, whatever goes between", () => {
    using pair = new Pair();
    const { context } = pair;
    const sizes = [1, 40 * kib, 0, 200 * kib, 5];
    for (const [index, size] of sizes.entries()) {
      context.schedule(pair.client, pattern(size), { report: index + 1 });
      context.schedule(pair.client, "unreported");
    }
    const tokens: number[] = [];
    let received = 0;
    drive(
      "all is told and there",
      [context],
      () => tokens.length === sizes.length && received === 2 * sizes.length,
      (each) => {
        if (each.type === EventType.MessageRx) received += 1;
        if (each.type !== EventType.MessageTx) return;
        expect(each.connection).toBe(pair.client);
        tokens.push(each.token);
      },
    );
    expect(tokens).toEqual([1, 2, 3, 4, 5]);
  });

  test("a thousand of them, on two connections, each in its own order", () => {
    using pair = new Pair();
    const { context } = pair;
    const other = context.connect("self");
    event(context, EventType.Connection);
    for (let token = 1; token <= 1000; token++) {
      context.schedule(token % 2 === 1 ? pair.client : other, "x", { report: token });
    }
    const found = events(context, EventType.MessageTx, 1000);
    const of = (connection: number) =>
      found.filter((each) => each.connection === connection).map((each) => each.token);
    expect(of(pair.client)).toEqual(Array.from({ length: 500 }, (_, index) => 2 * index + 1));
    expect(of(other)).toEqual(Array.from({ length: 500 }, (_, index) => 2 * index + 2));
  });

  test("a message that waits is reported when it is with the kernel, and not before", () => {
    using pair = new Pair();
    const { context } = pair;
    context.pause(pair.server);
    const payload = pattern(40 * kib);
    const sent = fill(64 * kib, () => context.write(pair.client, payload));
    context.schedule(pair.client, "at last", { report: 7 });
    expect(context.wait(0)).toEqual([]);
    context.pause(pair.server, false);
    let token = 0;
    let received = 0;
    drive(
      "all is there",
      [context],
      () => received === sent + 1 && token !== 0,
      (each) => {
        if (each.type === EventType.MessageRx) received += 1;
        if (each.type === EventType.MessageTx) token = each.token;
      },
    );
    expect(token).toBe(7);
  });

  test("the largest tokens, and none", () => {
    using pair = new Pair();
    for (const report of [2 ** 31 - 1, 0, 1]) pair.context.schedule(pair.client, "x", { report });
    const tokens = events(pair.context, EventType.MessageTx, 2).map((each) => each.token);
    expect(tokens).toEqual([2 ** 31 - 1, 1]);
  });
});

describe("sizes", () => {
  const sizes = [
    0,
    1,
    32 * kib - 1,
    32 * kib,
    256 * kib - headerBytes,
    256 * kib,
    256 * kib + 1,
    mib,
    16 * mib,
  ];
  for (const size of sizes) {
    test(`${size} bytes, by schedule and by write`, () => {
      using pair = new Pair();
      const payload = pattern(size, size);
      pair.context.schedule(pair.client, payload);
      pair.context.write(pair.client, payload);
      for (const message of messages(pair.context, 2)) {
        expect(message.length).toBe(size);
        expect(Buffer.compare(message.bytes, payload)).toBe(0);
      }
    });
  }

  test("a byte over the limit is refused, and the connection goes on", () => {
    using pair = new Pair();
    const { context } = pair;
    const payload = new Uint8Array(16 * mib + 1);
    expect(thrown(() => context.write(pair.client, payload)).code).toBe("EMSGSIZE");
    context.schedule(pair.client, payload);
    context.schedule(pair.client, payload, { report: 1 });
    for (const each of events(context, EventType.Error, 2)) {
      expect(each).toMatchObject({ connection: pair.client, error: { code: "EMSGSIZE" } });
    }
    context.schedule(pair.client, "all right");
    expect(texts(context, 1)).toEqual(["all right"]);
    expect(context.statistics().messagesLost).toBe(0);
  });

  test("a small limit holds for what goes through the outbox as well", () => {
    using pair = new Pair({ connect: { messageBytesMax: 10 } });
    const { context } = pair;
    context.schedule(pair.client, "0123456789");
    expect(texts(context, 1)).toEqual(["0123456789"]);
    context.schedule(pair.client, "0123456789a");
    expect(event(context, EventType.Error).error?.code).toBe("EMSGSIZE");
    context.schedule(pair.client, "more");
    expect(texts(context, 1)).toEqual(["more"]);
  });

  test("a limit that changes holds for what is scheduled after it", () => {
    using pair = new Pair({ connect: { messageBytesMax: 10 } });
    const { context } = pair;
    context.schedule(pair.client, "0123456789");
    context.limitMessages(pair.client, 5);
    expect(texts(context, 1)).toEqual(["0123456789"]);
    context.schedule(pair.client, "012345");
    expect(event(context, EventType.Error).error?.code).toBe("EMSGSIZE");
    context.limitMessages(pair.client, 1000);
    context.schedule(pair.client, pattern(1000));
    expect(event(context, EventType.MessageRx).message.bytes).toHaveLength(1000);
    for (const wrong of [-1, 0.5, 2 ** 31, "5" as unknown as number]) {
      expect(() => context.limitMessages(pair.client, wrong)).toThrow("messageBytesMax");
    }
    expect(() => context.limitMessages(pair.service, 5)).toThrow(
      expect.objectContaining({ code: "ECLOSED" }),
    );
  });

  test("more than the other side allows: it ends the connection, and says why", () => {
    using pair = new Pair({ service: { messageBytesMax: 100 } });
    const { context } = pair;
    context.schedule(pair.client, pattern(101));
    const ends = events(context, EventType.Disconnection, 2);
    const reasons = new Map(ends.map((each) => [each.connection, each.reason]));
    expect(reasons.get(pair.server)).toBe("message_too_long");
    expect(["peer_closed", "peer_reset"]).toContain(reasons.get(pair.client)!);
    expect(context.statistics(pair.service).reasons).toEqual({ message_too_long: 1 });
  });
});

describe("stale handles", () => {
  test("what is sent to one is an Error event, and comes before what else happened", () => {
    using pair = new Pair();
    const { context } = pair;
    const other = context.connect("self");
    event(context, EventType.Connection);
    context.closeHandle(other, { now: true });
    events(context, EventType.Disconnection, 2);
    context.schedule(pair.client, "fine");
    context.schedule(other, "in vain");
    context.schedule(other, "in vain as well");
    const [first] = context.wait();
    expect(first).toMatchObject({ type: EventType.Error, connection: other });
    expect(first!.error).toMatchObject({ name: "IpcError", code: "ECLOSED" });
    expect(texts(context, 1)).toEqual(["fine"]);
  });

  test("a loop is told of it without waiting for anything else", () => {
    using context = new Context();
    context.schedule(12345, "in vain");
    for (const each of context) {
      expect(each).toMatchObject({ type: EventType.Error, source: 12345, reason: "none" });
      break;
    }
    context.schedule(12345, pattern(100 * kib));
    expect(context.wait().map((each) => each.error?.code)).toEqual(["ECLOSED"]);
  });

  test("what is lost with a connection is told once, with its end", () => {
    using scratch = new Scratch();
    const { path: rundir } = scratch;
    using server = new Context({ rundir });
    server.serve("pong");
    using client = new Context({ rundir });
    const connection = client.connect("pong");
    const accepted = event(server, EventType.Connection).connection;
    client.write(connection, "never read");
    server.closeHandle(accepted, { now: true });
    for (let count = 0; count < 3; count++) client.schedule(connection, "abc");
    const told: Event[] = [];
    drive(
      "it has ended",
      [client],
      () => told.some(({ type }) => type === EventType.Disconnection),
      (each) => told.push(each),
    );
    expect(told.map(({ type, lost }) => [type, lost])).toEqual([
      [EventType.Disconnection, { messages: 3, bytes: 21 }],
    ]);
    expect(client.statistics().messagesLost).toBe(3);
  });

  for (const handle of [0, 2 ** 31 - 1, 2 ** 32 - 1]) {
    test(`a number that never was a handle: ${handle}`, () => {
      using pair = new Pair();
      const { context } = pair;
      context.schedule(handle, "in vain");
      context.schedule(pair.client, "fine");
      expect(event(context, EventType.Error)).toMatchObject({
        source: handle,
        error: { code: "ECLOSED" },
      });
      expect(texts(context, 1)).toEqual(["fine"]);
      expect(thrown(() => context.write(handle, "x")).code).toBe("ECLOSED");
      expect(thrown(() => context.closeHandle(handle)).code).toBe("ECLOSED");
    });
  }

  test("a handle of another kind takes no messages", () => {
    using pair = new Pair();
    const { context } = pair;
    const timer = context.timer(1e12);
    for (const handle of [timer, pair.service]) {
      expect(thrown(() => context.write(handle, "x")).code).toBe("ECLOSED");
      expect(thrown(() => context.peer(handle)).code).toBe("ECLOSED");
      expect(thrown(() => context.pause(handle)).code).toBe("ECLOSED");
    }
    expect(thrown(() => context.statistics(timer)).code).toBe("ECLOSED");
  });

  test("after its Disconnection a connection can be asked nothing", () => {
    using pair = new Pair();
    const { context } = pair;
    context.closeHandle(pair.client);
    events(context, EventType.Disconnection, 2);
    const calls = [
      () => context.write(pair.client, "x"),
      () => context.peer(pair.client),
      () => context.peerProcess(pair.client),
      () => context.statistics(pair.client),
      () => context.pause(pair.client),
      () => context.closeHandle(pair.client),
      () => context.closeHandle(pair.client, { now: true }),
    ];
    for (const call of calls) expect(thrown(call).code).toBe("ECLOSED");
  });
});

describe("closing", () => {
  test("a connection still sends what it has taken", () => {
    using pair = new Pair();
    const { context } = pair;
    context.pause(pair.server);
    const payload = pattern(40 * kib);
    const sent = fill(64 * kib, () => context.write(pair.client, payload));
    context.closeHandle(pair.client);
    expect(thrown(() => context.write(pair.client, "too late")).code).toBe("ECLOSED");
    expect(thrown(() => context.closeHandle(pair.client)).code).toBe("ECLOSED");
    context.pause(pair.server, false);
    let received = 0;
    const ends: Event[] = [];
    drive(
      "both ends have ended",
      [context],
      () => ends.length === 2,
      (each) => {
        if (each.type === EventType.MessageRx) received += 1;
        if (each.type === EventType.Disconnection) ends.push(each);
      },
    );
    expect(received).toBe(sent);
    expect(ends.find((each) => each.connection === pair.client)).toMatchObject({
      reason: "closed",
      lost: { messages: 0, bytes: 0 },
    });
    expect(ends.find((each) => each.connection === pair.server)?.reason).toBe("peer_closed");
  });

  test("now: what waits is lost, and counted", () => {
    using pair = new Pair();
    const { context } = pair;
    context.pause(pair.server);
    const payload = pattern(40 * kib);
    const sent = fill(64 * kib, () => context.write(pair.client, payload));
    const { messagesSent, queuedBytes } = context.statistics(pair.client);
    context.closeHandle(pair.client, { now: true });
    const [end] = context.wait();
    expect(end).toMatchObject({
      type: EventType.Disconnection,
      connection: pair.client,
      reason: "closed",
      lost: { messages: sent - messagesSent, bytes: queuedBytes },
    });
    expect(context.statistics()).toMatchObject({
      messagesLost: sent - messagesSent,
      queuedBytes: 0,
    });
  });

  test("now, after a drain that takes too long", () => {
    using pair = new Pair();
    const { context } = pair;
    context.pause(pair.server);
    fill(64 * kib, () => context.write(pair.client, pattern(40 * kib)));
    context.closeHandle(pair.client);
    expect(context.wait(0)).toEqual([]);
    context.closeHandle(pair.client, { now: true });
    expect(event(context, EventType.Disconnection).lost.messages).toBeGreaterThan(0);
  });

  test("a drain is given up when its time is over", () => {
    using pair = new Pair({ connect: { drainTimeout: 0 } });
    const { context } = pair;
    context.pause(pair.server);
    fill(64 * kib, () => context.write(pair.client, pattern(40 * kib)));
    context.closeHandle(pair.client);
    const end = event(context, EventType.Disconnection);
    expect(end).toMatchObject({ connection: pair.client, reason: "closed" });
    expect(end.lost.messages).toBeGreaterThan(0);
  });

  test("a handle closes after what was scheduled for it", () => {
    using pair = new Pair();
    pair.context.schedule(pair.client, "last words");
    pair.context.closeHandle(pair.client, { now: true });
    const seen: string[] = [];
    drive(
      "both ends have ended",
      [pair.context],
      () => seen.length === 3,
      (each) => {
        if (each.type === EventType.MessageRx) seen.push(each.message.text());
        if (each.type === EventType.Disconnection) seen.push(each.reason);
      },
    );
    expect(seen).toContain("last words");
    expect(seen).toContain("closed");
  });

  test("a service gives up its name, and its connections go on", () => {
    using pair = new Pair();
    const { context } = pair;
    context.closeHandle(pair.service);
    expect(thrown(() => context.connect("self")).code).toBe("ENOENT");
    expect(thrown(() => context.closeHandle(pair.service)).code).toBe("ECLOSED");
    context.schedule(pair.client, "still here");
    expect(texts(context, 1)).toEqual(["still here"]);
    expect(context.serve("self")).not.toBe(pair.service);
  });

  for (const now of [false, true]) {
    test(`everything at once${now ? ", now" : ""}`, () => {
      using pair = new Pair();
      const { context, scratch } = pair;
      const timer = context.timer(1e12, 1e12);
      for (const handle of [pair.client, pair.server]) context.schedule(handle, "good bye");
      context.closeAll({ now });
      const ends = events(context, EventType.Disconnection, 2);
      expect(new Set(ends.map((each) => each.connection))).toEqual(
        new Set([pair.client, pair.server]),
      );
      for (const each of ends) expect(each.reason).toBe("closed");
      for (const handle of [timer, pair.service]) {
        expect(thrown(() => context.closeHandle(handle)).code).toBe("ECLOSED");
      }
      expect(scratch.entries().filter((name) => name === "self")).toEqual([]);
      using fresh = new Context();
      const { descriptors: own } = fresh.statistics();
      expect(context.statistics()).toMatchObject({ connectionsOpen: 0, descriptors: own });
      context.closeAll({ now });
      expect(context.wait(0)).toEqual([]);
      context.serve("self");
      context.schedule(context.connect("self"), "again");
      expect(texts(context, 1)).toEqual(["again"]);
    });
  }

  test("a context that is closed twice is closed", () => {
    const context = new Context();
    expect(context.closed).toBe(false);
    context.close();
    expect(context.closed).toBe(true);
    context.close();
    expect(context.closed).toBe(true);
  });

  test("`using` closes it", () => {
    using scratch = new Scratch();
    let kept: Context;
    {
      using context = new Context({ rundir: scratch.path });
      kept = context;
      context.serve("short-lived");
      expect(scratch.entries()).toContain("short-lived");
    }
    expect(kept.closed).toBe(true);
    expect(scratch.entries()).not.toContain("short-lived");
  });

  test("what was scheduled goes with closing", () => {
    using scratch = new Scratch();
    using server = new Context({ rundir: scratch.path });
    server.serve("end");
    const client = new Context({ rundir: scratch.path });
    client.schedule(client.connect("end"), "good bye");
    client.close();
    expect(texts(server, 1)).toEqual(["good bye"]);
    expect(event(server, EventType.Disconnection).reason).toBe("peer_closed");
  });

  test("a closed context does nothing any more, and says so", () => {
    const context = new Context();
    context.schedule(12345, "in vain");
    context.close();
    const calls = [
      () => context.serve("x"),
      () => context.connect("x"),
      () => context.tryConnect("x"),
      () => context.external(0),
      () => context.timer(1),
      () => context.schedule(1, "x"),
      () => context.schedule(1, "x", { report: 1 }),
      () => context.schedule(1, pattern(100 * kib)),
      () => context.write(1, "x"),
      () => context.wait(0),
      () => context.wake(),
      () => context.peer(1),
      () => context.peerProcess(1),
      () => context.statistics(),
      () => context.pause(1),
      () => context.closeHandle(1),
      () => context.closeAll(),
    ];
    for (const call of calls) {
      const error = thrown(call);
      expect(error.code).toBe("ECLOSED");
      expect(error.message).toContain("the context is closed");
    }
    expect([...context]).toEqual([]);
  });

  test("a loop ends when its context is closed inside it", () => {
    using pair = new Pair();
    for (let count = 0; count < 5; count++) pair.context.schedule(pair.client, "x");
    let seen = 0;
    for (const each of pair.context) {
      expect(each.type).toBe(EventType.MessageRx);
      seen += 1;
      if (seen === 2) pair.context.close();
    }
    expect(seen).toBe(2);
  });
});

describe("peers", () => {
  const self = { uid: process.geteuid!(), gid: process.getegid!() };
  const pid = onLinux ? process.pid : expect.any(Number);

  test("both ends know who the other is", () => {
    using pair = new Pair();
    expect(pair.context.peer(pair.client)).toEqual({ ...self, pid });
    expect(pair.context.peer(pair.server)).toEqual({ ...self, pid });
  });

  test.skipIf(!onLinux)(
    "peerProcess stands for the peer's process, and is the caller's to close",
    () => {
      using pair = new Pair();
      const descriptor = pair.context.peerProcess(pair.server);
      const info = readFileSync(`/proc/self/fdinfo/${descriptor}`, "utf8");
      expect(info).toMatch(new RegExp(`^Pid:\\s+${process.pid}$`, "m"));
      // Close-on-exec: O_CLOEXEC among the flags, which are octal.
      const flags = Number.parseInt(/^flags:\s+(\d+)$/m.exec(info)![1]!, 8);
      expect(flags & 0o2000000).toBe(0o2000000);
      closeSync(descriptor);
    },
  );

  test.skipIf(!onLinux)("of another process", async () => {
    using scratch = new Scratch();
    using context = new Context({ rundir: scratch.path });
    context.serve("self");
    const library = JSON.stringify(`${import.meta.dir}/../../src/index.ts`);
    const script = `
      import { Context } from ${library};
      const context = new Context();
      context.connect("self");
      context.wait();
      context.close();`;
    const child = Bun.spawn({
      cmd: [process.execPath, "-e", script],
      env: { ...process.env, EARSHOT_RUNDIR: scratch.path },
      // A pipe that nobody reads stays open until it is collected.
      stdout: "ignore",
    });
    const joined = event(context, EventType.Connection);
    expect(joined.pid).toBe(child.pid);
    expect(context.peer(joined.connection)).toEqual({ ...self, pid: child.pid });
    const descriptor = context.peerProcess(joined.connection);
    const info = readFileSync(`/proc/self/fdinfo/${descriptor}`, "utf8");
    expect(info).toMatch(new RegExp(`^Pid:\\s+${child.pid}$`, "m"));
    closeSync(descriptor);
    context.closeHandle(joined.connection);
    expect(await child.exited).toBe(0);
  });
});

describe("pausing", () => {
  test("nothing is read from a paused connection, and nothing is lost", () => {
    using pair = new Pair();
    const { context } = pair;
    context.pause(pair.server);
    context.schedule(pair.client, "later");
    context.flush();
    expect(context.wait(0)).toEqual([]);
    context.schedule(pair.server, "the other way goes on");
    expect(texts(context, 1)).toEqual(["the other way goes on"]);
    expect(context.wait(0)).toEqual([]);
    context.pause(pair.server, false);
    expect(texts(context, 1)).toEqual(["later"]);
  });

  test("pausing twice is pausing once", () => {
    using pair = new Pair();
    const { context } = pair;
    for (const paused of [true, true, false, false]) context.pause(pair.server, paused);
    context.schedule(pair.client, "hello");
    expect(texts(context, 1)).toEqual(["hello"]);
  });

  test("a peer that is gone makes an end of it: first what it had sent, then that it has gone", () => {
    using pair = new Pair();
    const { context } = pair;
    context.pause(pair.server);
    context.schedule(pair.client, "last words");
    expect(context.wait(0)).toEqual([]);
    context.closeHandle(pair.client);
    expect(event(context, EventType.Disconnection).connection).toBe(pair.client);
    const seen: EventType[] = [];
    drive(
      "it has ended",
      [context],
      () => seen.length === 2,
      (each) => seen.push(each.type),
    );
    expect(seen).toEqual([EventType.MessageRx, EventType.Disconnection]);
  });
});

describe("pollers", () => {
  const kinds = onLinux ? (["poll", "epoll"] as const) : (["poll", "kqueue"] as const);
  for (const poller of kinds) {
    test(`${poller} by option`, () => {
      const before = descriptors()["anon_inode:[eventpoll]"] ?? 0;
      using pair = new Pair({ context: { poller } });
      if (canCount) {
        const opened = (descriptors()["anon_inode:[eventpoll]"] ?? 0) - before;
        expect(opened).toBe(poller === "epoll" ? 1 : 0);
      }
      pair.context.schedule(pair.client, "hello");
      expect(texts(pair.context, 1)).toEqual(["hello"]);
      const timer = pair.context.timer(1);
      expect(event(pair.context, EventType.Timer).source).toBe(timer);
    });
  }

  test("one that does not exist: what there is", () => {
    const error = thrown(() => new Context({ poller: "select" as "poll" }));
    expect(error.code).toBe("EINVAL");
    expect(error.message).toContain('"select"');
    expect(error.message).toContain("poll, epoll, kqueue");
    expect(thrown(() => new Context({ poller: "toString" as "poll" })).code).toBe("EINVAL");
  });

  test("one that this system lacks", () => {
    const poller = onLinux ? "kqueue" : "epoll";
    const error = thrown(() => new Context({ poller }));
    expect(error.code).toBe("ENOTSUP");
    expect(error.message).toContain("leave the option out");
  });

  /** Opens a context in a process whose environment names a poller, and tells what came of it. */
  async function openWith(poller: string, option?: string) {
    const script = `
      import { readdirSync, readlinkSync } from "node:fs";
      import { Context } from ${JSON.stringify(`${import.meta.dir}/../../src/index.ts`)};
      const count = () => readdirSync("/proc/self/fd").filter((name) => {
        try { return readlinkSync("/proc/self/fd/" + name) === "anon_inode:[eventpoll]"; }
        catch { return false; }
      }).length;
      const before = count();
      try {
        const context = new Context(${JSON.stringify(option === undefined ? {} : { poller: option })});
        console.log(JSON.stringify({ epolls: count() - before }));
        context.close();
      } catch (error) {
        console.log(JSON.stringify({ code: error.code, message: error.message }));
      }`;
    const child = Bun.spawn({
      cmd: [process.execPath, "-e", script],
      env: { ...process.env, EARSHOT_POLLER: poller },
      stdout: "pipe",
    });
    const text = await child.stdout.text();
    expect(await child.exited).toBe(0);
    return JSON.parse(text) as { epolls?: number; code?: string; message?: string };
  }

  test.skipIf(!onLinux)("by EARSHOT_POLLER, unless the option says otherwise", async () => {
    expect(await openWith("poll")).toEqual({ epolls: 0 });
    expect(await openWith("epoll")).toEqual({ epolls: 1 });
    expect(await openWith("")).toEqual({ epolls: 1 });
    expect(await openWith("poll", "epoll")).toEqual({ epolls: 1 });
    expect(await openWith("nonsense", "poll")).toEqual({ epolls: 0 });
  });

  test.skipIf(!onLinux)("an EARSHOT_POLLER that names none", async () => {
    const { code, message } = await openWith("nonsense");
    expect(code).toBe("EINVAL");
    expect(message).toContain('"nonsense"');
    expect(message).toContain("poll, epoll, kqueue");
  });
});

describe("who may connect", () => {
  const uid = process.geteuid!();

  test("a peer that is not allowed is refused and reported, and finds a closed connection", () => {
    using scratch = new Scratch();
    using context = new Context({ rundir: scratch.path });
    const service = context.serve("others", { allow: { users: [uid + 1] } });
    const client = context.connect("others");
    const seen: Event[] = [];
    drive(
      "it is refused",
      [context],
      () => seen.length === 2,
      (each) => seen.push(each),
    );
    const refused = seen.find((each) => each.type === EventType.Error);
    expect(refused).toMatchObject({ source: service, reason: "not_allowed", uid });
    if (onLinux) expect(refused!.pid).toBe(process.pid);
    const end = seen.find((each) => each.type === EventType.Disconnection);
    expect(end).toMatchObject({ connection: client });
    expect(context.statistics(service)).toMatchObject({
      connectionsAccepted: 0,
      connectionsOpen: 0,
      reasons: { not_allowed: 1 },
    });
  });

  for (const [what, allow] of [
    ["anyone", "anyone"],
    ["by user", { users: [uid + 1, uid] }],
    ["by group", { groups: [process.getegid!()] }],
  ] as const) {
    test(what, () => {
      using pair = new Pair({ service: { allow } });
      pair.context.schedule(pair.client, "hello");
      expect(texts(pair.context, 1)).toEqual(["hello"]);
      expect(statSync(pair.scratch.join("self")).mode & 0o777).toBe(0o666);
    });
  }

  test("the socket is the own user's alone unless it is told otherwise", () => {
    using pair = new Pair();
    expect(statSync(pair.scratch.join("self")).mode & 0o777).toBe(0o600);
    pair.context.serve("other", { mode: 0o640 });
    expect(statSync(pair.scratch.join("other")).mode & 0o777).toBe(0o640);
    expect(thrown(() => pair.context.serve("third", { mode: 0o1777 })).code).toBe("EINVAL");
    expect(thrown(() => pair.context.serve("third", { backlog: -1 })).code).toBe("EINVAL");
    expect(pair.scratch.entries()).not.toContain("third");
  });

  test("nobody: that cannot be meant", () => {
    using context = new Context();
    const error = thrown(() => context.serve("nobody", { allow: {} }));
    expect(error.code).toBe("EINVAL");
    expect(error.message).toContain("nobody could connect");
  });

  test("more connections than a service may have", () => {
    using pair = new Pair({ service: { connectionsMax: 1 } });
    const { context } = pair;
    const second = context.connect("self");
    const seen: Event[] = [];
    drive(
      "the second is refused",
      [context],
      () => seen.length === 2,
      (each) => seen.push(each),
    );
    const refused = seen.find((each) => each.type === EventType.Error);
    expect(refused).toMatchObject({ source: pair.service, reason: "connections_limit" });
    expect(seen.find((each) => each.type === EventType.Disconnection)?.connection).toBe(second);
    context.closeHandle(pair.client);
    events(context, EventType.Disconnection, 2);
    context.connect("self");
    expect(event(context, EventType.Connection).service).toBe(pair.service);
  });
});
