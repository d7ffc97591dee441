/** A page's end of a sealed connection, over real WebSockets: how it comes about, or does not, and how it ends. */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { keyPair, type PageSeal, SealedConnection } from "../../../src/crypto/browser/index.ts";
import type { Service } from "../../../src/index.ts";
import { serve } from "../../../src/index.ts";
import { Child } from "../../kit/child.ts";
import { leaveNoCommand } from "../../kit/command.ts";
import { leaveNoTrace } from "../../kit/no-trace.ts";
import { clientKeys, served, serviceKeys } from "../../kit/over.ts";
import { Scratch } from "../../kit/scratch.ts";
import { until } from "../../kit/until.ts";
import { type Daemon, startWebsocketd } from "../../kit/websocketd.ts";

leaveNoTrace();
leaveNoCommand();

const how: PageSeal = { keys: clientKeys, peer: serviceKeys.publicKey, service: "pong" };

/** A sealed `pong` that answers, and a websocketd that leads to it. */
class Stage implements AsyncDisposable {
  readonly #scratch = new Scratch();
  service!: Service;
  daemon!: Daemon;

  static async open(): Promise<Stage> {
    const stage = new Stage();
    const { path: rundir } = stage.#scratch;
    const message = {
      message: (connection, { bytes }) => void connection.send(bytes),
    } satisfies Parameters<typeof serve>[1];
    stage.service = await serve("pong", message, { rundir, ...served("sealed") });
    stage.daemon = await startWebsocketd(rundir, ["--allow", "pong"]);
    return stage;
  }

  get url(): string {
    return `ws://127.0.0.1:${this.daemon.port}/pong`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.daemon[Symbol.asyncDispose]();
    await this.service.close({ now: true });
    this.#scratch[Symbol.dispose]();
  }
}

async function failureOf(promise: Promise<unknown>): Promise<string> {
  const outcome = await promise.then(
    () => undefined,
    (error: unknown) => error,
  );
  return String(outcome);
}

test("messages come back as they were, and the end is told under the seal", async () => {
  await using stage = await Stage.open();
  const connection = await SealedConnection.over(new WebSocket(stage.url), how);
  const heard: number[] = [];
  const closed = Promise.withResolvers<Error | undefined>();
  connection.onMessage = (bytes) => void heard.push(bytes.length);
  connection.onClose = closed.resolve;
  for (const length of [0, 1, 100_000]) await connection.send(new Uint8Array(length));
  await until("all came back", () => heard.length === 3);
  expect(heard).toEqual([0, 1, 100_000]);
  const [server] = stage.service.connections;
  expect(server!.peer.publicKey).toBe(clientKeys.publicKey);
  await server!.close();
  expect(await closed.promise).toBeUndefined();
});

test("a handler that throws is no end of the connection, nor keeps its end from being told", async () => {
  await using stage = await Stage.open();
  const program = new URL("../programs/thrower.ts", import.meta.url);
  await using page = await Child.start(program, { url: stage.url });
  await until(
    "it has heard the answer",
    async () => (await page.ask<string[]>("heard")).length === 1,
  );
  await stage.daemon.command.end("SIGKILL");
  const { why, thrown } = await page.ask<{ why: string; thrown: string[] }>("ended");
  expect(why).toContain("the service has not said that it ends");
  expect(thrown).toEqual(["a message's", "the end's"]);
});

describe("there is no connection", () => {
  let server: Bun.Server<undefined>;
  beforeAll(() => {
    server = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      fetch: (request, { upgrade }) =>
        upgrade.call(server, request) ? undefined : new Response("", { status: 400 }),
      websocket: { message: () => undefined },
    });
  });
  afterAll(() => server.stop(true));

  const socket = () => new WebSocket(`ws://127.0.0.1:${server.port}/`);

  test("with whoever says nothing", async () => {
    const asked = SealedConnection.over(socket(), { ...how, timeout: 50 });
    expect(await failureOf(asked)).toBe("SealError: nothing was agreed on within 50 ms");
  });

  test("over a socket that is closed", async () => {
    const closed = socket();
    const { promise, resolve } = Promise.withResolvers<void>();
    closed.onclose = () => resolve();
    closed.onopen = () => closed.close();
    await promise;
    const asked = SealedConnection.over(closed, how);
    expect(await failureOf(asked)).toBe("SealError: the socket was closed before");
  });

  test.each([
    [{ peer: "somebody" }, "a public key is 43 letters"],
    [{ peer: "A".repeat(43) }, "nothing is secret"],
  ])("with a key that is none (%j), and its socket is closed", async (wrong, why) => {
    const given = socket();
    const { promise, resolve } = Promise.withResolvers<void>();
    given.onclose = () => resolve();
    expect(await failureOf(SealedConnection.over(given, { ...how, ...wrong }))).toContain(why);
    await promise;
  });

  test("with a service that does not know the page", async () => {
    await using stage = await Stage.open();
    const asked = SealedConnection.over(new WebSocket(stage.url), { ...how, keys: keyPair() });
    expect(await failureOf(asked)).toContain("is not among those that are allowed");
  });
});
