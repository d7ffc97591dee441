/** Figures: those of connections add up to their service's, those of all to the context's, and to what really went. */

import { describe, expect, test } from "bun:test";
import type { Statistics } from "../../src/index.ts";
import { Context, EventType } from "../../src/index.ts";
import { canCount, descriptorCount } from "../kit/census.ts";
import { leaveNoTrace } from "../kit/no-trace.ts";
import { drive, event, events, messages, Pair } from "../kit/pair.ts";
import { Random } from "../kit/random.ts";
import { Scratch } from "../kit/scratch.ts";

leaveNoTrace();

const kib = 1024;
const headerBytes = 4;

const zero: Statistics = {
  messagesReceived: 0,
  messagesSent: 0,
  bytesReceived: 0,
  bytesSent: 0,
  queuedBytes: 0,
  messagesLost: 0,
  connectionsAccepted: 0,
  connectionsMade: 0,
  connectionsOpen: 0,
  descriptors: 0,
  reasons: {},
};

test("a context that has done nothing holds no more than it is woken by", () => {
  using context = new Context();
  const { descriptors } = context.statistics();
  expect(context.statistics()).toEqual({ ...zero, descriptors });
  expect(descriptors).toBeGreaterThan(0);
});

test("one message, counted at every place it passes", () => {
  using pair = new Pair();
  const { context } = pair;
  context.schedule(pair.client, "hello");
  messages(context, 1);
  const sent = { messagesSent: 1, bytesSent: headerBytes + 5 };
  const received = { messagesReceived: 1, bytesReceived: headerBytes + 5 };
  const open = { connectionsOpen: 1, descriptors: 1 };
  expect(context.statistics(pair.client)).toEqual({ ...zero, ...sent, ...open });
  expect(context.statistics(pair.server)).toEqual({ ...zero, ...received, ...open });
  expect(context.statistics(pair.service)).toMatchObject({
    ...zero,
    ...received,
    connectionsAccepted: 1,
    connectionsOpen: 1,
    descriptors: expect.any(Number),
  });
  expect(context.statistics()).toMatchObject({
    ...sent,
    ...received,
    connectionsAccepted: 1,
    connectionsMade: 1,
    connectionsOpen: 2,
    reasons: {},
  });
});

test("much traffic adds up, while it goes on and when all have gone", () => {
  using scratch = new Scratch();
  using context = new Context({ rundir: scratch.path });
  const services = ["one", "two"].map((name) => context.serve(name));
  const clients = Array.from({ length: 6 }, (_, number) =>
    context.connect(number % 2 === 0 ? "one" : "two"),
  );
  const accepted = new Map(
    events(context, EventType.Connection, clients.length).map((each) => [
      each.connection,
      each.service,
    ]),
  );
  const random = new Random(7);
  let [count, bytes] = [0, 0];
  for (let round = 0; round < 300; round++) {
    const payload = random.bytes(random.below(round % 50 === 0 ? 50 * kib : 200));
    context.schedule(clients[random.below(clients.length)]!, payload);
    count += 1;
    bytes += headerBytes + payload.length;
  }
  let received = 0;
  drive(
    "all have been answered",
    [context],
    () => received === 2 * count,
    (each) => {
      if (each.type !== EventType.MessageRx) return;
      received += 1;
      if (each.service !== 0) context.schedule(each.connection, each.message.bytes);
    },
  );

  const figures = (handle: number) => context.statistics(handle);
  const sum = (all: Statistics[], name: Exclude<keyof Statistics, "reasons">) =>
    all.reduce((total, each) => total + each[name], 0);
  const names = [
    "messagesReceived",
    "messagesSent",
    "bytesReceived",
    "bytesSent",
    "queuedBytes",
    "messagesLost",
    "connectionsOpen",
  ] as const;
  const all = figures(0);
  const made = clients.map(figures);
  for (const name of names) {
    for (const service of services) {
      const its = [...accepted].filter(([, of]) => of === service).map(([each]) => figures(each));
      expect(figures(service)[name]).toBe(sum(its, name));
    }
    expect(all[name]).toBe(sum([...services.map(figures), ...made], name));
  }
  expect(all).toMatchObject({
    messagesReceived: 2 * count,
    messagesSent: 2 * count,
    bytesReceived: 2 * bytes,
    bytesSent: 2 * bytes,
    queuedBytes: 0,
    messagesLost: 0,
    connectionsAccepted: 6,
    connectionsMade: 6,
    connectionsOpen: 12,
    reasons: {},
  });

  for (const client of clients) context.closeHandle(client);
  events(context, EventType.Disconnection, 12);
  const after = figures(0);
  expect(after).toEqual({
    ...all,
    connectionsOpen: 0,
    descriptors: all.descriptors - 12,
    reasons: { closed: 6, peer_closed: 6 },
  });
  for (const service of services) {
    expect(figures(service)).toMatchObject({ connectionsOpen: 0, reasons: { peer_closed: 3 } });
  }
});

describe("what waits, and what is lost", () => {
  test("queued bytes are what was taken and is not with the kernel", () => {
    using pair = new Pair();
    const { context } = pair;
    context.pause(pair.server);
    const payload = new Uint8Array(30 * kib);
    let taken = 0;
    while (context.write(pair.client, payload) < 100 * kib) taken += 1;
    taken += 1;
    const { queuedBytes, bytesSent, messagesSent } = context.statistics(pair.client);
    expect(queuedBytes + bytesSent).toBe(taken * (headerBytes + payload.length));
    expect(messagesSent).toBe(Math.floor(bytesSent / (headerBytes + payload.length)));
    expect(context.statistics().queuedBytes).toBe(queuedBytes);
    context.closeHandle(pair.client, { now: true });
    const end = event(context, EventType.Disconnection);
    expect(end.lost).toEqual({ messages: taken - messagesSent, bytes: queuedBytes });
    expect(context.statistics()).toMatchObject({
      queuedBytes: 0,
      messagesSent,
      messagesLost: taken - messagesSent,
    });
  });

  test("a service counts what its peers were owed", () => {
    using pair = new Pair();
    const { context } = pair;
    context.pause(pair.client);
    while (context.write(pair.server, new Uint8Array(30 * kib)) < 100 * kib);
    const { queuedBytes } = context.statistics(pair.server);
    expect(context.statistics(pair.service).queuedBytes).toBe(queuedBytes);
    context.closeHandle(pair.server, { now: true });
    const { lost } = event(context, EventType.Disconnection);
    expect(context.statistics(pair.service)).toMatchObject({
      queuedBytes: 0,
      messagesLost: lost.messages,
      reasons: { closed: 1 },
    });
  });
});

test.skipIf(!canCount)("descriptors are those that the context really holds", () => {
  using scratch = new Scratch();
  const before = descriptorCount();
  const context = new Context({ rundir: scratch.path });
  const held = () => descriptorCount() - before;
  expect(context.statistics().descriptors).toBe(held());
  const service = context.serve("self");
  expect(context.statistics().descriptors).toBe(held());
  const clients = Array.from({ length: 5 }, () => context.connect("self"));
  events(context, EventType.Connection, 5);
  expect(context.statistics().descriptors).toBe(held());
  context.timer(1e12);
  for (const client of clients) context.closeHandle(client);
  events(context, EventType.Disconnection, 10);
  expect(context.statistics().descriptors).toBe(held());
  context.closeHandle(service);
  expect(context.statistics().descriptors).toBe(held());
  context.close();
  expect(held()).toBe(0);
});
