/** What a daemon does for ipcd: hears a URI in whatever pieces, leads there or says why not, and holds a lifeline. */

import { describe, expect, test } from "bun:test";
import type { Connection } from "../../../src/index.ts";
import { connect, serve } from "../../../src/index.ts";
import { answerBytesMax } from "../../../src/ipc/lookup.ts";
import { loop } from "../../../src/ipc/loop.ts";
import { bind } from "../../../src/ipc/switch.ts";
import type { Uri } from "../../../src/ipc/uri.ts";
import { uriBytesMax } from "../../../src/ipc/uri.ts";
import { Counters } from "../../../src/services/daemon/counters.ts";
import type { LookupCount, Reached } from "../../../src/services/daemon/lookups.ts";
import { lookupCounts, serveLookups } from "../../../src/services/daemon/lookups.ts";
import { NoWay } from "../../../src/services/daemon/way.ts";
import { Asker } from "../../kit/asker.ts";
import { frame, header, join } from "../../kit/frames.ts";
import { leaveNoTrace } from "../../kit/no-trace.ts";
import { Scratch } from "../../kit/scratch.ts";
import { until, within } from "../../kit/until.ts";

leaveNoTrace();

const uri = "tcp://host:1/far";

type Setting = {
  reach?: (uri: Uri, signal: AbortSignal) => Promise<Reached>;
  askTimeoutMs?: number;
};

/** A daemon for `tcp` that leads everybody to a service which sends everything back. */
async function daemon({ reach, askTimeoutMs }: Setting = {}) {
  const scratch = new Scratch();
  const { path: rundir } = scratch;
  const asked: { uri: Uri; signal: AbortSignal }[] = [];
  const dropped: Connection[] = [];
  const complaints: string[] = [];
  const ends: string[] = [];
  const counters = new Counters<LookupCount>(lookupCounts);
  const far = await serve(
    "far",
    { message: (connection, { bytes }) => void connection.send(bytes) },
    { rundir, raw: true },
  );
  const lead = async (): Promise<Reached> => {
    const connection = await connect("far", { rundir, raw: true });
    connection.pause();
    return {
      drop() {
        dropped.push(connection);
        void connection.close({ now: true });
      },
      async join(client) {
        await bind(client, connection).ended;
      },
    };
  };
  const service = await serveLookups(
    "tcp",
    {
      name: "tcp",
      options: { rundir },
      reports: {
        trouble: () => undefined,
        error: (_, error) => void complaints.push(`${error}`),
        close: (_, { reason }) => void ends.push(reason),
      },
      complain: (_, what) => void complaints.push(what),
      signal: new AbortController().signal,
    },
    counters,
    (to, signal) => {
      asked.push({ uri: to, signal });
      return reach === undefined ? lead() : reach(to, signal);
    },
    ...(askTimeoutMs === undefined ? [] : [askTimeoutMs]),
  );
  return {
    asked,
    complaints,
    counters,
    dropped,
    ends,
    far,
    lead,
    ipcd: () => Asker.connect("tcp", { rundir }),
    async [Symbol.asyncDispose]() {
      await service.close({ now: true });
      await far.close({ now: true });
      scratch[Symbol.dispose]();
    },
  };
}

test("leads there: after ok the connection is the service's", async () => {
  await using tcp = await daemon();
  await using ipcd = await tcp.ipcd();
  ipcd.ask(uri);
  await ipcd.hears("ok");
  expect(tcp.asked[0]!.uri.text).toBe(uri);
  ipcd.connection.send("hello");
  await ipcd.hears("okhello");
  expect(tcp.counters.all()).toEqual({ lookups: 1, lookups_failed: 0, lookups_open: 1 });
  await ipcd.connection.close();
  await until("it is over", () => tcp.counters.of("lookups_open") === 0);
  expect(tcp.complaints).toEqual([]);
});

test.each([1, 2, 3, 4, 5, 7])("a request may come %d bytes at a time", async (size) => {
  await using tcp = await daemon();
  await using ipcd = await tcp.ipcd();
  const bytes = frame(uri);
  for (let at = 0; at < bytes.length; at += size) {
    ipcd.connection.send(bytes.slice(at, at + size));
    await Bun.sleep(1);
  }
  await ipcd.hears("ok");
});

test("a request as long as may be is heard whole", async () => {
  await using tcp = await daemon();
  await using ipcd = await tcp.ipcd();
  const long = `tcp://host:1/${"x".repeat(uriBytesMax)}`.slice(0, uriBytesMax);
  ipcd.ask(long);
  // That no name has so many bytes is the URI's affair.
  expect(await ipcd.whole()).toStartWith('error: "xxx');
});

describe("is refused, once, and told why:", () => {
  const tooLong = `error: a lookup is one message, of at most ${uriBytesMax} bytes`;

  test.each([
    ["one that is too long", header(uriBytesMax + 1), tooLong],
    ["one that is far too long", header(2 ** 32 - 1), tooLong],
    ["one with bytes behind it", join([frame(uri), Uint8Array.of(1)]), tooLong],
    ["one with another behind it", join([frame(uri), frame(uri)]), tooLong],
    ["nothing", frame(""), "error: a URI is SCHEME://HOST:PORT/NAME, or unix://NAME"],
    ["what is no URI", frame("pong"), "error: a URI is SCHEME://HOST:PORT/NAME, or unix://NAME"],
    ["what is no text", frame(Uint8Array.of(0xff, 0xfe)), "error: a URI has no"],
    ["another scheme", frame("tls://host:1/far"), "error: this is tcp, and not tls"],
  ])("%s", async (_, bytes, why) => {
    await using tcp = await daemon();
    await using ipcd = await tcp.ipcd();
    ipcd.connection.send(bytes);
    expect(await ipcd.whole()).toStartWith(why);
    expect(tcp.asked).toEqual([]);
    expect(tcp.complaints).toHaveLength(1);
    expect(tcp.counters.all()).toMatchObject({ lookups_failed: 1, lookups_open: 0 });
  });

  test("a way that is none", async () => {
    await using tcp = await daemon({ reach: () => Promise.reject(new NoWay("ö".repeat(1000))) });
    await using ipcd = await tcp.ipcd();
    ipcd.ask(uri);
    const answer = await ipcd.whole();
    expect(answer).toMatch(/^error: ö+$/);
    expect(Buffer.byteLength(answer)).toBeLessThanOrEqual(answerBytesMax);
  });

  test("one that goes on while it is led", async () => {
    const gate = Promise.withResolvers<void>();
    const tcp = await daemon({ reach: () => gate.promise.then(() => tcp.lead()) });
    await using _ = tcp;
    await using ipcd = await tcp.ipcd();
    ipcd.ask(uri);
    await until("it is led", () => tcp.asked.length === 1);
    for (const _ of "more") ipcd.connection.send("more");
    expect(await ipcd.whole()).toBe(tooLong);
    expect(tcp.asked[0]!.signal.aborted).toBe(true);
    gate.resolve();
    await until("what it was led to is dropped", () => tcp.dropped.length === 1);
    expect(tcp.complaints).toHaveLength(1);
    expect(tcp.counters.all()).toEqual({ lookups: 1, lookups_failed: 1, lookups_open: 0 });
  });

  test("who asks for nothing in time", async () => {
    await using tcp = await daemon({ askTimeoutMs: 20 });
    await using silent = await tcp.ipcd();
    await using halting = await tcp.ipcd();
    halting.connection.send(frame(uri).slice(0, 10));
    expect(await silent.whole()).toBe("error: no URI was asked for");
    expect(await halting.whole()).toBe("error: no URI was asked for");
    expect(tcp.counters.all()).toEqual({ lookups: 0, lookups_failed: 2, lookups_open: 0 });
  });
});

test("a way that takes longer than asking may is waited for", async () => {
  const gate = Promise.withResolvers<void>();
  const tcp = await daemon({ askTimeoutMs: 20, reach: () => gate.promise.then(() => tcp.lead()) });
  await using _ = tcp;
  await using ipcd = await tcp.ipcd();
  ipcd.ask(uri);
  await until("it is led", () => tcp.asked.length === 1);
  await Bun.sleep(60);
  gate.resolve();
  await ipcd.hears("ok");
});

test("who goes while it is led has the search told, and what was reached dropped", async () => {
  const gate = Promise.withResolvers<void>();
  const tcp = await daemon({ reach: () => gate.promise.then(() => tcp.lead()) });
  await using _ = tcp;
  const ipcd = await tcp.ipcd();
  ipcd.ask(uri);
  await until("it is led", () => tcp.asked.length === 1);
  await ipcd.connection.close();
  await until("the search is told", () => tcp.asked[0]!.signal.aborted);
  gate.resolve();
  await until("what was reached is dropped", () => tcp.dropped.length === 1);
  expect(tcp.counters.of("lookups_open")).toBe(0);
  expect(tcp.complaints).toEqual([]);
});

describe("a lifeline", () => {
  async function held(send: (ipcd: Asker, life: readonly [number]) => void | Promise<void>) {
    const tcp = await daemon();
    const ipcd = await tcp.ipcd();
    const [ours, theirs] = loop().context.pair();
    const line = await connect("life", { descriptor: ours, raw: true });
    await send(ipcd, [theirs.number]);
    theirs.close();
    return {
      tcp,
      ipcd,
      line,
      async [Symbol.asyncDispose]() {
        await line.close({ now: true });
        await ipcd[Symbol.asyncDispose]();
        await tcp[Symbol.asyncDispose]();
      },
    };
  }

  test("lasts as long as it leads there", async () => {
    await using setting = await held(({ connection }, descriptors) => {
      connection.send(frame(uri), { descriptors });
    });
    const { tcp, ipcd, line } = setting;
    await ipcd.hears("ok");
    await Bun.sleep(20);
    expect(line.open).toBe(true);
    await ipcd.connection.close();
    expect((await within("its end", line.ended)).reason).toBe("peer_closed");
    expect(tcp.counters.of("lookups_open")).toBe(0);
  });

  test("ends with the service on the other side", async () => {
    await using setting = await held(({ connection }, descriptors) => {
      connection.send(frame(uri), { descriptors });
    });
    await setting.ipcd.hears("ok");
    await setting.tcp.far.close({ now: true });
    await within("its end", setting.line.ended);
  });

  test("ends where there is no way", async () => {
    await using setting = await held(({ connection }, descriptors) => {
      connection.send(frame("tcp://none"), { descriptors });
    });
    await within("its end", setting.line.ended);
    expect(await setting.ipcd.whole()).toStartWith("error: tcp needs a port");
  });

  test("that comes twice, in pieces, is held once", async () => {
    await using setting = await held(async ({ connection }, descriptors) => {
      connection.send(frame(uri).slice(0, 3), { descriptors });
      await Bun.sleep(5);
      connection.send(frame(uri).slice(3), { descriptors });
    });
    await setting.ipcd.hears("ok");
    expect(setting.line.open).toBe(true);
    await setting.ipcd.connection.close();
    await within("its end", setting.line.ended);
  });
});
