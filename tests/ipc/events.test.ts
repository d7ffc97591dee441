/** Events: their numbers, what each kind carries, and how they come on Bun's event loop. */

import { describe, expect, test } from "bun:test";
import { closeSync, openSync } from "node:fs";
import type { Event, PollerKind } from "../../src/index.ts";
import { Context, EventType } from "../../src/index.ts";
import { leaveNoTrace } from "../kit/no-trace.ts";
import { drive, event, events, Pair } from "../kit/pair.ts";
import { Scratch } from "../kit/scratch.ts";
import { within } from "../kit/until.ts";

leaveNoTrace();

const onLinux = process.platform === "linux";

const pollers: readonly PollerKind[] = onLinux ? ["epoll", "poll"] : ["kqueue", "poll"];

/** More than the socket takes at once, so that the rest waits for the reader. */
const long = new Uint8Array(1024 * 1024);

/** Longer than any test. */
const never = 3600e9;

test("the numbers are LibIPC's", () => {
  expect(EventType).toEqual({
    Error: 0,
    Connection: 1,
    Disconnection: 2,
    MessageRx: 3,
    MessageTx: 4,
    Timer: 5,
    External: 6,
    SwitchRx: 7,
    SwitchTx: 8,
    Drain: 9,
  });
});

describe("what each carries", () => {
  /** Everything of an event that can be asked of any. */
  const members = (each: Event) => ({
    type: each.type,
    source: each.source,
    connection: each.connection,
    service: each.service,
    reason: each.reason,
    error: each.error,
    errno: each.errno,
    pid: each.pid,
    uid: each.uid,
    gid: each.gid,
    lost: each.lost,
    token: each.token,
    periods: each.periods,
    descriptor: each.descriptor,
    queuedBytes: each.queuedBytes,
  });
  const nothing = {
    service: 0,
    reason: "none" as const,
    error: undefined,
    errno: 0,
    pid: 0,
    uid: 0,
    gid: 0,
    lost: { messages: 0, bytes: 0 },
    token: 0,
    periods: 0,
    descriptor: -1,
    queuedBytes: 0,
  };
  /** What an event of `type` about `source` carries besides nothing. */
  const only = (type: EventType, source: number, more: Partial<ReturnType<typeof members>>) => ({
    ...nothing,
    type,
    source,
    connection: source,
    ...more,
  });

  test("Connection: whose it is, and who came", () => {
    using pair = new Pair();
    const { context } = pair;
    context.connect("self");
    const joined = event(context, EventType.Connection);
    expect(members(joined)).toEqual(
      only(EventType.Connection, joined.connection, {
        service: pair.service,
        pid: onLinux ? process.pid : joined.pid,
        uid: process.geteuid!(),
        gid: process.getegid!(),
      }),
    );
  });

  test("MessageRx: the message, on either end", () => {
    using pair = new Pair();
    const { context } = pair;
    context.schedule(pair.client, "hello");
    const there = event(context, EventType.MessageRx);
    expect(members(there)).toEqual(
      only(EventType.MessageRx, pair.server, { service: pair.service }),
    );
    expect(there.message.text()).toBe("hello");
    expect(there.message).toBe(there.message);
    context.schedule(pair.server, "hello");
    const back = event(context, EventType.MessageRx);
    expect(members(back)).toEqual(only(EventType.MessageRx, pair.client, {}));
  });

  test("MessageTx: the token", () => {
    using pair = new Pair();
    pair.context.schedule(pair.server, "hello", { report: 77 });
    const sent = event(pair.context, EventType.MessageTx);
    expect(members(sent)).toEqual(
      only(EventType.MessageTx, pair.server, { service: pair.service, token: 77 }),
    );
  });

  test("Timer: the periods", () => {
    using context = new Context();
    const timer = context.timer(1);
    expect(members(event(context, EventType.Timer))).toEqual(
      only(EventType.Timer, timer, { periods: 1 }),
    );
  });

  test("Disconnection: why, from both sides", () => {
    using pair = new Pair();
    pair.context.closeHandle(pair.client);
    const ends = events(pair.context, EventType.Disconnection, 2).map(members);
    expect(ends).toContainEqual(only(EventType.Disconnection, pair.client, { reason: "closed" }));
    expect(ends).toContainEqual(
      only(EventType.Disconnection, pair.server, {
        service: pair.service,
        reason: "peer_closed",
      }),
    );
  });

  test("Error for what this side asked for: why, how much, and nothing of a peer", () => {
    using context = new Context();
    for (const text of ["one", "three"]) context.schedule(12345, text);
    const failed = event(context, EventType.Error);
    const lost = { messages: 2, bytes: 2 * 4 + "onethree".length };
    expect(members(failed)).toEqual(only(EventType.Error, 12345, { error: failed.error, lost }));
    expect(failed.error?.code).toBe("ECLOSED");
    const bytes = new Uint8Array(100_000);
    context.schedule(12345, bytes);
    expect(event(context, EventType.Error).lost).toEqual({ messages: 1, bytes: 4 + bytes.length });
  });
});

test("the events of one connection come in their order, and its end comes last", () => {
  using pair = new Pair();
  const { context } = pair;
  for (let count = 0; count < 100; count++) context.schedule(pair.client, String(count));
  context.closeHandle(pair.client);
  const seen: string[] = [];
  drive(
    "it has ended",
    [context],
    () => seen.at(-1) === "end",
    (each) => {
      if (each.connection !== pair.server) return;
      seen.push(each.type === EventType.MessageRx ? each.message.text() : "end");
    },
  );
  expect(seen).toEqual([...Array.from({ length: 100 }, (_, index) => String(index)), "end"]);
});

describe("on Bun's loop", () => {
  test("events come as they do in a plain loop", async () => {
    using pair = new Pair();
    const { context } = pair;
    context.schedule(pair.client, "0");
    const seen: string[] = [];
    for await (const each of context.events()) {
      if (each.type !== EventType.MessageRx) continue;
      const text = each.message.text();
      seen.push(text);
      if (seen.length === 100) break;
      context.schedule(each.connection, String(seen.length));
    }
    expect(seen).toEqual(Array.from({ length: 100 }, (_, index) => String(index)));
  });

  test("timers, microtasks and everything else go on meanwhile", async () => {
    using context = new Context();
    const timer = context.timer(1e6, 1e6);
    let ticks = 0;
    const interval = setInterval(() => ticks++, 1);
    for await (const each of context.events()) {
      expect(each.source).toBe(timer);
      if (ticks >= 5) break;
    }
    clearInterval(interval);
    expect(ticks).toBeGreaterThanOrEqual(5);
  });

  test("a loop that is left goes on where it was left, in either kind", async () => {
    using pair = new Pair();
    const { context } = pair;
    for (const text of ["a", "b", "c", "d"]) context.schedule(pair.client, text);
    const seen: string[] = [];
    for await (const each of context.events()) {
      seen.push(each.message.text());
      break;
    }
    for (const each of context) {
      seen.push(each.message.text());
      break;
    }
    for await (const each of context.events()) {
      seen.push(each.message.text());
      if (seen.length === 4) break;
    }
    expect(seen).toEqual(["a", "b", "c", "d"]);
  });

  test("an abort ends it, at rest", async () => {
    using context = new Context();
    context.timer(never);
    const abort = new AbortController();
    const ended = (async () => {
      for await (const each of context.events({ signal: abort.signal })) expect(each).toBeNull();
      return "ended";
    })();
    setTimeout(() => abort.abort(), 1);
    expect(await within("the loop to end", ended)).toBe("ended");
    expect(context.closed).toBe(false);
  });

  test("an abort ends it, in the middle of a batch whose rest is kept", async () => {
    using pair = new Pair();
    const { context } = pair;
    for (const text of ["a", "b", "c"]) context.schedule(pair.client, text);
    const abort = new AbortController();
    const seen: string[] = [];
    for await (const each of context.events({ signal: abort.signal })) {
      seen.push(each.message.text());
      abort.abort();
    }
    expect(seen).toEqual(["a"]);
    expect(context.wait(0).map((each) => each.message.text())).toEqual(["b", "c"]);
  });

  test("one that is aborted beforehand does not begin", async () => {
    using pair = new Pair();
    const { context } = pair;
    context.schedule(pair.client, "later");
    for await (const each of context.events({ signal: AbortSignal.abort() })) {
      expect(each).toBeNull();
    }
    expect(event(context, EventType.MessageRx).message.text()).toBe("later");
  });

  test("after an abort another begins", async () => {
    using pair = new Pair();
    const { context } = pair;
    for (let round = 0; round < 20; round++) {
      const abort = new AbortController();
      setImmediate(() => abort.abort());
      for await (const each of context.events({ signal: abort.signal })) expect(each).toBeNull();
    }
    setImmediate(() => context.write(pair.client, "at last"));
    for await (const each of context.events()) {
      expect(each.message.text()).toBe("at last");
      break;
    }
  });

  test("one that is never quiet leaves the others their turns", async () => {
    using context = new Context();
    const file = openSync(import.meta.path, "r");
    context.external(file);
    let ticks = 0;
    const timer = setInterval(() => {
      ticks += 1;
      if (ticks === 5) context.close();
    }, 1);
    for await (const each of context.events()) expect(each.descriptor).toBe(file);
    expect(ticks).toBe(5);
    clearInterval(timer);
    closeSync(file);
  });

  test("closing the context ends it, at rest", async () => {
    const context = new Context();
    const ended = (async () => {
      for await (const each of context.events()) expect(each).toBeNull();
      return "ended";
    })();
    setTimeout(() => context.close(), 1);
    expect(await within("the loop to end", ended)).toBe("ended");
  });

  test("closing the context inside it ends it", async () => {
    using pair = new Pair();
    const { context } = pair;
    for (const text of ["a", "b", "c"]) context.schedule(pair.client, text);
    let seen = 0;
    for await (const each of context.events()) {
      expect(each.type).toBe(EventType.MessageRx);
      seen += 1;
      context.close();
    }
    expect(seen).toBe(1);
  });

  test("a closed context has none", async () => {
    const context = new Context();
    context.close();
    for await (const each of context.events()) expect(each).toBeNull();
  });

  test("what could not be sent is told here too, without anything else", async () => {
    using context = new Context();
    context.schedule(12345, "in vain");
    for await (const each of context.events()) {
      expect(each.error?.code).toBe("ECLOSED");
      break;
    }
  });

  test("wake lets it look, and sleep again", async () => {
    using pair = new Pair();
    const { context } = pair;
    const rings = setInterval(() => context.wake(), 1);
    setTimeout(() => context.write(pair.client, "hello"), 10);
    for await (const each of context.events()) {
      expect(each.message.text()).toBe("hello");
      break;
    }
    clearInterval(rings);
  });

  describe.each(pollers)("what comes to it while it sleeps, with %s", (poller) => {
    /** What the first event is that `doing` leads to, once the loop has fallen asleep. */
    async function first(pair: Pair, doing: (pair: Pair) => void): Promise<EventType> {
      const { context } = pair;
      const next = context.events().next();
      await Bun.sleep(5);
      doing(pair);
      const { value } = await within("an event", next);
      return value!.type;
    }

    test.each<[string, EventType, (pair: Pair) => void]>([
      ["a timer", EventType.Timer, ({ context }) => context.timer(1e6)],
      ["a connection", EventType.Connection, ({ context }) => context.connect("self")],
      ["a message", EventType.MessageRx, ({ context, client }) => context.schedule(client, "hi")],
      ["a long one", EventType.MessageRx, ({ context, client }) => context.write(client, long)],
      ["one in vain", EventType.Error, ({ context }) => context.schedule(12345, "hi")],
      ["an end", EventType.Disconnection, (pair) => pair.context.closeHandle(pair.client)],
      ["all ends", EventType.Disconnection, ({ context }) => context.closeAll({ now: true })],
    ])("%s", async (_, expected, doing) => {
      using pair = new Pair({ context: { poller } });
      expect(await first(pair, doing)).toBe(expected);
    });

    test("a descriptor", async () => {
      using pair = new Pair({ context: { poller } });
      const file = openSync(import.meta.path, "r");
      expect(await first(pair, ({ context }) => context.external(file))).toBe(EventType.External);
      pair.context.close();
      closeSync(file);
    });

    test("going on with a connection", async () => {
      using pair = new Pair({ context: { poller } });
      const { context, client, server } = pair;
      context.pause(server);
      context.write(client, "waits");
      expect(await first(pair, () => context.pause(server, false))).toBe(EventType.MessageRx);
    });
  });

  test("several contexts in one loop", async () => {
    using scratch = new Scratch();
    const rundir = scratch.path;
    using server = new Context({ rundir });
    server.serve("upper");
    const answering = (async () => {
      for await (const each of server.events()) {
        if (each.type === EventType.MessageRx) {
          server.schedule(each.connection, each.message.text().toUpperCase());
        }
      }
    })();
    const asking = Array.from({ length: 5 }, async (_, number) => {
      using client = new Context({ rundir });
      const connection = client.connect("upper");
      const answers: string[] = [];
      client.schedule(connection, `from ${number}`);
      for await (const each of client.events()) {
        answers.push(each.message.text());
        if (answers.length === 10) return answers;
        client.schedule(connection, `from ${number}`);
      }
      return answers;
    });
    const answers = await within("all answers", Promise.all(asking));
    for (const [number, texts] of answers.entries()) {
      expect(texts).toEqual(Array.from({ length: 10 }, () => `FROM ${number}`));
    }
    server.close();
    await within("the server's loop to end", answering);
  });

  test("a process ends when its loop does, and not before", async () => {
    const script = `
      import { Context } from ${JSON.stringify(`${import.meta.dir}/../../src/index.ts`)};
      const context = new Context();
      context.timer(20e6);
      for await (const event of context.events()) { console.log(event.periods); break; }
      console.log("over");`;
    const child = Bun.spawn({ cmd: [process.execPath, "-e", script], stdout: "pipe" });
    expect(await within("its words", child.stdout.text())).toBe("1\nover\n");
    expect(await within("its end", child.exited)).toBe(0);
  });
});
