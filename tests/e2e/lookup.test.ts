/**
 * Services of another machine, by name, with all the processes that takes: two run directories stand for two machines, and
 * only what daemons carry leads from one to the other.
 *
 *     here    ipcd, a daemon that leads, hello, client     ──── 127.0.0.1 ────     there    a daemon that listens, pong
 */

import { describe, expect, test } from "bun:test";
import type { Connection } from "../../src/index.ts";
import { Context, connect } from "../../src/index.ts";
import { canCount, children, descriptors } from "../kit/census.ts";
import { Command, earshot, leaveNoCommand, run, startService } from "../kit/command.ts";
import { leaveNoTrace } from "../kit/no-trace.ts";
import { texts } from "../kit/pair.ts";
import { Scratch } from "../kit/scratch.ts";
import { until, within } from "../kit/until.ts";

leaveNoTrace();
leaveNoCommand();

/** A daemon that carries connections. A further one is a further row. */
type Carrier = {
  scheme: string;
  /** What starts it there, where it takes a free port and lets in who asks for pong. */
  listens: (there: Scratch) => string[];
  /** What starts it here, where it leads. */
  leads: (there: Scratch) => string[];
};

const carriers: Carrier[] = [
  {
    scheme: "tcp",
    listens: () => ["tcpd", "--listen", "127.0.0.1:0", "--allow", "pong"],
    leads: () => ["tcpd"],
  },
];

type Row = Record<string, unknown>;

class Machines implements AsyncDisposable {
  readonly scheme: string;
  readonly here = new Scratch();
  readonly there = new Scratch();
  readonly #carrier: Carrier;
  readonly #rules: readonly string[];
  #port = 0;
  pong!: Command;
  hello!: Command;
  ipcd!: Command;
  /** The daemon here, and the one there. */
  leading!: Command;
  listening!: Command;

  static async start(carrier: Carrier, ...rules: string[]): Promise<Machines> {
    const machines = new Machines(carrier, rules);
    await machines.#start();
    return machines;
  }

  private constructor(carrier: Carrier, rules: readonly string[]) {
    this.#carrier = carrier;
    this.#rules = rules;
    this.scheme = carrier.scheme;
  }

  async #start(): Promise<void> {
    const [here, there] = [{ rundir: this.here.path }, { rundir: this.there.path }];
    [this.pong, this.hello, this.ipcd, this.leading, this.listening] = await Promise.all([
      startService(["pong"], there),
      startService(["hello"], here),
      startService(["ipcd", ...this.#rules], here),
      startService(this.#carrier.leads(this.there), here),
      startService(this.#carrier.listens(this.there), there),
    ]);
    const [, port] = /127\.0\.0\.1:(\d+)/.exec(this.listening.stdout)!;
    this.#port = Number(port);
  }

  get uri(): string {
    return `${this.scheme}://127.0.0.1:${this.#port}/pong`;
  }

  get network(): string {
    return `pong ${this.uri}; alias unix://hello;`;
  }

  /** What a client here is told. */
  get place() {
    return { rundir: this.here.path, network: this.network };
  }

  get env() {
    return { rundir: this.here.path, env: { IPC_NETWORK: this.network } };
  }

  connect(name = "pong"): Promise<Connection> {
    return connect(name, this.place);
  }

  async rows(statement = "select direction, service, uri, daemon, pid, uid from connections") {
    const { stdout } = await run(earshot("query", "--json", statement), this.env);
    return (JSON.parse(stdout) as { rows: Row[] }).rows;
  }

  async untilRows(count: number): Promise<void> {
    await until(`ipcd has ${count} rows`, async () => (await this.rows()).length === count);
  }

  /** The descriptors of all that run, but for those of the memory and timers that Bun keeps to itself. */
  held(): Record<string, number>[] {
    return [this.ipcd, this.leading, this.listening, this.pong].map(({ pid }) => {
      const { socket = 0, ...rest } = descriptors(pid);
      return { socket, kinds: Object.keys(rest).length };
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const each of [this.pong, this.hello, this.ipcd, this.leading, this.listening]) {
      await each[Symbol.asyncDispose]();
    }
    this.here[Symbol.dispose]();
    this.there[Symbol.dispose]();
  }
}

async function answer(connection: Connection, text: string): Promise<string> {
  return (await connection.request(text, { timeout: 20_000 })).text();
}

describe.each(carriers)("by $scheme", (carrier) => {
  test("a name reaches the service there, and others are here as before", async () => {
    await using machines = await Machines.start(carrier);
    await using pong = await machines.connect();
    expect(await answer(pong, "hello")).toBe("hello");
    const long = "x".repeat(1 << 20);
    expect(await answer(pong, long)).toBe(long);
    await using alias = await machines.connect("alias");
    expect(await answer(alias, "hi")).toBe('You said "hi"');
    await using hello = await machines.connect("hello");
    expect(await answer(hello, "hi")).toBe('You said "hi"');
    using context = new Context({ rundir: machines.here.path });
    const handle = context.connect("pong", { network: machines.network });
    context.schedule(handle, "by hand");
    expect(texts(context, 1)).toEqual(["by hand"]);
    await expect(machines.connect("nobody")).rejects.toMatchObject({ code: "ENOENT" });
  });

  test("commands follow the variable", async () => {
    await using machines = await Machines.start(carrier);
    for (const [name, said] of [
      ["pong", "hi"],
      ["alias", 'You said "hi"'],
    ]) {
      expect(await run(earshot("client", name!, "hi"), machines.env)).toMatchObject({
        code: 0,
        stdout: `${said}\n`,
        stderr: "",
      });
    }
    const lines = Array.from({ length: 2000 }, (_, index) => `line ${index}\n`).join("");
    expect(await run(earshot("client", "pong"), { ...machines.env, input: lines })).toMatchObject({
      code: 0,
      stdout: lines,
    });
  });

  test("rules of ipcd hold: a name may be denied, or be another", async () => {
    const rules = ["--deny", "out alias", "--redirect", "other", "hello"];
    await using machines = await Machines.start(carrier, ...rules);
    expect(await run(earshot("client", "alias", "hi"), machines.env)).toMatchObject({
      code: 1,
      stdout: "",
      stderr: expect.stringContaining(
        'ipcd found no way to "alias": "alias" at unix://hello is denied by --deny "out alias"',
      ),
    });
    const network = `other ${machines.scheme}://127.0.0.1:1/none; ${machines.network}`;
    await using other = await connect("other", { ...machines.place, network });
    expect(await answer(other, "hi")).toBe('You said "hi"');
    await using pong = await machines.connect();
    expect(await answer(pong, "hi")).toBe("hi");
    expect(await machines.rows("select outcome, count from lookups where count > 0")).toEqual([
      { outcome: "allowed", count: 2 },
      { outcome: "denied", count: 1 },
    ]);
  });

  test("what the other machine does not allow is no way", async () => {
    await using machines = await Machines.start(carrier);
    const network = machines.uri.replace(/pong$/, "hello");
    await expect(
      connect("hello", { ...machines.place, network: `hello ${network}` }),
    ).rejects.toMatchObject({ code: "ENETWORK", service: "hello" });
    const closed = `pong ${machines.scheme}://127.0.0.1:1/pong`;
    await expect(connect("pong", { ...machines.place, network: closed })).rejects.toMatchObject({
      code: "ENETWORK",
      service: "pong",
    });
    await machines.leading.end();
    await expect(machines.connect()).rejects.toMatchObject({
      code: "ENETWORK",
      message: `ENETWORK: ipcd found no way to "pong": nobody serves "${machines.scheme}"; start it: it leads to ${machines.uri}`,
    });
    await machines.untilRows(0);
  });

  test("a row says who is led where, until the client closes", async () => {
    await using machines = await Machines.start(carrier);
    const pong = await machines.connect();
    expect(await machines.rows()).toEqual([
      {
        direction: "out",
        service: "pong",
        uri: machines.uri,
        daemon: machines.scheme,
        pid: process.pid,
        uid: process.getuid!(),
      },
    ]);
    const { stdout } = await run(
      earshot("query", "select service, uri from connections"),
      machines.env,
    );
    expect(stdout).toContain(machines.uri);
    await pong.close();
    await machines.untilRows(0);
  });

  test("a row goes with its client, its daemon, and its service", async () => {
    await using machines = await Machines.start(carrier);
    await using client = await startClient(machines);
    await machines.untilRows(1);
    await client.end("SIGKILL");
    await machines.untilRows(0);

    const first = await machines.connect();
    await machines.untilRows(1);
    await machines.pong.end("SIGKILL");
    await within("the end", first.ended);
    await machines.untilRows(0);
    machines.pong = await startService(["pong"], { rundir: machines.there.path });

    const second = await machines.connect();
    await machines.untilRows(1);
    await machines.listening.end("SIGKILL");
    await within("the end", second.ended);
    await machines.untilRows(0);
  });

  test("a daemon that is killed takes its connections and rows along, and is found again when it is back", async () => {
    await using machines = await Machines.start(carrier);
    let again = 0;
    await using pong = await connect("pong", {
      ...machines.place,
      reconnect: { first: 1, most: 50 },
      reconnected: () => void again++,
    });
    expect(await answer(pong, "before")).toBe("before");
    await machines.leading.end("SIGKILL");
    await machines.untilRows(0);
    machines.leading = await startService(carrier.leads(machines.there), {
      rundir: machines.here.path,
    });
    await until("it is found again", () => again === 1);
    expect(await answer(pong, "after")).toBe("after");
    await machines.untilRows(1);
    // What was led to needs ipcd no more.
    await machines.ipcd.end();
    expect(await answer(pong, "without ipcd")).toBe("without ipcd");
    await expect(machines.connect()).rejects.toMatchObject({ code: "ENOENT" });
  });

  test.if(canCount)("200 lookups at once are each led, and leave nothing behind", async () => {
    await using machines = await Machines.start(carrier);
    // What is opened once and kept.
    const warm = await machines.connect();
    await answer(warm, "warm");
    await warm.close();
    await machines.untilRows(0);
    const before = machines.held();
    const ours = children();
    for (let round = 0; round < 3; round++) {
      const clients = await Promise.all(Array.from({ length: 200 }, () => machines.connect()));
      const answers = await Promise.all(clients.map((each, number) => answer(each, `${number}`)));
      expect(answers).toEqual(answers.map((_, number) => `${number}`));
      expect((await machines.rows()).length).toBe(200);
      await Promise.all(clients.map((each) => each.close()));
      await machines.untilRows(0);
    }
    await until(
      () => `${JSON.stringify(machines.held())} is ${JSON.stringify(before)}`,
      () => Bun.deepEquals(machines.held(), before),
    );
    expect(children()).toEqual(ours);
    for (const each of [machines.ipcd, machines.leading, machines.listening]) {
      expect(each.stderr).toBe("");
    }
  });

  test("those who give up in the middle are in nobody's way", async () => {
    await using machines = await Machines.start(carrier);
    const results = await Promise.allSettled(
      Array.from({ length: 100 }, (_, number) =>
        connect("pong", {
          ...machines.place,
          ...(number % 2 === 0 ? { signal: AbortSignal.timeout(number / 4) } : {}),
        }),
      ),
    );
    for (const [number, result] of results.entries()) {
      if (result.status === "rejected") expect(number % 2).toBe(0);
      else if (number % 2 === 1) expect(await answer(result.value, "hi")).toBe("hi");
      if (result.status === "fulfilled") await result.value.close();
    }
    await machines.untilRows(0);
  });
});

/** A client in a process of its own, that has been answered. */
async function startClient(machines: Machines): Promise<Command> {
  const client = new Command(earshot("client", "pong"), { ...machines.env, keyboard: true });
  client.type("hello\n");
  await client.says("hello\n");
  return client;
}
