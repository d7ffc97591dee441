/** `timeout` of a sealed client: all that it takes to be connected, together, by whatever way and in however many steps. */

import { expect, test } from "bun:test";
import type { Connection, ConnectOptions } from "../../src/index.ts";
import { Context, connect, serve } from "../../src/index.ts";
import { ClientSocket } from "../../src/memory/index.ts";
import { leaveNoTrace } from "../kit/no-trace.ts";
import { clientKeys, reached, serviceKeys } from "../kit/over.ts";
import { rejection } from "../kit/rejection.ts";
import { Scratch } from "../kit/scratch.ts";

leaveNoTrace();

const { seal } = reached("sealed");
const timeout = 1200;

/** A service without room, which never answers and has some room again after half of the time. */
class Crowd implements AsyncDisposable {
  readonly #context: Context;
  readonly #waiting: readonly Connection[];
  readonly #timers: ReturnType<typeof setTimeout>[] = [];

  constructor(context: Context, waiting: readonly Connection[]) {
    this.#context = context;
    this.#waiting = waiting;
  }

  static async open(name: string, rundir: string): Promise<Crowd> {
    const context = new Context({ rundir });
    context.serve(name, { backlog: 1 });
    const given = { rundir, timeout: 0, transport: "unix" } as const;
    const waiting: Connection[] = [];
    while (true) {
      const next = await connect(name, given).catch(() => undefined);
      if (next === undefined) return new Crowd(context, waiting);
      waiting.push(next);
    }
  }

  start(): void {
    const accept = () => this.#timers.push(setInterval(() => this.#context.wait(0), 1));
    this.#timers.push(setTimeout(accept, timeout / 2));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#context.close();
    await Promise.all(this.#waiting.map(({ ended }) => ended));
  }
}

/** What it is rejected with, before a timer that is due a quarter later; all timers begin with the call. */
async function failure(connecting: () => Promise<unknown>): Promise<unknown> {
  const { promise: late, resolve } = Promise.withResolvers<string>();
  const timer = setTimeout(() => resolve("it takes far longer"), timeout * 1.25);
  const outcome = connecting().catch((error: unknown) => error);
  try {
    return await Promise.race([outcome, late]);
  } finally {
    clearTimeout(timer);
    await outcome;
  }
}

async function sealed(options: ConnectOptions): Promise<unknown> {
  return await failure(() => connect("pong", { seal, timeout, ...options }));
}

test("bounds the waiting for room and the agreeing", async () => {
  using scratch = new Scratch();
  const { path: rundir } = scratch;
  await using crowd = await Crowd.open("pong", rundir);
  crowd.start();
  const error = await sealed({ rundir });
  expect(error).toMatchObject({ code: "ETIMEDOUT", service: "pong" });
  expect(String(error)).toContain(`it said nothing within ${timeout} ms; is it served with seal`);
});

test("bounds what memory and then the socket take", async () => {
  using scratch = new Scratch();
  const { path: rundir } = scratch;
  await using _ = await serve("pong", {}, { rundir });
  await using __ = await serve("pong.memory", {}, { rundir });
  const error = await sealed({ rundir });
  expect(error).toMatchObject({ code: "ETIMEDOUT", service: "pong" });
  expect(String(error)).toContain(`it said nothing within ${timeout} ms; is it served with seal`);
});

test("leaves the socket some where memory says nothing", async () => {
  using scratch = new Scratch();
  const { path: rundir } = scratch;
  const own = { keys: serviceKeys, allow: [clientKeys.publicKey] };
  await using _ = await serve("pong", {}, { rundir, seal: own });
  await using __ = await serve("pong.memory", {}, { rundir });
  await using client = await connect("pong", { rundir, seal, timeout });
  expect(client.peer.publicKey).toBe(serviceKeys.publicKey);
});

test("bounds a lookup and the agreeing behind it", async () => {
  using scratch = new Scratch();
  const { path: rundir } = scratch;
  const here = { rundir, network: "" };
  await using _ = await serve("silent", {}, { ...here });
  await using __ = await serve(
    "ipc",
    {
      async message(asker) {
        await Bun.sleep(timeout / 2);
        await using silent = await connect("silent", { ...here, message: () => undefined });
        const descriptors = silent.copies();
        asker.send("ok", { descriptors });
        for (const descriptor of descriptors) descriptor.close();
      },
    },
    { ...here, raw: true },
  );
  const error = await sealed({ rundir, network: "pong tcp://127.0.0.1:9" });
  expect(error).toMatchObject({ code: "ETIMEDOUT", service: "pong" });
  expect(String(error)).toContain(`it said nothing within ${timeout} ms; is it served with seal`);
});

test.each([{}, { keys: clientKeys, peer: serviceKeys.publicKey }])(
  "bounds what a memory socket takes, %#",
  async (keys) => {
    using scratch = new Scratch();
    const { path: rundir } = scratch;
    await using crowd = await Crowd.open("pong.memory", rundir);
    crowd.start();
    const client = new ClientSocket();
    const error = await failure(() => client.connect("pong", { rundir, timeout, ...keys }));
    expect(error).toMatchObject({ code: "ETIMEDOUT", service: "pong" });
    expect(String(error)).toContain(`"pong" said nothing within ${timeout} ms`);
  },
);

test("is for ever where it is Infinity", async () => {
  using scratch = new Scratch();
  const { path: rundir } = scratch;
  const own = { keys: serviceKeys, allow: [clientKeys.publicKey] };
  await using _ = await serve("pong", {}, { rundir, seal: own, memory: true });
  for (const transport of ["unix", "memory", undefined] as const) {
    await using client = await connect("pong", { rundir, seal, transport, timeout: Infinity });
    expect(client.open).toBe(true);
  }
  const error = await rejection(connect("pong", { rundir, seal, timeout: Number.NaN }));
  expect(error).toMatchObject({ code: "EINVAL" });
});
