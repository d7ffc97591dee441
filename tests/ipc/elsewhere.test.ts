/** Services that IPC_NETWORK says are elsewhere: who is asked for them, and what comes of it, for both kinds of `connect`. */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { closeSync, openSync } from "node:fs";
import type { Connection, ConnectOptions, Event } from "../../src/index.ts";
import { Context, connect, EventType, serve } from "../../src/index.ts";
import { loop } from "../../src/ipc/loop.ts";
import { IpcError } from "../../src/native/errors.ts";
import { Child } from "../kit/child.ts";
import { leaveNoTrace } from "../kit/no-trace.ts";
import { drive, event, texts } from "../kit/pair.ts";
import { RawPeer } from "../kit/raw-peer.ts";
import { Scratch } from "../kit/scratch.ts";
import { until } from "../kit/until.ts";

const variable = "IPC_NETWORK";
const listed = (name: string) => `first unix://a;${name} tcp://host:1/x; last unix://b`;

let scratch: Scratch;
let fake: Child;

// Before it is looked whether anything is left.
afterAll(async () => {
  await fake.kill();
  scratch[Symbol.dispose]();
});

leaveNoTrace();

beforeAll(async () => {
  scratch = new Scratch();
  fake = await Child.start(new URL("programs/fake-ipcd.ts", import.meta.url), {
    rundir: scratch.path,
  });
});

type Ways = { asynchronous: typeof failed; synchronous: typeof failed };

/** What `connect` rejects with. */
async function failed(name: string, options: ConnectOptions): Promise<unknown> {
  try {
    await using _ = await connect(name, options);
  } catch (error) {
    return error;
  }
  throw new Error("it was connected");
}

/** What `Context.connect` throws. */
function thrown(name: string, options: ConnectOptions): Promise<unknown> {
  using context = new Context();
  try {
    context.connect(name, options);
  } catch (error) {
    return Promise.resolve(error);
  }
  return Promise.reject(new Error("it was connected"));
}

const ways: Ways = { asynchronous: failed, synchronous: thrown };

describe.each(Object.entries(ways))("%s", (_, failing) => {
  const fails = async (name: string, options: ConnectOptions = {}) => {
    const { path: rundir } = scratch;
    const error = await failing(name, { rundir, network: listed(name), ...options });
    expect(error).toBeInstanceOf(IpcError);
    return error as IpcError;
  };
  const noWay = (name: string, why: string) => ({
    code: "ENETWORK",
    service: name,
    message: `ENETWORK: ipcd found no way to "${name}": ${why}`,
  });
  const neither = "the answer is neither ok nor an error; is it ipcd that answers?";

  test.each([
    ["why", "because"],
    ["longest", "x".repeat(505)],
    ["too-long", "x".repeat(505)],
    ["bare", "it said ok and sent no connection"],
    ["half", neither],
    ["garbage", neither],
    ["bytes", neither],
    ["endless", neither],
    ["ends", "it ended the connection without an answer"],
  ])("ipcd's answer %s is why there is no way", async (name, why) => {
    expect(await fails(name)).toMatchObject(noWay(name, why));
    await until("ipcd is left alone", async () => (await fake.ask("waiting")) === 0);
  });

  test("what came with ok has to be a socket, and is closed if it is none", async () => {
    expect(await fails("no-socket")).toMatchObject({ code: "ENOTSOCK" });
  });

  test("an answer that never comes is waited for no longer than the timeout", async () => {
    expect(await fails("silent", { timeout: 20 })).toMatchObject({
      code: "ETIMEDOUT",
      message: 'ETIMEDOUT: ipcd found no way to "silent" within 20 ms',
    });
    await until("ipcd is left alone", async () => (await fake.ask("waiting")) === 0);
  });

  test("a missing ipcd is told of to those that need it", async () => {
    using empty = new Scratch();
    const missing = {
      code: "ENOENT",
      service: "pong",
      message:
        'ENOENT: IPC_NETWORK says that "pong" is elsewhere, and ipcd, which leads there, does not run here; start ' +
        "it, or take the name out of the variable",
    };
    const { path: rundir } = empty;
    expect(await fails("pong", { rundir })).toMatchObject(missing);
    expect(await fails("pong", { rundir: empty.join("none") })).toMatchObject(missing);
    expect(await fails("pong", { rundir, network: listed("other") })).toMatchObject({
      code: "ENOENT",
      message: `ENOENT: nobody serves "pong" in ${rundir}; start it first`,
    });
    expect(await fails("ipc", { rundir, network: listed("ipc") })).toMatchObject({
      message: `ENOENT: nobody serves "ipc" in ${rundir}; start it first`,
    });
  });

  test("a variable that cannot be understood is an error for every name", async () => {
    for (const name of ["pong", "good", "far"]) {
      expect(await fails(name, { network: "good tcp://host" })).toMatchObject({
        code: "ENETWORK",
        message:
          'ENETWORK: IPC_NETWORK, entry 1 at character 1, "good tcp://host": tcp needs a port: tcp://HOST:PORT/NAME',
      });
    }
    expect(await fails("pong", { network: 7 as unknown as string })).toMatchObject({
      code: "EINVAL",
    });
  });

  test("a timeout that is none is refused before anybody is asked", async () => {
    const before = await fake.ask("asked");
    expect(await fails("good", { timeout: -1 })).toMatchObject({ code: "EINVAL" });
    expect(await fake.ask("asked")).toEqual(before);
  });
});

/** Runs it with the environment's variable as it is to be. */
const withVariable = async (value: string | undefined, run: () => Promise<void>) => {
  const before = process.env[variable];
  if (value === undefined) delete process.env[variable];
  else process.env[variable] = value;
  try {
    await run();
  } finally {
    if (before === undefined) delete process.env[variable];
    else process.env[variable] = before;
  }
};

const found = ["good", "halves-early", "halves-late"];

test.each(found)("connect has what ipcd leads to: %s", async (name) => {
  const heard: string[] = [];
  await using far = await connect(name, {
    rundir: scratch.path,
    network: listed(name),
    message: (_, message) => void heard.push(message.text()),
  });
  expect(far.service).toBe(name);
  expect(far.peer.pid).toBe(fake.pid);
  far.send("hello");
  await until("it is answered", () => heard.length === 2);
  expect(heard).toEqual(["welcome", "hello"]);
});

test.each(found)("Context.connect has what ipcd leads to: %s", (name) => {
  using context = new Context({ rundir: scratch.path });
  const far = context.connect(name, { network: listed(name) });
  context.schedule(far, "hello");
  expect(texts(context, 2)).toEqual(["welcome", "hello"]);
});

test("the environment counts where no option says otherwise, and goes to ipcd whole", async () => {
  const { path: rundir } = scratch;
  const network = `  ${listed("good")} ; far tcp://host:2/y;`;
  await withVariable(network, async () => {
    await using _ = await connect("good", { rundir });
    using context = new Context({ rundir });
    context.connect("good");
    await using here = await connect("far", { rundir, network: "" });
    expect(here.peer.pid).toBe(fake.pid);
    expect(() => context.connect("good", { network: "" })).toThrow('nobody serves "good"');
  });
  const { asked, behind } = await fake.ask<{ asked: string[]; behind: number }>("asked");
  expect(asked.slice(-2)).toEqual([`good;${network}`, `good;${network}`]);
  expect(behind).toBe(0);
  await withVariable("", async () => {
    expect(await failed("good", { rundir })).toMatchObject({ code: "ENOENT" });
  });
});

test("a variable as long as may be goes to ipcd", async () => {
  const network = "good tcp://host:1/x;".padEnd(65_536, ";");
  await using far = await connect("good", { rundir: scratch.path, network });
  expect((await far[Symbol.asyncIterator]().next()).value?.text()).toBe("welcome");
  using context = new Context({ rundir: scratch.path });
  context.connect("good", { network });
});

test("names that are not listed are here, and nobody is asked", async () => {
  using empty = new Scratch();
  const { path: rundir } = empty;
  const place = { rundir, network: listed("other") };
  await using _ = await serve("pong", {}, { rundir });
  await using client = await connect("pong", place);
  expect(client.peer.pid).toBe(process.pid);
  using context = new Context();
  context.connect("pong", place);
});

test("ipcd that ends every connection at once is told of", async () => {
  using other = new Scratch();
  const { path: rundir } = other;
  await using _ = await serve(
    "ipc",
    { open: (client) => client.close({ now: true }) },
    { rundir, raw: true },
  );
  for (let round = 0; round < 20; round++) {
    expect(await failed("pong", { rundir, network: listed("pong") })).toMatchObject({
      code: "ENETWORK",
      message: 'ENETWORK: ipcd found no way to "pong": it ended the connection without an answer',
    });
  }
});

describe("an abort", () => {
  const options = () => ({ rundir: scratch.path, network: listed("silent") });

  test("before it begins asks nobody", async () => {
    const before = await fake.ask("asked");
    const signal = AbortSignal.abort(new Error("no more"));
    expect(await failed("silent", { ...options(), signal })).toMatchObject({ message: "no more" });
    expect(await fake.ask("asked")).toEqual(before);
  });

  test("while ipcd is waited for rejects with its reason, and leaves ipcd", async () => {
    const over = new AbortController();
    const failing = failed("silent", { ...options(), signal: over.signal });
    await until("ipcd is asked", async () => (await fake.ask("waiting")) === 1);
    over.abort(new Error("no more"));
    expect(await failing).toMatchObject({ message: "no more" });
    await until("ipcd is left alone", async () => (await fake.ask("waiting")) === 0);
  });

  test("afterwards closes the connection", async () => {
    const over = new AbortController();
    const far = await connect("good", {
      ...options(),
      network: listed("good"),
      signal: over.signal,
    });
    over.abort();
    expect((await far.ended).reason).toBe("closed");
  });
});

describe("options apply to what was led to", () => {
  const place = () => ({ rundir: scratch.path, network: listed("good") });

  test("limits", async () => {
    const far = await connect("good", { ...place(), messageBytesMax: 3, message: () => undefined });
    expect((await far.ended).reason).toBe("message_too_long");
    using context = new Context();
    context.connect("good", { ...place(), messageBytesMax: 3 });
    expect(event(context, EventType.Disconnection).reason).toBe("message_too_long");
  });

  test("bytes without frames", async () => {
    let text = "";
    await using _ = await connect("good", {
      ...place(),
      raw: true,
      message(_far, message) {
        text += message.text();
      },
    });
    await until("it has come", () => text === "\0\0\0\u0007welcome");
  });

  test("descriptors", async () => {
    const file = openSync("/dev/null", "r");
    const heard: number[] = [];
    const message = (_: Connection, { descriptors }: { descriptors: readonly Disposable[] }) => {
      heard.push(descriptors.length);
      for (const each of descriptors) each[Symbol.dispose]();
    };
    await using far = await connect("good", { ...place(), descriptors: { max: 2 }, message });
    far.send("two", { descriptors: [file, file] });
    await until("they have come", () => heard.length === 2);
    expect(heard).toEqual([0, 2]);
    // Without the option a peer that sends some is dropped.
    const other = await connect("good", { ...place(), message });
    other.send("one", { descriptors: [file] });
    expect((await other.ended).reason).not.toBe("closed");
    closeSync(file);
  });
});

describe("a service elsewhere that is gone", () => {
  test("is found again through ipcd, which may be away for a while", async () => {
    using other = new Scratch();
    const { path: rundir } = other;
    const start = () => Child.start(new URL("programs/fake-ipcd.ts", import.meta.url), { rundir });
    let ipcd = await start();
    const told: string[] = [];
    await using far = await connect("good", {
      rundir,
      network: listed("good"),
      reconnect: { first: 1, most: 4 },
      message: (_, message) => void told.push(message.text()),
      disconnected: () => void told.push("disconnected"),
      reconnected: () => void told.push("reconnected"),
    });
    for (let round = 0; round < 3; round++) {
      await until("it is welcome", () => told.at(-1) === "welcome");
      await ipcd.kill();
      await until("it is gone", () => told.at(-1) === "disconnected");
      far.send(`meanwhile ${round}`);
      ipcd = await start();
      await until("it is answered", () => told.at(-1) === `meanwhile ${round}`);
      expect(told.splice(0).filter((each) => each !== "disconnected")).toEqual([
        "welcome",
        "reconnected",
        "welcome",
        `meanwhile ${round}`,
      ]);
      expect(far.peer.pid).toBe(ipcd.pid);
      told.push("welcome");
    }
    await far.close();
    await ipcd.kill();
  });

  test("is looked for no more when its connection is closed meanwhile", async () => {
    using other = new Scratch();
    const { path: rundir } = other;
    const [ours, theirs] = loop().context.pair();
    let asked = 0;
    let left = 0;
    await using _ = await serve(
      "ipc",
      { open: () => void asked++, close: () => void left++ },
      { rundir, raw: true },
    );
    // One that goes on with a descriptor looks for its name, and not for the number that descriptor had.
    const far = await connect("pong", {
      rundir,
      network: listed("pong"),
      descriptor: ours,
      reconnect: { first: 1, most: 4 },
    });
    theirs.close();
    await until("ipcd is asked", () => asked === 1);
    await far.close();
    await until("ipcd is left alone", () => left === 1);
    expect(asked).toBe(1);
  });
});

test("hundreds at once find the way, each to a connection of its own", async () => {
  const { path: rundir } = scratch;
  const clients = await Promise.all(
    Array.from({ length: 200 }, () => connect("good", { rundir, network: listed("good") })),
  );
  await Promise.all(
    clients.map(async (client, number) => {
      client.send(`${number}`);
      const heard: string[] = [];
      for await (const message of client) {
        heard.push(message.text());
        if (heard.length === 2) break;
      }
      expect(heard).toEqual(["welcome", `${number}`]);
    }),
  );
  await Promise.all(clients.map((client) => client.close()));
  await until("ipcd is left alone", async () => (await fake.ask("waiting")) === 0);
});

test("a context waits for ipcd without handing over what comes for others meanwhile", async () => {
  const { path: rundir } = scratch;
  using context = new Context({ rundir });
  context.serve("self");
  using peer = await RawPeer.connect(scratch.join("self"));
  const far = context.connect("good", { network: listed("good") });
  const seen: Event["type"][] = [];
  drive(
    "both are told of",
    [context],
    () => seen.length >= 2,
    (each) => {
      seen.push(each.type);
    },
  );
  expect(seen.sort()).toEqual([EventType.Connection, EventType.MessageRx].sort());
  context.closeHandle(far);
  peer.close();
});
