/**
 * What a lookup goes through, from the request to the end of the client: over real connections and with a real
 * descriptor, which a leader of the test's own opens, so that it can be held up and looked at.
 */

import { describe, expect, test } from "bun:test";
import { closeSync, fstatSync, openSync } from "node:fs";
import type { Connection } from "../../../src/index.ts";
import { connect, serve } from "../../../src/index.ts";
import { answerBytesMax, formatRequest } from "../../../src/ipc/lookup.ts";
import type { Uri } from "../../../src/ipc/uri.ts";
import type { Leader } from "../../../src/services/ipcd/leader.ts";
import { LeadError } from "../../../src/services/ipcd/leader.ts";
import { Ledger } from "../../../src/services/ipcd/ledger.ts";
import { Lookups } from "../../../src/services/ipcd/lookups.ts";
import { Rulebook } from "../../../src/services/ipcd/rulebook.ts";
import { parseRules } from "../../../src/services/ipcd/rules-file.ts";
import { leaveNoTrace } from "../../kit/no-trace.ts";
import { Scratch } from "../../kit/scratch.ts";
import { until, within } from "../../kit/until.ts";

leaveNoTrace();

const network = "pong tcp://host:1/pong";

/** Opens a descriptor when it is told to, and remembers what became of it. */
class HeldLeader implements Leader {
  readonly asked: { uri: Uri; signal: AbortSignal }[] = [];
  readonly discarded: number[] = [];
  readonly #gate = Promise.withResolvers<void>();

  go(): void {
    this.#gate.resolve();
  }

  async lead(uri: Uri, signal: AbortSignal) {
    this.asked.push({ uri, signal });
    await this.#gate.promise;
    return { descriptor: openSync("/dev/null", "r") };
  }

  handOver(connection: Connection, { descriptor }: { descriptor: number }): Promise<void> {
    fstatSync(descriptor);
    closeSync(descriptor);
    connection.send("handed over");
    return Promise.resolve();
  }

  discard({ descriptor }: { descriptor: number }): void {
    closeSync(descriptor);
    this.discarded.push(descriptor);
  }
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
    { rundir: scratch.path },
  );
  return {
    ledger,
    complaints,
    service,
    client: () => connect("ipc", { rundir: scratch.path }),
    /** Asks, and waits for the end. */
    async answer(request: string | Uint8Array): Promise<string> {
      await using client = await connect("ipc", { rundir: scratch.path });
      const text = (await client.request(request)).text();
      expect((await within("the end", client.ended)).reason).toBe("peer_closed");
      return text;
    },
    async [Symbol.asyncDispose]() {
      await service.close({ now: true });
      ledger[Symbol.dispose]();
      scratch[Symbol.dispose]();
    },
  };
}

const request = formatRequest({ service: "pong", network });

test("leads, hands over, and knows the connection until the client closes it", async () => {
  const leader = new HeldLeader();
  await using ipcd = await desk(leader);
  const client = await ipcd.client();
  const answer = client.request(request);
  await until("it is led", () => leader.asked.length === 1);
  expect(leader.asked[0]!.uri.text).toBe("tcp://host:1/pong");
  expect(ipcd.ledger.counts()["connections"]).toBe(0);
  leader.go();
  expect((await answer).text()).toBe("handed over");
  expect(ipcd.ledger.counts()).toMatchObject({ connections: 1, out_allowed: 1 });
  await client.close();
  await until("its row is gone", () => ipcd.ledger.counts()["connections"] === 0);
  expect(ipcd.complaints).toEqual([]);
});

test("a client that goes while it is led has the leader told, and its descriptor closed", async () => {
  const leader = new HeldLeader();
  await using ipcd = await desk(leader);
  const client = await ipcd.client();
  client.send(request);
  await until("it is led", () => leader.asked.length === 1);
  await client.close();
  await until("the leader is told", () => leader.asked[0]!.signal.aborted);
  leader.go();
  await until("the descriptor is closed", () => leader.discarded.length === 1);
  expect(() => fstatSync(leader.discarded[0]!)).toThrow("EBADF");
  expect(ipcd.ledger.counts()).toMatchObject({ connections: 0, out_allowed: 0 });
});

test("a second request ends it, and nothing is handed over", async () => {
  const leader = new HeldLeader();
  await using ipcd = await desk(leader);
  const client = await ipcd.client();
  client.send(request);
  await until("it is led", () => leader.asked.length === 1);
  expect((await client.request(request)).text()).toStartWith("error: a lookup is one message");
  expect((await client.ended).reason).toBe("peer_closed");
  leader.go();
  await until("the descriptor is closed", () => leader.discarded.length === 1);
  expect(ipcd.ledger.counts()).toMatchObject({ connections: 0, out_allowed: 0 });
});

describe("who cannot be led is told why, and the connection ends", () => {
  const refuses = (error: Error): Leader => ({
    lead: () => Promise.reject(error),
    handOver: () => Promise.resolve(),
    discard: () => undefined,
  });

  test.each([
    ["pong", "a lookup is one message, SERVICE;NETWORK", "out_unclear"],
    ["", "a lookup is one message, SERVICE;NETWORK", "out_unclear"],
    [Uint8Array.of(0x70, 0x3b, 0xff), "a lookup is one message", "out_unclear"],
    ["../pong;", '"../pong" is not a name: it starts with a dot', "out_unclear"],
    [";", '"" is not a name: it is empty', "out_unclear"],
    [`other;${network}`, 'IPC_NETWORK does not name "other"; connect to it', "out_unclear"],
    ["pong;pong", "ENETWORK: IPC_NETWORK, entry 1 at character 1", "out_unclear"],
    ["audio;audio unix://a", '"audio" at unix://a is denied by f:1', "out_denied"],
    [request, "the way is blocked", "out_failed"],
  ])("%j", async (text, why, counted) => {
    await using ipcd = await desk(refuses(new LeadError("the way is blocked")), "deny out audio");
    expect(await ipcd.answer(text)).toStartWith(`error: ${why}`);
    expect(ipcd.ledger.counts()).toMatchObject({ [counted]: 1, connections: 0 });
    expect(ipcd.complaints).toHaveLength(1);
  });

  test("in no more bytes than an answer has, and whole characters", async () => {
    await using ipcd = await desk(refuses(new LeadError("ö".repeat(answerBytesMax))));
    const answer = await ipcd.answer(request);
    expect(answer).toMatch(/^error: ö+$/);
    const length = Buffer.byteLength(answer);
    expect(length).toBeGreaterThan(answerBytesMax - 2);
    expect(length).toBeLessThanOrEqual(answerBytesMax);
  });
});
