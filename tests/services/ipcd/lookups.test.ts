/**
 * What a lookup goes through, from the request to the end of the client: over real connections and with a real
 * descriptor, which a leader of the test's own opens, so that it can be held up and looked at.
 */

import { describe, expect, test } from "bun:test";
import { openSync } from "node:fs";
import type { Connection } from "../../../src/index.ts";
import { connect, serve } from "../../../src/index.ts";
import { Descriptor } from "../../../src/ipc/descriptor.ts";
import { answerBytesMax, formatRequest } from "../../../src/ipc/lookup.ts";
import { loop } from "../../../src/ipc/loop.ts";
import type { Uri } from "../../../src/ipc/uri.ts";
import type { Leader, Led } from "../../../src/services/ipcd/leader.ts";
import { LeadError } from "../../../src/services/ipcd/leader.ts";
import { Ledger } from "../../../src/services/ipcd/ledger.ts";
import { Lookups } from "../../../src/services/ipcd/lookups.ts";
import { Rulebook } from "../../../src/services/ipcd/rulebook.ts";
import { parseRules } from "../../../src/services/ipcd/rules-file.ts";
import { Asker, answerOf } from "../../kit/asker.ts";
import { frame } from "../../kit/frames.ts";
import { leaveNoTrace } from "../../kit/no-trace.ts";
import { Scratch } from "../../kit/scratch.ts";
import { until } from "../../kit/until.ts";

leaveNoTrace();

const network = "pong tcp://host:1/pong";

/** Opens a descriptor when it is told to, and remembers what became of it. */
function heldLeader(lifeline?: () => Promise<Connection>) {
  const asked: { uri: Uri; signal: AbortSignal }[] = [];
  const led: Led[] = [];
  const gate = Promise.withResolvers<void>();
  const leader: Leader = async (uri, signal) => {
    asked.push({ uri, signal });
    await gate.promise;
    const found = {
      descriptor: new Descriptor(openSync("/dev/null", "r")),
      lifeline: await lifeline?.(),
    };
    led.push(found);
    return found;
  };
  return { leader, asked, led, go: () => gate.resolve() };
}

async function desk(leader: Leader, ...rules: string[]) {
  const scratch = new Scratch();
  const ledger = new Ledger();
  const complaints: string[] = [];
  const rulebook = new Rulebook(parseRules("f", rules.join("\n")), undefined, ledger);
  const complain = (_: string, what: string) => void complaints.push(what);
  const lookups = new Lookups({ rulebook, ledger, leader, complain });
  const service = await serve(
    "ipc",
    {
      open: (connection) => lookups.open(connection),
      message: (connection, message) => lookups.message(connection, message),
      close: (connection) => lookups.close(connection),
    },
    { rundir: scratch.path, raw: true },
  );
  return {
    ledger,
    complaints,
    service,
    lookups,
    client: () => Asker.connect("ipc", { rundir: scratch.path }),
    /** Asks, and waits for the end. */
    answer: (text: string | Uint8Array) => answerOf("ipc", text, { rundir: scratch.path }),
    async [Symbol.asyncDispose]() {
      await lookups.endAll();
      await service.close({ now: true });
      ledger[Symbol.dispose]();
      scratch[Symbol.dispose]();
    },
  };
}

const request = formatRequest({ service: "pong", network });

test("leads, hands over, and without a lifeline knows the connection until the client closes it", async () => {
  const { leader, asked, led, go } = heldLeader();
  await using ipcd = await desk(leader);
  await using client = await ipcd.client();
  client.ask(request);
  await until("it is led", () => asked.length === 1);
  expect(asked[0]!.uri.text).toBe("tcp://host:1/pong");
  expect(ipcd.ledger.counts()["connections"]).toBe(0);
  go();
  await client.hears("ok");
  expect(client.descriptors).toHaveLength(1);
  expect(led[0]!.descriptor.closed).toBe(true);
  expect(ipcd.ledger.counts()).toMatchObject({ connections: 1, out_allowed: 1 });
  await client.connection.close();
  await until("its row is gone", () => ipcd.ledger.counts()["connections"] === 0);
  expect(ipcd.complaints).toEqual([]);
});

test("with a lifeline knows the connection until that ends, whether or not the client stays", async () => {
  const [ours, theirs] = loop().context.pair();
  const { leader, go } = heldLeader(() => connect("life", { descriptor: ours, raw: true }));
  await using ipcd = await desk(leader);
  await using client = await ipcd.client();
  client.ask(request);
  go();
  await client.hears("ok");
  await client.connection.close();
  await until("ipcd knows that", () => ipcd.service.statistics().connectionsOpen === 0);
  expect(ipcd.ledger.counts()["connections"]).toBe(1);
  theirs.close();
  await until("its row is gone", () => ipcd.ledger.counts()["connections"] === 0);
});

test("a client that goes while it is led has the leader told, and what it was led to closed", async () => {
  const { leader, asked, led, go } = heldLeader();
  await using ipcd = await desk(leader);
  const client = await ipcd.client();
  client.ask(request);
  await until("it is led", () => asked.length === 1);
  await client.connection.close();
  await until("the leader is told", () => asked[0]!.signal.aborted);
  go();
  await until("the descriptor is closed", () => led[0]?.descriptor.closed === true);
  expect(ipcd.ledger.counts()).toMatchObject({ connections: 0, out_allowed: 0 });
});

test("a second request ends it, and nothing is handed over", async () => {
  const { leader, asked, led, go } = heldLeader();
  await using ipcd = await desk(leader);
  await using client = await ipcd.client();
  client.ask(request);
  await until("it is led", () => asked.length === 1);
  client.ask(request);
  expect(await client.whole()).toStartWith("error: a lookup is one message");
  expect(asked[0]!.signal.aborted).toBe(true);
  go();
  await until("the descriptor is closed", () => led[0]?.descriptor.closed === true);
  expect(ipcd.ledger.counts()).toMatchObject({ connections: 0, out_allowed: 0, out_unclear: 1 });
  expect(ipcd.complaints).toHaveLength(1);
});

test("a request may come byte by byte", async () => {
  const { leader, go } = heldLeader();
  await using ipcd = await desk(leader);
  await using client = await ipcd.client();
  go();
  for (const byte of frame(request)) {
    client.connection.send(Uint8Array.of(byte));
    await Bun.sleep(0);
  }
  await client.hears("ok");
});

describe("who cannot be led is told why, and the connection ends", () => {
  const refuses =
    (error: Error): Leader =>
    () =>
      Promise.reject(error);

  test.each([
    ["pong", "a lookup is one message, SERVICE;NETWORK", "out_unclear"],
    ["", "a lookup is one message, SERVICE;NETWORK", "out_unclear"],
    [Uint8Array.of(0x70, 0x3b, 0xff), "a lookup is one message", "out_unclear"],
    ["../pong;", '"../pong" is not a name: it starts with a dot', "out_unclear"],
    [";", '"" is not a name: it is empty', "out_unclear"],
    [`other;${network}`, 'IPC_NETWORK does not name "other"; connect to it', "out_unclear"],
    ["pong;pong", "ENETWORK: IPC_NETWORK, entry 1 at character 1", "out_unclear"],
    ["audio;audio unix://a", '"audio" at unix://a is denied by f:1', "out_denied"],
    [`pong;${network}`, "the way is blocked", "out_failed"],
  ])("%j", async (text, why, counted) => {
    await using ipcd = await desk(refuses(new LeadError("the way is blocked")), "deny out audio");
    expect(await ipcd.answer(text)).toStartWith(`error: ${why}`);
    expect(ipcd.ledger.counts()).toMatchObject({ [counted]: 1, connections: 0 });
    expect(ipcd.complaints).toHaveLength(1);
  });

  test("in no more bytes than an answer has, and whole characters", async () => {
    await using ipcd = await desk(refuses(new LeadError("ö".repeat(answerBytesMax))));
    const answer = await ipcd.answer(`pong;${network}`);
    expect(answer).toMatch(/^error: ö+$/);
    const length = Buffer.byteLength(answer);
    expect(length).toBeGreaterThan(answerBytesMax - 2);
    expect(length).toBeLessThanOrEqual(answerBytesMax);
  });
});
