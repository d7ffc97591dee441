/** Descriptors that go along with messages: whose they are, how many there may be, and that none is left behind. */

import { describe, expect, test } from "bun:test";
import { closeSync, fstatSync, openSync, readFileSync, readSync, writeFileSync } from "node:fs";
import type { Connection, Handlers, Message } from "../../src/index.ts";
import { Context, connect, Descriptor, EventType, IpcError, serve } from "../../src/index.ts";
import { descriptors } from "../kit/census.ts";
import { leaveNoTrace } from "../kit/no-trace.ts";
import { drive, event, messages, Pair } from "../kit/pair.ts";
import { Random } from "../kit/random.ts";
import { Scratch } from "../kit/scratch.ts";
import { overEachOpen } from "../kit/transports.ts";
import { until } from "../kit/until.ts";

leaveNoTrace();

const many = { descriptors: { max: 253 } };

/** Files that know their own number. */
class Files implements Disposable {
  readonly #scratch = new Scratch();
  readonly #open: number[] = [];

  /** Of a file that holds `text`. */
  path(text: string): string {
    const path = this.#scratch.join(text);
    writeFileSync(path, text);
    return path;
  }

  /** The same, open until the end. */
  open(text: string): number {
    const descriptor = openSync(this.path(text), "r");
    this.#open.push(descriptor);
    return descriptor;
  }

  [Symbol.dispose](): void {
    for (const descriptor of this.#open) closeSync(descriptor);
    this.#scratch[Symbol.dispose]();
  }
}

/** What is in a file, read by its descriptor, which is closed. */
function textOf(descriptor: Descriptor): string {
  using file = descriptor;
  const bytes = Buffer.alloc(100);
  return bytes.toString("utf8", 0, readSync(file.number, bytes, 0, bytes.length, 0));
}

const total = (counts: Record<string, number>) =>
  Object.values(counts).reduce((sum, count) => sum + count, 0);

const isOpen = (descriptor: number) => {
  try {
    fstatSync(descriptor);
    return true;
  } catch {
    return false;
  }
};

describe("a message", () => {
  test("brings what was sent with it, in its order, to be owned", () => {
    using files = new Files();
    using pair = new Pair({ service: many });
    const { context } = pair;
    context.write(pair.client, "take these", {
      descriptors: [files.open("one"), files.open("two")],
    });
    const { message } = event(context, EventType.MessageRx);
    expect(message.text()).toBe("take these");
    expect(message.descriptors.map(textOf)).toEqual(["one", "two"]);
  });

  test("has the same ones each time it is asked, and none where none were sent", () => {
    using files = new Files();
    using pair = new Pair({ service: many });
    const { context } = pair;
    context.write(pair.client, "with", { descriptors: [files.open("one")] });
    context.write(pair.client, "without");
    const [first, second] = messages(context, 2);
    expect(first!.descriptors).toBe(first!.descriptors);
    expect(first!.descriptors.map(textOf)).toEqual(["one"]);
    expect(second!.descriptors).toEqual([]);
  });

  test("keeps its own, however many messages lie before, between and behind them", () => {
    using files = new Files();
    using pair = new Pair({ service: many });
    const { context } = pair;
    const random = new Random(1);
    const sent = Array.from({ length: 200 }, (_, number) => ({
      text: `${number}`.padEnd(random.below(random.below(3) === 0 ? 40_000 : 100), "."),
      count: random.below(3) === 0 ? random.below(4) : 0,
    }));
    let at = 0;
    let opened = 0;
    const seen: unknown[] = [];
    drive(
      "all have come",
      [context],
      () => {
        // What a batch brings is read before the next goes, so that many are on their way at once.
        for (let burst = 0; burst < 20 && at < sent.length; burst++, at++) {
          const { text, count } = sent[at]!;
          const descriptors = Array.from({ length: count }, () => files.open(`file ${opened++}`));
          if (count === 0) context.schedule(pair.client, text);
          else context.schedule(pair.client, text, { descriptors });
        }
        return seen.length === sent.length;
      },
      ({ type, message }) => {
        if (type !== EventType.MessageRx) return;
        seen.push({ text: message.text(), files: message.descriptors.map(textOf) });
      },
    );
    let next = 0;
    expect(seen).toEqual(
      sent.map(({ text, count }) => ({
        text,
        files: Array.from({ length: count }, () => `file ${next++}`),
      })),
    );
  });

  test("of megabytes has them too, when it is whole", () => {
    using files = new Files();
    using pair = new Pair({ service: many });
    const { context } = pair;
    const bytes = new Uint8Array(5_000_000).fill(7);
    const file = files.open("large");
    context.write(pair.client, bytes, { descriptors: [file, file] });
    const { message } = event(context, EventType.MessageRx);
    expect(message.length).toBe(bytes.length);
    expect(message.descriptors.map(textOf)).toEqual(["large", "large"]);
  });

  test("may have 253, and not one more", () => {
    using files = new Files();
    using pair = new Pair({ service: many });
    const { context } = pair;
    const file = files.open("same");
    const descriptors = new Array<number>(253).fill(file);
    expect(() => context.write(pair.client, "x", { descriptors: [...descriptors, file] })).toThrow(
      "EDESCRIPTORS: a message takes 253 descriptors at most",
    );
    context.write(pair.client, "x", { descriptors });
    const { message } = event(context, EventType.MessageRx);
    expect(message.descriptors.map(textOf)).toEqual(descriptors.map(() => "same"));
  });

  test("leaves what nobody looked at closed", () => {
    using files = new Files();
    using pair = new Pair({ service: many });
    const { context } = pair;
    const before = context.statistics();
    const descriptors = new Array<number>(10).fill(files.open("one"));
    for (let round = 0; round < 5000; round++) {
      context.write(pair.client, "x", { descriptors });
      event(context, EventType.MessageRx);
    }
    // Those of the last batch are held until the next.
    expect(context.statistics().descriptors).toBe(before.descriptors + descriptors.length);
    context.wait(0);
    expect(context.statistics().descriptors).toBe(before.descriptors);
  });

  test("is too old to be asked when the next wait has come, unless it was copied", () => {
    using files = new Files();
    using pair = new Pair({ service: many });
    const { context } = pair;
    context.write(pair.client, "old", { descriptors: [files.open("one")] });
    const old = event(context, EventType.MessageRx).message;
    context.write(pair.client, "kept", { descriptors: [files.open("two")] });
    const kept = event(context, EventType.MessageRx).message.copy();
    context.wait(0);
    expect(() => old.descriptors).toThrow("ESTALE: descriptors of a message are good until");
    expect(kept.descriptors.map(textOf)).toEqual(["two"]);
  });

  test("keeps copies of what has to wait, so that the sender may close his own", () => {
    using files = new Files();
    using pair = new Pair({ service: many });
    const { context } = pair;
    const filler = new Uint8Array(30_000);
    context.pause(pair.server);
    while (context.write(pair.client, filler) === 0);
    const file = openSync(files.path("closed early"), "r");
    for (let count = 0; count < 5; count++) {
      context.write(pair.client, `${count}`, { descriptors: [file] });
    }
    closeSync(file);
    context.pause(pair.server, false);
    const seen: string[][] = [];
    drive(
      "they have come",
      [context],
      () => seen.length === 5,
      ({ type, message }) => {
        if (type !== EventType.MessageRx || message.length === filler.length) return;
        seen.push([message.text(), ...message.descriptors.map(textOf)]);
      },
    );
    expect(seen).toEqual(["0", "1", "2", "3", "4"].map((text) => [text, "closed early"]));
  });
});

describe("a descriptor", () => {
  test("can be taken, and is then the taker's to close", () => {
    const descriptor = new Descriptor(openSync("/dev/null", "r"));
    const number = descriptor.take();
    descriptor.close();
    expect(isOpen(number)).toBe(true);
    closeSync(number);
    expect(() => descriptor.number).toThrow("ECLOSED");
    expect(() => descriptor.take()).toThrow("ECLOSED");
  });

  test("that nobody refers to any more is closed", async () => {
    const number = (() => new Descriptor(openSync("/dev/null", "r")).number)();
    await until("it is closed", () => {
      Bun.gc(true);
      return !isOpen(number);
    });
  });

  test("that came with a message and was kept is closed with its last reference, without those beside it", async () => {
    using files = new Files();
    using pair = new Pair({ service: many });
    const { context } = pair;
    const receive = () => {
      const descriptors = [files.open("kept"), files.open("forgotten"), files.open("closed")];
      context.write(pair.client, "x", { descriptors });
      const [kept, forgotten, closed] = event(context, EventType.MessageRx).message.descriptors;
      closed!.close();
      return { kept: kept!, forgotten: forgotten!.number };
    };
    const { kept, forgotten } = receive();
    context.wait(0);
    await until("it is closed", () => {
      Bun.gc(true);
      return !isOpen(forgotten);
    });
    expect(textOf(kept)).toBe("kept");
  });

  test("that is not open cannot be sent, and the connection goes on", () => {
    using pair = new Pair({ service: many });
    const { context } = pair;
    expect(() => context.write(pair.client, "x", { descriptors: [60_000] })).toThrow(
      "EBADF: one of the descriptors to send is not open",
    );
    context.write(pair.client, "still there");
    expect(event(context, EventType.MessageRx).message.text()).toBe("still there");
  });

  test("does not outlive an exec", () => {
    using files = new Files();
    using pair = new Pair({ service: many });
    const { context } = pair;
    context.write(pair.client, "x", { descriptors: [files.open("one")] });
    using received = event(context, EventType.MessageRx).message.descriptors[0]!;
    const flags = readFileSync(`/proc/self/fdinfo/${received.number}`, "latin1");
    expect(Number.parseInt(/flags:\s*([0-7]+)/.exec(flags)![1]!, 8) & 0o2_000_000).not.toBe(0);
  });
});

describe("what was not asked for", () => {
  test("ends the peer, and nobody has it", () => {
    using files = new Files();
    using pair = new Pair();
    const { context } = pair;
    context.write(pair.client, "unasked", { descriptors: [files.open("one")] });
    const end = event(context, EventType.Disconnection);
    expect([end.connection, end.reason]).toEqual([pair.server, "descriptors_unasked"]);
    expect(context.statistics(pair.service).reasons).toEqual({ descriptors_unasked: 1 });
  });

  test("is more than the service takes with one message, too", () => {
    using files = new Files();
    using pair = new Pair({ service: { descriptors: { max: 2 } } });
    const { context } = pair;
    const file = files.open("one");
    context.write(pair.client, "x", { descriptors: [file, file] });
    expect(event(context, EventType.MessageRx).message.descriptors.map(textOf)).toHaveLength(2);
    context.write(pair.client, "x", { descriptors: [file, file, file] });
    const end = event(context, EventType.Disconnection);
    expect([end.connection, end.reason]).toEqual([pair.server, "descriptors_too_many"]);
  });

  test("is for the client to say as well", () => {
    using files = new Files();
    using pair = new Pair({ service: many });
    const { context } = pair;
    context.write(pair.server, "answer", { descriptors: [files.open("one")] });
    const end = event(context, EventType.Disconnection);
    expect([end.connection, end.reason]).toEqual([pair.client, "descriptors_unasked"]);
  });
});

test("what waits for all peers of one user is bounded", () => {
  using files = new Files();
  using pair = new Pair({ service: many, connect: { descriptors: { max: 0, held: 20 } } });
  const { context } = pair;
  const file = files.open("one");
  const descriptors = new Array<number>(8).fill(file);
  context.pause(pair.server);
  while (context.write(pair.client, new Uint8Array(30_000)) === 0);
  context.write(pair.client, "8", { descriptors });
  context.write(pair.client, "16", { descriptors });
  expect(() => context.write(pair.client, "24", { descriptors })).toThrow("EDESCRIPTORS");
  context.pause(pair.server, false);
  let seen = 0;
  drive(
    "both have come",
    [context],
    () => seen === 2,
    ({ type, message }) => {
      if (type === EventType.MessageRx) seen += message.descriptors.length === 8 ? 1 : 0;
      if (type === EventType.MessageRx) for (const each of message.descriptors) each.close();
    },
  );
  context.write(pair.client, "there is room again", { descriptors });
});

overEachOpen(({ connect, deaf, serve }) => {
  const keeping = (kept: Message[]): Handlers => ({
    message: (_, message) => void kept.push(message.copy()),
  });

  test("descriptors go with messages, requests and their answers", async () => {
    using files = new Files();
    using scratch = new Scratch();
    const rundir = scratch.path;
    await using service = await serve(
      "swap",
      {
        message(connection, message) {
          const texts = message.descriptors.map(textOf);
          connection.send(texts.join(), { descriptors: [files.open("answer")] });
        },
      },
      { rundir, ...many },
    );
    await using client = await connect("swap", { rundir, ...many });
    const answer = await client.request("x", { descriptors: [files.open("question")] });
    expect(answer.text()).toBe("question");
    expect(answer.descriptors.map(textOf)).toEqual(["answer"]);
    client.send("x", { descriptors: [files.open("one way")] });
    for await (const message of client) {
      expect(message.text()).toBe("one way");
      expect(message.descriptors.map(textOf)).toEqual(["answer"]);
      break;
    }
    expect(service.statistics().messagesReceived).toBe(2);
  });

  test("descriptors stay with their messages, whatever is between them", async () => {
    using files = new Files();
    using scratch = new Scratch();
    const rundir = scratch.path;
    const kept: Message[] = [];
    await using _ = await serve("keeper", keeping(kept), { rundir, ...many });
    await using client = await connect("keeper", { rundir, ...many });
    const expected: [number, string[]][] = [];
    for (const [at, size] of [0, 3_000_000, 10, 700_000, 1, 3_000_000].entries()) {
      const texts = Array.from({ length: at % 3 }, (_each, index) => `${at}-${index}`);
      const descriptors = texts.map((text) => files.open(text));
      if (descriptors.length === 0) client.send(new Uint8Array(size));
      else client.send(new Uint8Array(size), { descriptors });
      expected.push([size, texts]);
    }
    await until("all are there", () => kept.length === expected.length);
    expect(kept.map(({ length, descriptors }) => [length, descriptors.map(textOf)])).toEqual(
      expected,
    );
  });

  test("descriptors go at once, though their message has to wait", async () => {
    using files = new Files();
    using scratch = new Scratch();
    const rundir = scratch.path;
    const accepted: Connection[] = [];
    const open = (connection: Connection) => void accepted.push(connection);
    await using _ = await serve("slow", { open }, { rundir });
    const seen: string[] = [];
    await using client = await deaf("slow", {
      rundir,
      ...many,
      message: (__, message) => void seen.push(...message.descriptors.map(textOf)),
    });
    await until("it is accepted", () => accepted.length === 1);
    const [connection] = accepted;
    while (connection!.send(new Uint8Array(65_532)));
    const descriptor = openSync(files.path("waited"), "r");
    expect(connection!.send("behind them", { descriptors: [descriptor] })).toBe(false);
    closeSync(descriptor);
    client.resume();
    await until("it has come", () => seen.length === 1);
    expect(seen).toEqual(["waited"]);
  });

  test("descriptors that nobody looks at are closed", async () => {
    using files = new Files();
    using scratch = new Scratch();
    const rundir = scratch.path;
    let count = 0;
    const message = () => {
      count += 1;
    };
    await using _ = await serve("careless", { message }, { rundir, ...many });
    await using client = await connect("careless", { rundir });
    const descriptor = files.open("one");
    client.send("the first");
    await until("it has come", () => count === 1);
    const before = descriptors();
    for (let round = 0; round < 50; round++) client.send("x", { descriptors: [descriptor] });
    await until("all have come", () => count === 51);
    await until("none is left", () => total(descriptors()) === total(before));
  });

  test("descriptors that were not asked for end who sends them, and nobody else", async () => {
    using files = new Files();
    using scratch = new Scratch();
    const rundir = scratch.path;
    const ends: string[] = [];
    const handlers: Handlers = {
      message: (connection, message) => void connection.send(message.bytes),
      close: (_, { reason }) => void ends.push(reason),
    };
    await using _ = await serve("none", handlers, { rundir });
    await using __ = await serve("one", handlers, { rundir, descriptors: { max: 1 } });
    await using other = await connect("none", { rundir });
    const descriptor = files.open("one");
    for (const [name, count] of [
      ["none", 1],
      ["one", 2],
    ] as const) {
      const client = await connect(name, { rundir });
      client.send("x", { descriptors: new Array<number>(count).fill(descriptor) });
      expect((await client.ended).reason).toMatch(/^peer_/);
    }
    await until("the ends are told", () => ends.length === 2);
    expect(ends).toEqual(["descriptors_unasked", "descriptors_too_many"]);
    expect((await other.request("still")).text()).toBe("still");
  });

  test("a descriptor that cannot be sent is told, and the connection goes on", async () => {
    using scratch = new Scratch();
    const rundir = scratch.path;
    const kept: Message[] = [];
    await using _ = await serve("keeper", keeping(kept), { rundir, ...many });
    await using client = await connect("keeper", { rundir });
    expect(() => client.send("x", { descriptors: [1_000_000] })).toThrow("EBADF");
    const tooMany = new Array<number>(254).fill(0);
    expect(() => client.send("x", { descriptors: tooMany })).toThrow("EDESCRIPTORS");
    client.send("still");
    await until("it is there", () => kept.length === 1);
    expect(kept[0]!.text()).toBe("still");
  });

  test("no more descriptors wait for whoever does not read than are held for him", async () => {
    using files = new Files();
    using scratch = new Scratch();
    const rundir = scratch.path;
    const accepted: Connection[] = [];
    const open = (connection: Connection) => void accepted.push(connection);
    const descriptorLimits = { descriptors: { max: 8, held: 20 } };
    await using _ = await serve("slow", { open }, { rundir, ...descriptorLimits });
    await using client = await deaf("slow", { rundir, ...many });
    await until("it is accepted", () => accepted.length === 1);
    const [connection] = accepted;
    while (connection!.send(new Uint8Array(65_532)));
    const eight = new Array<number>(8).fill(files.open("one"));
    const send = () => connection!.send("x", { descriptors: eight });
    for (let round = 0; round < 2; round++) send();
    expect(send).toThrow("EDESCRIPTORS");
    expect(connection!.open).toBe(true);
    client.resume();
    let came = 0;
    for await (const message of client) {
      came += message.descriptors.length;
      for (const each of message.descriptors) each.close();
      if (came === 16) break;
    }
  });
});

describe("on Bun's loop", () => {
  test("a connection is handed over, and goes on elsewhere", async () => {
    using scratch = new Scratch();
    const rundir = scratch.path;
    await using _target = await serve(
      "target",
      {
        async message(_connection, message) {
          const descriptor = message.descriptors[0]!;
          // Without a name of its own: what it is called is for its owner.
          await connect("handed over", {
            descriptor,
            message: (connection, each) => void connection.send(`target: ${each.text()}`),
          });
        },
      },
      { rundir, ...many },
    );
    const target = await connect("target", { rundir });
    await using _front = await serve(
      "front",
      {
        async open(connection) {
          const [copy] = connection.copies();
          target.send("yours", { descriptors: [copy!] });
          copy!.close();
          await connection.close({ now: true });
        },
      },
      { rundir },
    );
    await using client = await connect("front", { rundir });
    expect((await client.request("hello")).text()).toBe("target: hello");
    await client.close();
    await target.close();
  });

  test("a connection in the middle of a message is not copied", async () => {
    using scratch = new Scratch();
    await using _service = await serve(
      "deaf",
      { message: () => undefined },
      { rundir: scratch.path },
    );
    await using client = await connect("deaf", { rundir: scratch.path, drainTimeout: 0 });
    client.send(new Uint8Array(8_000_000));
    expect(() => client.copies()).toThrow("EBUSY: part of a message");
  });

  test("a service is handed over with its name, and no connection is refused", async () => {
    using scratch = new Scratch();
    const rundir = scratch.path;
    const answering = (text: string) => ({
      message: (connection: { send(text: string): boolean }) => void connection.send(text),
    });
    const first = await serve("moved", answering("first"), { rundir });
    await using before = await connect("moved", { rundir });
    expect((await before.request("x")).text()).toBe("first");
    const second = await serve("moved", answering("second"), {
      rundir,
      descriptor: first.copies(),
    });
    first.leave();
    await using after = await connect("moved", { rundir });
    expect((await after.request("x")).text()).toBe("second");
    expect((await before.request("x")).text()).toBe("first");
    await expect(serve("moved", {}, { rundir })).rejects.toThrow("EADDRINUSE");
    await second.close();
    expect(scratch.entries()).toEqual([]);
    await first.close();
  });

  test("what is not the socket of that name does not get it", async () => {
    using scratch = new Scratch();
    const rundir = scratch.path;
    await using one = await serve("one", {}, { rundir });
    await using other = await serve("other", {}, { rundir });
    const [socket] = one.copies();
    const [spare, lock] = other.copies();
    using mixed = { descriptors: [socket!, spare!, lock!], [Symbol.dispose]: () => undefined };
    const taking = serve("one", {}, { rundir, descriptor: [socket!, lock!] });
    await expect(taking).rejects.toThrow(IpcError);
    for (const descriptor of mixed.descriptors) descriptor.close();
  });

  test("what is no socket is not adopted", () => {
    using context = new Context();
    const file = openSync("/dev/null", "r");
    expect(() => context.adopt(file)).toThrow(`ENOTSOCK: descriptor ${file} is no socket`);
    closeSync(file);
  });
});

describe("whoever is wrong about descriptors", () => {
  test("and gives something else for a list is told so", () => {
    using pair = new Pair({ service: many });
    for (const descriptors of [5, null, "0", { length: 1 }] as never[]) {
      expect(() => pair.context.write(pair.client, "x", { descriptors })).toThrow(
        "EINVAL: descriptors is a list",
      );
    }
  });

  test("and closes one that it gave away harms only what that was", () => {
    using context = new Context();
    const [one, other] = context.pair();
    const number = one.take();
    const handle = context.adopt(number);
    closeSync(number);
    context.wait(0);
    context.closeHandle(handle, { now: true });
    expect(event(context, EventType.Disconnection).connection).toBe(handle);
    other.close();
  });

  test("and serves a connection, or connects to what listens, is told so, and has it closed", async () => {
    using scratch = new Scratch();
    using context = new Context();
    const [one, other] = context.pair();
    await expect(serve("x", {}, { descriptor: one })).rejects.toThrow(
      "EINVAL: the descriptor is a connection",
    );
    other.close();
    await using listening = await serve("y", {}, { rundir: scratch.path });
    const [socket, lock] = listening.copies();
    await expect(connect("y", { descriptor: socket! })).rejects.toThrow(
      "EINVAL: the descriptor is a socket that listens",
    );
    lock!.close();
  });

  test("and takes a name over by the wrong ones is told which they should be", () => {
    using scratch = new Scratch();
    using context = new Context({ rundir: scratch.path });
    const [one, lock] = context.copies(context.serve("one"));
    const [other, spare] = context.copies(context.serve("other"));
    for (const wrong of [
      [one!, spare!],
      [other!, lock!],
      [lock!, one!],
    ]) {
      expect(() => context.takeOver("one", wrong)).toThrow(
        'EINVAL: the descriptors are not the socket and the lock of "one"',
      );
    }
    for (const wrong of [[one!], [one!, one!], [one!, lock!, lock!]]) {
      expect(() => context.takeOver("one", wrong)).toThrow("EINVAL: taking a name over takes two");
    }
    for (const each of [one, lock, other, spare]) each!.close();
  });
});

test("a service that reads one by one holds no more descriptors than fit its patience", async () => {
  using files = new Files();
  using scratch = new Scratch();
  const rundir = scratch.path;
  // Nobody iterates it: what comes is kept, as far as that goes.
  await using service = await serve("lazy", {}, { rundir, descriptors: { max: 253 } });
  using context = new Context({ rundir });
  const client = context.connect("lazy");
  const descriptors = new Array<number>(253).fill(files.open("one"));
  for (let count = 0; count < 50; count++) {
    context.write(client, "", { descriptors });
    await new Promise(setImmediate);
  }
  const [connection] = service.connections;
  expect(connection!.statistics().messagesReceived).toBeLessThan(10);
  context.closeAll({ now: true });
  for await (const message of connection!) for (const each of message.descriptors) each.close();
});
