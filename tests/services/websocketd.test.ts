/** websocketd: who is let in, what goes through, who waits for whom, and how it ends. */

import { describe, expect, test } from "bun:test";
import { connect as connectTcp } from "node:net";
import type { Connection } from "../../src/index.ts";
import { connect, serve } from "../../src/index.ts";
import type { Reports } from "../../src/services/startable.ts";
import { service as websocketd } from "../../src/services/websocketd.ts";
import { canCount, descriptorCount } from "../kit/census.ts";
import { earshot, leaveNoCommand, run, startService } from "../kit/command.ts";
import { leaveNoTrace } from "../kit/no-trace.ts";
import { pattern } from "../kit/random.ts";
import { clientFrame, closing, handshake, opcodes, RawWebSocket } from "../kit/raw-websocket.ts";
import { Scratch } from "../kit/scratch.ts";
import { until } from "../kit/until.ts";
import { startWebsocketd } from "../kit/websocketd.ts";

leaveNoTrace();
leaveNoCommand();

const { text, binary, close, ping, pong } = opcodes;
const textOf = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

/** A run directory with pong in it, and a daemon that leads there. */
async function stage(words: readonly string[] = []) {
  const scratch = new Scratch();
  const service = await startService(["pong"], { rundir: scratch.path });
  const daemon = await startWebsocketd(scratch.path, ["--allow", "pong", ...words]);
  return {
    rundir: scratch.path,
    service,
    daemon,
    port: daemon.port,
    async [Symbol.asyncDispose]() {
      await daemon[Symbol.asyncDispose]();
      await service[Symbol.asyncDispose]();
      scratch[Symbol.dispose]();
    },
  };
}

/** Asks pong for an answer: whoever gets one is served. */
async function isServed(remote: RawWebSocket): Promise<void> {
  const before = remote.frames.length;
  remote.send(text, "still here");
  const frames = await remote.received(before + 1);
  expect(textOf(frames[before]!.payload)).toBe("still here");
}

/** A daemon in this process. */
async function startHere(rundir: string, allowed: string) {
  const daemon = await websocketd.start(
    {
      name: "ws",
      options: { rundir },
      reports: {} as Reports,
      complain: () => undefined,
      signal: new AbortController().signal,
    },
    {
      listen: { host: "127.0.0.1", port: 0 },
      allow: [allowed],
      origin: [],
      ca: [],
      "no-lookups": true,
      "dial-timeout": undefined,
      ping: undefined,
      idle: undefined,
      deflate: undefined,
      "held-max": undefined,
      "queue-max": undefined,
      "connections-max": undefined,
    },
  );
  const port = Number(/:(\d+)\//.exec(daemon.path)![1]);
  return { port, close: () => daemon.close({ now: true }) };
}

describe("a command line", () => {
  test.each([
    [["--no-lookups"], "with neither --listen nor lookups there is nothing to do"],
    [["--allow", "pong"], "--allow names what remotes reach; without --listen there are none"],
    [["--ca", "/nowhere/ca.pem"], '--ca: "/nowhere/ca.pem" cannot be used: '],
    [["--ca", "/dev/null"], '--ca: there is no certificate in "/dev/null"'],
    [["--dial-timeout", "0"], "--dial-timeout: 0 is not from 1 to"],
    [["--listen", "9000"], '--listen: "9000" is no HOST:PORT'],
    [["--listen", "127.0.0.1:0", "--allow", "../pong"], '--allow: "../pong" is no name'],
    [
      ["--listen", "127.0.0.1:0", "--origin", "example.com"],
      '--origin: "example.com" is no origin',
    ],
    [
      ["--listen", "127.0.0.1:0", "--origin", "https://a.b/path"],
      '--origin: "https://a.b/path" is',
    ],
    [["--listen", "127.0.0.1:0", "--no-lookups", "--users", "anyone"], "--users is for lookups"],
    [["--listen", "127.0.0.1:0", "--ping", "86401"], "--ping: 86401 is more than a day"],
  ])("%j is a usage error", async (words, complaint) => {
    using scratch = new Scratch();
    const ended = await run(earshot("service", "websocketd", ...words), { rundir: scratch.path });
    expect(ended).toMatchObject({ code: 2, stdout: "" });
    expect(ended.stderr).toStartWith(`service: ${complaint}`);
  });

  test("with limits that cannot be kept says so", async () => {
    using scratch = new Scratch();
    const words = ["websocketd", "--listen", "127.0.0.1:0", "--message-max", "99999999999"];
    const ended = await run(earshot("service", ...words), { rundir: scratch.path });
    expect(ended).toMatchObject({ code: 1, stdout: "" });
    expect(ended.stderr).toStartWith("service: --message-max is 99999999999; ");
  });

  test("with an address that is taken, or is not of this machine, says so", async () => {
    await using here = await stage();
    const { rundir, port } = here;
    for (const [listen, why] of [
      [`127.0.0.1:${port}`, "somebody listens there already"],
      ["192.0.2.1:9000", "it is no address of this machine"],
    ] as const) {
      const ended = await run(
        earshot("service", "websocketd", "--no-lookups", "--listen", listen),
        {
          rundir,
        },
      );
      expect(ended).toMatchObject({ code: 1, stdout: "" });
      expect(ended.stderr).toBe(`service: cannot listen at ${listen}: ${why}\n`);
    }
  });

  test("with a host that nobody knows says so, and a name is as good as a number", async () => {
    using scratch = new Scratch();
    const options = { rundir: scratch.path };
    const words = ["websocketd", "--no-lookups", "--listen"];
    const ended = await run(earshot("service", ...words, "nosuch.invalid:0"), options);
    expect(ended).toMatchObject({ code: 1, stdout: "" });
    expect(ended.stderr).toStartWith('service: "nosuch.invalid" leads to no address (ENOTFOUND)');
    await using named = await startService([...words, "localhost:0"], options);
    expect(named.stdout).toMatch(/listening on ws:\/\/(127\.0\.0\.1|\[::1\]):[0-9]+\//);
  });

  test("with --help tells the options", async () => {
    const { code, stdout } = await run(earshot("service", "websocketd", "--help"));
    expect(code).toBe(0);
    for (const option of [
      "--listen HOST:PORT",
      "--allow NAME",
      "--origin ORIGIN",
      "--ping SECONDS",
    ])
      expect(stdout).toContain(option);
  });
});

describe("the door", () => {
  const paths: [string, number][] = [
    ["/pong", 101],
    ["/pong?", 400],
    ["/pong?x=1", 400],
    ["/../pong", 400],
    ["/x/../pong", 400],
    ["/./pong", 400],
    ["/secret", 404],
    ["/secret?x", 404],
    ["/../secret", 404],
    ["/..%2fpong", 400],
    ["/%2e%2e/pong", 400],
    ["/%2e%2e%2fpong", 400],
    ["/po%6eg", 400],
    ["/pong/", 400],
    ["/pong/more", 400],
    ["//pong", 400],
    ["/pong%00", 400],
    ["/pong.lock", 404],
    ["/", 404],
    [`/${"x".repeat(5000)}`, 404],
  ];

  test("leads to the services that are named, and to nothing else", async () => {
    await using here = await stage();
    const { rundir, port } = here;
    await using _ = await serve("secret", {}, { rundir });
    for (const [path, status] of paths) {
      using remote = await RawWebSocket.ask(port, path);
      expect([path, remote.status]).toEqual([path, status]);
      if (status === 101) continue;
      await remote.gone();
      expect([path, remote.body]).toEqual([
        path,
        status === 404
          ? "there is no service of that name here\n"
          : "a path is / or /NAME, where NAME is that of a service, as it is\n",
      ]);
    }
  });

  const plain: [string, Record<string, string | undefined>, number, string][] = [
    ["no upgrade", { Upgrade: undefined }, 426, "this is for WebSockets: connect with ws://"],
    ["another upgrade", { Upgrade: "h2c" }, 426, "this is for WebSockets: connect with ws://"],
    ["version 8", { "Sec-WebSocket-Version": "8" }, 426, "only version 13 of WebSockets is spoken"],
    ["no version", { "Sec-WebSocket-Version": undefined }, 426, "only version 13 of WebSockets"],
    [
      "no key",
      { "Sec-WebSocket-Key": undefined },
      400,
      "Sec-WebSocket-Key is not 16 bytes in base64",
    ],
    ["a short key", { "Sec-WebSocket-Key": "c2hvcnQ=" }, 400, "Sec-WebSocket-Key is not 16 bytes"],
    [
      "another subprotocol",
      { "Sec-WebSocket-Protocol": "mqtt, wamp" },
      400,
      "of subprotocols, only",
    ],
    ["a stranger's page", { Origin: "https://example.com" }, 403, "pages from that origin may not"],
    ["no page at all", { Origin: "null" }, 403, "pages from that origin may not"],
  ];

  test.each(plain)("answers %s in plain HTTP", async (_, headers, status, why) => {
    await using here = await stage();
    using remote = await RawWebSocket.ask(here.port, "/pong", { headers });
    expect(remote.status).toBe(status);
    await remote.gone();
    expect(remote.body).toStartWith(why);
    expect(remote.header("Content-Type")).toBe("text/plain; charset=utf-8");
    if (status === 426) {
      expect(remote.header("Upgrade")).toBe("websocket");
      expect(remote.header("Sec-WebSocket-Version")).toBe("13");
    }
    await here.daemon.counts({ [`refused_${status}`]: 1, open: 0, accepted: 0 });
  });

  test.each([
    ["a name that somebody has lead here", [], "evil.example", 403],
    ["localhost", [], "localhost:1", 200],
    ["a number", [], "[::1]:1", 200],
    ["the name of an --origin", ["--origin", "https://a.example"], "a.example", 200],
  ])("tells what there is to who calls it by %s, or not", async (_, words, host, status) => {
    await using here = await stage(words);
    // For some paths another status would tell that there is such a service.
    for (const path of status === 200 ? [""] : ["", "pong", "nosuch"]) {
      const url = `http://127.0.0.1:${here.port}/${path}`;
      const ended = await run(["curl", "-sS", "-i", "-H", `Host: ${host}`, url]);
      expect(ended.stdout).toStartWith(`HTTP/1.1 ${status} `);
      expect(ended.stdout.includes("pong")).toBe(status === 200);
    }
  });

  test("answers 405 to what is no GET", async () => {
    await using here = await stage();
    for (const path of ["", "pong"]) {
      const url = `http://127.0.0.1:${here.port}/${path}`;
      const answer = await fetch(url, { method: "DELETE" });
      expect(answer.status).toBe(405);
      expect(answer.headers.get("Allow")).toContain("GET");
      await answer.text();
    }
  });

  const origins: [string, string[], Record<string, string>, boolean][] = [
    ["its own page, by number", [], { Host: "127.0.0.1:80", Origin: "http://127.0.0.1" }, true],
    ["its own page, by localhost", [], { Host: "localhost:1", Origin: "http://localhost:1" }, true],
    ["its own page, over IPv6", [], { Host: "[::1]:1", Origin: "http://[::1]:1" }, true],
    [
      "another port of the same host",
      [],
      { Host: "127.0.0.1:1", Origin: "http://127.0.0.1:2" },
      false,
    ],
    [
      "a name made to lead here",
      [],
      { Host: "evil.example", Origin: "http://evil.example" },
      false,
    ],
    ["one that is allowed", ["https://a.example"], { Origin: "https://a.example" }, true],
    [
      "the second",
      ["https://a.example", "http://b.example:8080/"],
      { Origin: "http://b.example:8080" },
      true,
    ],
    ["one that only begins so", ["https://a.example"], { Origin: "https://a.example.org" }, false],
    ["another scheme", ["https://a.example"], { Origin: "http://a.example" }, false],
    [
      "its own, when others are named",
      ["https://a.example"],
      { Host: "127.0.0.1", Origin: "http://127.0.0.1" },
      false,
    ],
  ];

  test.each(origins)("with a page's origin: %s", async (_, allowed, headers, isAllowed) => {
    await using here = await stage(allowed.flatMap((one) => ["--origin", one]));
    using remote = await RawWebSocket.ask(here.port, "/pong", { headers });
    expect(remote.status).toBe(isAllowed ? 101 : 403);
    using program = await RawWebSocket.open(here.port, "/pong");
    await isServed(program);
  });

  test("says so when the service is not running, and lets in when it is", async () => {
    await using here = await stage(["--allow", "late"]);
    const { rundir, port, daemon } = here;
    {
      using remote = await RawWebSocket.ask(port, "/late");
      expect(remote.status).toBe(503);
      await remote.gone();
      expect(remote.body).toBe("late is not running; try again later\n");
    }
    await daemon.command.complains('no way to late: ENOENT: nobody serves "late"');
    await using _ = await serve(
      "late",
      { message: (connection, message) => void connection.send(message.bytes) },
      { rundir },
    );
    using remote = await RawWebSocket.open(port, "/late");
    await isServed(remote);
    await daemon.counts({ refused_503: 1, accepted: 1 });
  });

  test("lets in no more than are allowed, and again when one has gone", async () => {
    await using here = await stage(["--connections-max", "2"]);
    const { port, daemon } = here;
    using first = await RawWebSocket.open(port, "/pong");
    {
      using second = await RawWebSocket.open(port, "/pong");
      await isServed(second);
      using third = await RawWebSocket.ask(port, "/pong");
      expect(third.status).toBe(503);
      await third.gone();
      expect(third.body).toBe("as many are connected as are allowed; try again later\n");
    }
    await daemon.counts({ open: 1 });
    using again = await RawWebSocket.open(port, "/pong");
    await isServed(again);
    await isServed(first);
  });

  test("holds nobody's place who is slow with the handshake, and ends that", async () => {
    await using here = await stage(["--connections-max", "1"]);
    const { port } = here;
    const slow = await RawWebSocket.dial(port);
    using silent = await RawWebSocket.dial(port);
    slow.write(Buffer.from("GET /pong HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: "));
    using served = await RawWebSocket.open(port, "/pong");
    // A byte now and then does not help it: Bun's server counts from the beginning.
    await until("the slow one is sent away", () => {
      slow.write(Buffer.from("x"));
      return slow.ended;
    });
    await silent.gone();
    await isServed(served);
    slow.close();
  });
});

describe("messages", () => {
  test("come back binary, whatever they were, unless text was asked for", async () => {
    await using here = await stage();
    for (const speech of [undefined, "earshot.binary", "nonsense, earshot.binary, earshot.text"]) {
      using remote = await RawWebSocket.open(here.port, "/pong", {
        headers: { "Sec-WebSocket-Protocol": speech },
      });
      expect(remote.header("Sec-WebSocket-Protocol")).toBe(speech && "earshot.binary");
      remote.send(text, "héllo");
      remote.send(binary, Uint8Array.of(0xff));
      remote.send(text, "");
      const frames = await remote.received(3);
      expect(frames.map(({ opcode }) => opcode)).toEqual([binary, binary, binary]);
      expect(textOf(frames[0]!.payload)).toBe("héllo");
      expect(frames[1]!.payload).toEqual(Uint8Array.of(0xff));
      expect(frames[2]!.payload).toHaveLength(0);
    }
  });

  test("come back as text to who asked for it, but never what is no UTF-8", async () => {
    await using here = await stage();
    using remote = await RawWebSocket.open(here.port, "/pong", {
      headers: { "Sec-WebSocket-Protocol": "earshot.text" },
    });
    expect(remote.header("Sec-WebSocket-Protocol")).toBe("earshot.text");
    const surrogate = Uint8Array.of(0xed, 0xa0, 0x80);
    remote.send(text, "héllo");
    remote.send(binary, "bytes that are text");
    remote.send(binary, Uint8Array.of(0x61, 0xff));
    remote.send(binary, surrogate);
    remote.send(text, "");
    const frames = await remote.received(5);
    expect(frames.map(({ opcode }) => opcode)).toEqual([text, text, binary, binary, text]);
    expect(frames[2]!.payload).toEqual(Uint8Array.of(0x61, 0xff));
    expect(frames[3]!.payload).toEqual(surrogate);
    await here.daemon.counts({
      not_text: 2,
      messages_in: 5,
      messages_out: 5,
      bytes_in: 30,
      bytes_out: 30,
    });
  });

  test("of a service that speaks first are all there", async () => {
    await using here = await stage(["--allow", "host"]);
    await using _ = await serve(
      "host",
      { open: (connection) => void ["wel", "come"].map((word) => connection.send(word)) },
      { rundir: here.rundir },
    );
    using remote = await RawWebSocket.open(here.port, "/host");
    const frames = await remote.received(2);
    expect(frames.map(({ payload }) => textOf(payload))).toEqual(["wel", "come"]);
  });

  test("100,000 in a row come back in order", async () => {
    await using here = await stage();
    const count = 100_000;
    const remote = new WebSocket(`ws://127.0.0.1:${here.port}/pong`);
    remote.binaryType = "arraybuffer";
    let next = 0;
    const ended = Promise.withResolvers<void>();
    remote.onclose = () => ended.resolve();
    remote.onmessage = ({ data }) => {
      const number = new DataView(data as ArrayBuffer).getUint32(0);
      if (number !== next) throw new Error(`${number} came instead of ${next}`);
      next += 1;
    };
    await new Promise((resolve) => {
      remote.onopen = resolve;
    });
    const message = new Uint8Array(64);
    const view = new DataView(message.buffer);
    for (let at = 0; at < count; at++) {
      view.setUint32(0, at);
      remote.send(message);
    }
    await until("all came back", () => next === count);
    remote.close();
    await ended.promise;
  });

  test("longer than allowed close who sends them, and nobody else", async () => {
    await using here = await stage(["--message-max", "1000"]);
    using other = await RawWebSocket.open(here.port, "/pong");
    using remote = await RawWebSocket.open(here.port, "/pong");
    remote.send(binary, pattern(1000));
    expect((await remote.received(1))[0]!.payload).toEqual(pattern(1000));
    remote.send(binary, pattern(1001));
    await remote.gone();
    expect(remote.closed?.code).toBe(1009);
    await here.daemon.command.complains(": closed: Received too big message\n");
    await isServed(other);
  });
});

describe("whoever is slow is waited for", () => {
  /** Not to be held by any buffer of the system: pong would have to keep it. */
  const much = 64 * 1024 * 1024;
  const piece = pattern(256 * 1024);

  test("a remote that does not read stops the service, and gets all when it does", async () => {
    await using here = await stage(["--allow", "source", "--queue-max", "1048576"]);
    const sent: Connection[] = [];
    const count = much / piece.length;
    await using _ = await serve(
      "source",
      {
        open: (connection) => {
          sent.push(connection);
          for (let at = 0; at < count; at++) connection.send(piece);
        },
      },
      { rundir: here.rundir, queueBytesMax: 2 * much },
    );
    using remote = await RawWebSocket.open(here.port, "/source", { reads: false });
    using other = await RawWebSocket.open(here.port, "/pong");
    await until(
      "the daemon reads no more",
      async () => (await here.daemon.counters())["service_pauses"]! > 0,
    );
    const { bytes_out: before } = await here.daemon.counters();
    // One is told to wait at the mark; a batch and a message may be on their way.
    expect(before).toBeLessThan(16 * 1024 * 1024);
    expect(sent[0]!.queuedBytes).toBeGreaterThan(much / 2);
    await isServed(other);
    expect((await here.daemon.counters())["bytes_out"]).toBe(before! + "still here".length);
    remote.read();
    const frames = await remote.received(count);
    for (const { payload } of frames) expect(Buffer.compare(payload, piece)).toBe(0);
  });

  test("a service that does not read stops the remote, and gets all when it does", async () => {
    await using here = await stage(["--allow", "sink"]);
    let received = 0;
    const accepted: Connection[] = [];
    await using _ = await serve(
      "sink",
      {
        open: (connection) => {
          connection.pause();
          accepted.push(connection);
        },
        message: (_connection, message) => {
          expect(message.length).toBe(piece.length);
          received += 1;
        },
      },
      { rundir: here.rundir },
    );
    using remote = await RawWebSocket.open(here.port, "/sink");
    using other = await RawWebSocket.open(here.port, "/pong");
    const count = much / piece.length;
    for (let at = 0; at < count; at++) remote.send(binary, piece);
    await until(
      "the daemon reads no more",
      async () => (await here.daemon.counters())["remote_pauses"]! > 0,
    );
    await isServed(other);
    // It holds what it may, and the rest is still the remote's.
    expect(remote.unwrittenBytes).toBeGreaterThan(much / 4);
    const { bytes_in: before } = await here.daemon.counters();
    await isServed(other);
    expect((await here.daemon.counters())["bytes_in"]).toBe(before! + "still here".length);
    accepted[0]!.resume();
    await until("all arrived", () => received === count);
  });

  test("a flood from one does not hold up another", async () => {
    await using here = await stage();
    using flood = await RawWebSocket.open(here.port, "/pong");
    using other = await RawWebSocket.open(here.port, "/pong");
    const frames = Buffer.concat(
      Array.from({ length: 10_000 }, () => clientFrame(binary, "x".repeat(64))),
    );
    let round = 0;
    for (; round < 20; round++) {
      flood.write(frames);
      await isServed(other);
    }
    await flood.received(10_000 * round);
  });

  test("a remote that does not read and floods pong ends alone", async () => {
    await using here = await stage();
    using deaf = await RawWebSocket.open(here.port, "/pong", { reads: false });
    using other = await RawWebSocket.open(here.port, "/pong");
    // pong keeps what is not read, up to its own limit, and then ends the connection.
    const total = 4 * much;
    for (let sent = 0; sent < total; sent += piece.length) deaf.send(binary, piece);
    await here.daemon.counts({ service_gone: 1 });
    await isServed(other);
    deaf.read();
    await deaf.gone();
    // What it wrote was not all read, so TCP may reset it before it has seen the Close; if not, that says why.
    expect([1011, 1012]).toContain(deaf.closed?.code ?? 1012);
    await here.daemon.counts({ open: 1 });
  });
});

test("no more waits for all remotes together than may, and who adds to it goes", async () => {
  await using here = await stage(["--held-max", `${16 * 1024 * 1024}`]);
  using other = await RawWebSocket.open(here.port, "/pong");
  using deaf = new DisposableStack();
  const large = new Uint8Array(12 * 1024 * 1024);
  for (let count = 0; count < 6; count++) {
    const each = deaf.use(await RawWebSocket.open(here.port, "/pong", { reads: false }));
    each.send(binary, large);
  }
  await until("some had to go", async () => ((await here.daemon.counters())["over_held"] ?? 0) > 0);
  await isServed(other);
});

describe("a remote that says more than all others", () => {
  test("has its turns with them, and gets all its answers", async () => {
    await using here = await stage();
    using flooder = await RawWebSocket.open(here.port, "/pong");
    using other = await RawWebSocket.open(here.port, "/pong");
    const count = 100_000;
    const frame = clientFrame(binary, pattern(64));
    flooder.write(Buffer.concat(Array.from({ length: count }, () => frame)));
    while (flooder.frames.length < count / 2) await isServed(other);
    await flooder.received(count);
    const { remote_turns: turns, messages_in: heard, accepted } = await here.daemon.counters();
    expect(accepted).toBe(2);
    expect(heard).toBeGreaterThan(count);
    // In one turn Bun reads so much of one WebSocket, and no more than that.
    const readBytes = 512 * 1024;
    expect(turns).toBeGreaterThanOrEqual(Math.floor((count * frame.length) / readBytes));
    await isServed(other);
  });

  test("is not handed on whole before others are heard, though it was read", async () => {
    using scratch = new Scratch();
    const rundir = scratch.path;
    let flooded = 0;
    let floodedBefore: number | undefined;
    await using _ = await serve(
      "order",
      {
        message: (_connection, message) => {
          if (message.text() === "other") floodedBefore = flooded;
          else flooded += 1;
        },
      },
      { rundir },
    );
    // All in this thread, so that who comes first is not for the system to say.
    const daemon = await startHere(rundir, "order");
    using flooder = await RawWebSocket.open(daemon.port, "/order");
    using other = await RawWebSocket.open(daemon.port, "/order");
    // No more than the kernel takes at once, and Bun reads at once.
    const count = 8000;
    flooder.write(Buffer.concat(Array.from({ length: count }, () => clientFrame(binary, "x"))));
    expect(flooder.unwrittenBytes).toBe(0);
    other.send(text, "other");
    await until("all have come", () => flooded === count && floodedBefore !== undefined);
    expect(floodedBefore).toBeLessThan(count / 4);
    await daemon.close();
  });

  test("has all that it said handed on, though it has gone", async () => {
    await using here = await stage(["--allow", "order"]);
    let heard = 0;
    await using _ = await serve(
      "order",
      {
        message: () => {
          heard += 1;
        },
      },
      { rundir: here.rundir },
    );
    using flooder = await RawWebSocket.open(here.port, "/order");
    here.daemon.command.signal("SIGSTOP");
    const count = 5000;
    const frame = clientFrame(binary, pattern(64));
    flooder.write(Buffer.concat(Array.from({ length: count }, () => frame)));
    flooder.send(close, closing(1000));
    await flooder.written();
    here.daemon.command.signal("SIGCONT");
    await until(
      () => `all have come, and not ${heard}`,
      () => heard === count,
    );
    await here.daemon.counts({ open: 0, messages_in: count });
  });
});

describe("an end", () => {
  test("of the service is told to the remote, whose neighbours go on", async () => {
    await using here = await stage(["--allow", "mortal"]);
    const { rundir, port, daemon } = here;
    const mortal = await startService(["pong", "--name", "mortal"], { rundir });
    using remote = await RawWebSocket.open(port, "/mortal");
    using other = await RawWebSocket.open(port, "/pong");
    await isServed(remote);
    await mortal.end("SIGKILL");
    await remote.gone();
    expect(remote.closed).toEqual({ code: 1012, reason: "mortal ended the connection" });
    await isServed(other);
    await daemon.counts({ service_gone: 1, open: 1 });
  });

  test("of a service that had the remote wait is told to it all the same", async () => {
    await using here = await stage(["--allow", "sink"]);
    const accepted: Connection[] = [];
    const sink = await serve(
      "sink",
      {
        open: (connection) => {
          connection.pause();
          accepted.push(connection);
        },
      },
      { rundir: here.rundir },
    );
    using remote = await RawWebSocket.open(here.port, "/sink");
    const piece = pattern(256 * 1024);
    for (let at = 0; at < 128; at++) remote.send(binary, piece);
    await until("it has to wait", async () => {
      return (await here.daemon.counters())["remote_pauses"]! > 0;
    });
    await sink.close({ now: true });
    await remote.gone();
    // The same: what is not read can have TCP reset it.
    expect([1011, 1012]).toContain(remote.closed?.code ?? 1012);
    await here.daemon.counts({ open: 0, service_gone: 1 });
  });

  test("of a service that breaks its promises is told as an error", async () => {
    await using here = await stage(["--allow", "liar", "--message-max", "1000"]);
    await using _ = await serve(
      "liar",
      { open: (connection) => void connection.send("x".repeat(1001)) },
      { rundir: here.rundir },
    );
    using remote = await RawWebSocket.open(here.port, "/liar");
    await remote.gone();
    expect(remote.closed).toEqual({
      code: 1011,
      reason: "the connection to liar ended: message_too_long",
    });
  });

  test("of the service comes behind what it had said", async () => {
    await using here = await stage(["--allow", "brief"]);
    const count = 100;
    const piece = pattern(65_536);
    await using _ = await serve(
      "brief",
      {
        open(connection) {
          for (let at = 0; at < count; at++) connection.send(piece);
          void connection.close();
        },
      },
      { rundir: here.rundir },
    );
    using remote = await RawWebSocket.open(here.port, "/brief", { reads: false });
    remote.read();
    await remote.gone();
    expect(remote.frames).toHaveLength(count + 1);
    expect(remote.closed?.code).toBe(1012);
  });

  test.each(["a close", "a word less"])(
    "of a remote, with %s, ends the connection behind what it said",
    async (how) => {
      await using here = await stage(["--allow", "listener"]);
      const words: string[] = [];
      const ends: string[] = [];
      await using _ = await serve(
        "listener",
        {
          message: (_connection, message) => void words.push(message.text()),
          close: (_connection, { reason }) => void ends.push(reason),
        },
        { rundir: here.rundir },
      );
      const remote = await RawWebSocket.open(here.port, "/listener");
      remote.send(text, "last");
      remote.send(text, "words");
      if (how === "a close") {
        remote.send(close, closing(1000, "done"));
        await remote.gone();
        expect(remote.closed).toEqual({ code: 1000, reason: "done" });
      } else {
        await remote.written();
        await until("they were heard", () => words.length === 2);
      }
      remote.close();
      await until("the service knows", () => ends.length === 1);
      expect({ words, ends }).toEqual({ words: ["last", "words"], ends: ["peer_closed"] });
      await here.daemon.counts({ open: 0, violations: 0 });
    },
  );

  test.each(["SIGTERM", "SIGINT"] as const)(
    "of the daemon, at %s, is told to all behind what waits for them",
    async (signal) => {
      await using here = await stage(["--allow", "source"]);
      const count = 20;
      const piece = pattern(256 * 1024);
      await using _ = await serve(
        "source",
        {
          open: (connection) => {
            for (let at = 0; at < count; at++) connection.send(piece);
          },
        },
        { rundir: here.rundir },
      );
      using idle = await RawWebSocket.open(here.port, "/pong");
      using slow = await RawWebSocket.open(here.port, "/source", { reads: false });
      await here.daemon.counts({ messages_out: await waitingFor(here.daemon) });
      const { messages_out: sent } = await here.daemon.counters();
      here.daemon.command.signal(signal);
      await idle.gone();
      expect(idle.closed).toEqual({ code: 1001, reason: "this daemon ends" });
      slow.read();
      await slow.gone();
      expect(slow.closed).toEqual({ code: 1001, reason: "this daemon ends" });
      // All that the daemon had taken for it, and nothing of it cut.
      expect(slow.frames.length - 1).toBeGreaterThanOrEqual(sent!);
      for (const { payload } of slow.frames.slice(0, -1))
        expect(Buffer.compare(payload, piece)).toBe(0);
      expect(await here.daemon.command.whenEnded()).toMatchObject({ code: 0, signal: null });
    },
  );

  test("of the daemon comes although a service goes on and on", async () => {
    await using here = await stage(["--allow", "fountain"]);
    const piece = pattern(64 * 1024);
    const pour = (connection: Connection) => {
      while (connection.open && connection.send(piece));
    };
    await using _ = await serve("fountain", { open: pour, drain: pour }, { rundir: here.rundir });
    using remote = await RawWebSocket.open(here.port, "/fountain");
    await remote.received(100);
    here.daemon.command.signal("SIGTERM");
    await remote.gone();
    expect(remote.closed).toEqual({ code: 1001, reason: "this daemon ends" });
    expect(await here.daemon.command.whenEnded()).toMatchObject({ code: 0, signal: null });
  });

  /** How many went out when it goes no further. */
  async function waitingFor(daemon: Awaited<ReturnType<typeof startWebsocketd>>): Promise<number> {
    let last = -1;
    await until("what waits is all there is, or may", async () => {
      const { messages_out: sent, service_pauses: pauses } = await daemon.counters();
      const isStill = sent === last && (pauses! > 0 || sent! >= 20);
      last = sent!;
      return isStill;
    });
    return last;
  }

  test("of the daemon does not wait for who does not read, when told twice", async () => {
    await using here = await stage(["--allow", "source"]);
    await using _ = await serve(
      "source",
      {
        open: (connection) => {
          for (let at = 0; at < 100; at++) connection.send(pattern(256 * 1024));
        },
      },
      { rundir: here.rundir },
    );
    using slow = await RawWebSocket.open(here.port, "/source", { reads: false });
    await until(
      "it has to wait",
      async () => (await here.daemon.counters())["service_pauses"]! > 0,
    );
    here.daemon.command.signal("SIGTERM");
    await until("nobody is let in any more", async () => !(await isListening(here.port)));
    expect(await here.daemon.command.end("SIGTERM")).toMatchObject({ code: 0, signal: null });
    slow.read();
    await slow.gone();
    expect(slow.closed).toBeUndefined();
  });
});

function isListening(port: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const socket = connectTcp(port, "127.0.0.1");
  socket.on("connect", () => resolve(true));
  socket.on("error", () => resolve(false));
  return promise.finally(() => socket.destroy());
}

describe("remotes that are not there any more", () => {
  test("are asked, and dropped without an answer; those that answer stay", async () => {
    await using here = await stage(["--ping", "1"]);
    using deaf = await RawWebSocket.open(here.port, "/pong", { reads: false });
    using alive = await RawWebSocket.open(here.port, "/pong");
    let answered = 0;
    const answering = setInterval(() => {
      const asked = alive.frames.filter(({ opcode }) => opcode === ping).length;
      for (; answered < asked; answered++) alive.send(pong, "");
    }, 1);
    await here.daemon.command.complains(": dropped: it does not answer\n");
    deaf.read();
    await deaf.gone();
    expect(deaf.closed).toBeUndefined();
    await until("the other was asked more than once", () => answered >= 2);
    clearInterval(answering);
    await here.daemon.counts({ unanswered: 1 });
    await isServed(alive);
  });

  test("are noticed even while they have to wait", async () => {
    await using here = await stage(["--ping", "1", "--allow", "sink"]);
    await using _ = await serve(
      "sink",
      { open: (connection) => connection.pause() },
      { rundir: here.rundir },
    );
    // One whose end lies behind what is not read: no reset tells of it.
    const remote = connectTcp(here.port, "127.0.0.1");
    remote.on("error", () => undefined);
    remote.write(handshake("/sink"));
    const piece = clientFrame(binary, pattern(256 * 1024));
    for (let at = 0; at < 64; at++) remote.write(piece);
    await until("it has to wait", async () => {
      return (await here.daemon.counters())["remote_pauses"]! > 0;
    });
    remote.destroy();
    await here.daemon.counts({ open: 0, unanswered: 0 });
  });

  test("and those that have nothing to say are closed, if that is wished", async () => {
    await using here = await stage(["--idle", "2"]);
    using idle = await RawWebSocket.open(here.port, "/pong");
    using busy = await RawWebSocket.open(here.port, "/pong");
    const chatter = setInterval(() => busy.send(text, "still here"), 100);
    await idle.gone();
    clearInterval(chatter);
    expect(idle.closed).toEqual({ code: 1008, reason: "no message for too long" });
    await here.daemon.counts({ idle: 1 });
    await isServed(busy);
  });
});

describe("many", () => {
  test("2,000 idle remotes cost nobody anything, and leave nothing behind", async () => {
    await using here = await stage();
    const { port, daemon } = here;
    using busy = await RawWebSocket.open(port, "/pong");
    await isServed(busy);
    const before = canCount ? descriptorCount(daemon.command.pid) : 0;
    const crowd: RawWebSocket[] = [];
    while (crowd.length < 2000) {
      const next = Array.from({ length: 100 }, () => RawWebSocket.open(port, "/pong"));
      crowd.push(...(await Promise.all(next)));
    }
    await daemon.counts({ open: 2001 });
    await isServed(busy);
    await isServed(crowd.at(-1)!);
    for (const remote of crowd) remote.close();
    await daemon.counts({ open: 1 });
    await isServed(busy);
    await until("the daemon has closed what it had opened", () => {
      return !canCount || descriptorCount(daemon.command.pid) <= before;
    });
  });

  test("remotes that take the last descriptors harm nobody who is there, nor later ones", async () => {
    using scratch = new Scratch();
    await using _ = await startService(["pong"], { rundir: scratch.path });
    const shell = 'ulimit -n 64; exec "$@"';
    await using daemon = await startWebsocketd(scratch.path, ["--allow", "pong"], { shell });
    const { port } = daemon;
    using first = await RawWebSocket.open(port, "/pong");
    const crowd = await Promise.all(Array.from({ length: 100 }, () => RawWebSocket.dial(port)));
    for (const remote of crowd) remote.write(Buffer.from(handshake("/pong")));
    await daemon.command.complains("EMFILE: no file descriptors are left");
    await isServed(first);
    const refused = await until503(crowd);
    expect(refused.body).toBe("this daemon has no file descriptors left; try again later\n");
    for (const remote of crowd) remote.close();
    await daemon.counts({ open: 1 });
    using later = await RawWebSocket.open(port, "/pong");
    await isServed(later);
  });

  /** One of them that was refused, when its answer is whole. */
  async function until503(crowd: readonly RawWebSocket[]): Promise<RawWebSocket> {
    const find = () => crowd.find(({ status, ended }) => status === 503 && ended);
    await until("somebody is refused", () => find() !== undefined);
    return find()!;
  }

  test("who leaves in the middle of the handshake leaves nothing behind", async () => {
    await using here = await stage();
    const { port, daemon } = here;
    // What a process opens once, it keeps.
    {
      using first = await RawWebSocket.open(port, "/pong");
      await isServed(first);
    }
    await daemon.counts({ open: 0 });
    const before = canCount ? descriptorCount(daemon.command.pid) : 0;
    for (let at = 0; at < 200; at++) {
      const remote = await RawWebSocket.dial(port);
      remote.write(Buffer.from(handshake("/pong")));
      remote.close();
    }
    await daemon.counts({ open: 0 });
    using remote = await RawWebSocket.open(port, "/pong");
    await isServed(remote);
    remote.close();
    await until("the daemon has closed what it had opened", () => {
      return !canCount || descriptorCount(daemon.command.pid) <= before;
    });
    const direct = await connect("pong", { rundir: here.rundir });
    expect((await direct.request("still here")).text()).toBe("still here");
    await direct.close();
  });
});
