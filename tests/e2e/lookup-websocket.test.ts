/** Clients that are led to services of another host, over WebSockets and by datagrams: real processes, two run directories. */

import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import type { Socket } from "node:net";
import { connect as connectTcp, createServer } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import type { Connection } from "../../src/index.ts";
import { connect, serve } from "../../src/index.ts";
import { canCount, residentBytes } from "../kit/census.ts";
import type { Pair } from "../kit/certificates.ts";
import { Authority, selfSigned } from "../kit/certificates.ts";
import { Command, earshot, leaveNoCommand, run } from "../kit/command.ts";
import { leaveNoTrace } from "../kit/no-trace.ts";
import { pattern } from "../kit/random.ts";
import { Scratch } from "../kit/scratch.ts";
import { countersOf, counts, portOf, TwoHosts } from "../kit/two-hosts.ts";
import { until, within } from "../kit/until.ts";
import { numbered, numbersOf, upTo } from "./numbered.ts";

// Bun keeps a loop of its own for those it waits for, from the first one on; it is none of the tests' traces.
Bun.spawnSync(["true"]);
leaveNoTrace();
leaveNoCommand();

const MiB = 1024 * 1024;

/** pong in A behind a websocketd, and in B what leads there. */
async function webStage({ a = [], b = [] }: { a?: string[]; b?: string[] } = {}) {
  const hosts = new TwoHosts();
  try {
    const pong = await hosts.startA("pong");
    const near = await hosts.startB("ipcd");
    const far = await hosts.startA(
      "websocketd",
      "--listen",
      "127.0.0.1:0",
      "--allow",
      "pong",
      ...a,
    );
    const daemon = await hosts.startB("websocketd", ...b);
    const uri = `ws://127.0.0.1:${portOf(far)}/pong`;
    return {
      hosts,
      pong,
      ipcd: near,
      far,
      daemon,
      uri,
      connect: (options = {}) => hosts.connect("pong", uri, options),
      [Symbol.asyncDispose]: () => hosts[Symbol.asyncDispose](),
    };
  } catch (error) {
    await hosts[Symbol.asyncDispose]();
    throw error;
  }
}

/** Resolves when `figure` has not changed for a while: whoever makes it waits for somebody. */
async function stands(figure: () => number): Promise<void> {
  let last = figure();
  let looks = 0;
  await until("somebody waits", async () => {
    await Bun.sleep(100);
    const now = figure();
    looks = now === last ? looks + 1 : 0;
    last = now;
    return looks === 10;
  });
}

async function isAnswered(client: Connection, text = "hello"): Promise<void> {
  expect((await client.request(text, { timeout: 20_000 })).text()).toBe(text);
}

/** A remote that shakes hands, and reads nothing more until it is told to. */
function deafRemote() {
  let socket: Bun.Socket<undefined> | undefined;
  let bytesRead = 0;
  let isGone = false;
  const server = Bun.listen<undefined>({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      data(from, bytes) {
        if (socket !== undefined) {
          bytesRead += bytes.length;
          return;
        }
        socket = from;
        const key = /Sec-WebSocket-Key: (\S+)/i.exec(bytes.toString("latin1"))![1];
        const accept = new Bun.CryptoHasher("sha1")
          .update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
          .digest("base64");
        from.write(
          "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
            `Sec-WebSocket-Accept: ${accept}\r\n\r\n`,
        );
        from.pause();
      },
      close() {
        isGone = true;
      },
    },
  });
  return {
    uri: `ws://127.0.0.1:${server.port}/pong`,
    get bytesRead() {
      return bytesRead;
    },
    get isGone() {
      return isGone;
    },
    read: () => void socket!.resume(),
    [Symbol.dispose]: () => void server.stop(true),
  };
}

describe("over WebSockets", () => {
  test("a client reaches a service of another host, and so does a command", async () => {
    await using here = await webStage();
    await isAnswered(await here.connect());
    const ended = await run(earshot("client", "pong", "from afar"), {
      rundir: here.hosts.b.path,
      env: { IPC_NETWORK: `pong ${here.uri}` },
    });
    expect(ended).toMatchObject({ code: 0, stdout: "from afar\n", stderr: "" });
    await counts(here.daemon, {
      lookups: 2,
      lookups_open: 1,
      outward_messages_in: 2,
      outward_messages_out: 2,
      outward_client_closed: 1,
    });
  });

  test("the daemon says where it is asked, and gives the names up", async () => {
    await using here = await webStage();
    const { path } = here.hosts.b;
    expect(here.daemon.stdout).toBe(`ws: listening on ${path}/ws and ${path}/wss\n`);
    expect(await here.daemon.end()).toMatchObject({ code: 0, stderr: "" });
    expect(here.hosts.b.entries().filter((name) => name.startsWith("ws"))).toEqual([]);
  });

  test("ten thousand messages come back whole, and in order", async () => {
    await using here = await webStage();
    const received: Uint8Array[] = [];
    const client = await here.connect({
      message: (_: Connection, { bytes }: { bytes: Uint8Array }) =>
        void received.push(bytes.slice()),
    });
    const count = 10_000;
    for (let number = 0; number < count; number++) {
      const message = numbered(number, 4 + ((number * 7919) % 3000));
      if (!client.send(message)) await client.drained();
    }
    await until(
      () => `${received.length} of ${count} have come back`,
      () => received.length === count,
    );
    expect(numbersOf(received)).toEqual(upTo(count));
    await counts(here.daemon, { outward_messages_in: count, outward_messages_out: count });
    await counts(here.far, { messages_in: count, messages_out: count });
  });

  test("a client to whom much is said has others heard in between", async () => {
    await using stage = await webStage();
    let heard = 0;
    await using flooded = await stage.connect({
      message: () => {
        heard += 1;
      },
    });
    await using other = await stage.connect();
    const count = 50_000;
    const bytes = pattern(64);
    for (let at = 0; at < count; at++) flooded.send(bytes);
    while (heard < count / 2) await isAnswered(other);
    await until("it has heard all", () => heard === count);
    expect((await countersOf(stage.daemon))["outward_remote_turns"]).toBeGreaterThan(0);
    await isAnswered(other);
  });

  test("messages may be empty, or as long as they can be", async () => {
    await using here = await webStage();
    const client = await here.connect();
    for (const length of [0, 1, 125, 126, 65_535, 65_536, 5 * MiB, 16 * MiB]) {
      const bytes = pattern(length);
      const answer = await within(`${length} bytes`, client.request(bytes));
      expect(Buffer.compare(answer.bytes, bytes)).toBe(0);
    }
  });

  test("a message that is longer than a client may send ends it, and no other", async () => {
    await using here = await webStage({ b: ["--message-max", "1000"] });
    const other = await here.connect();
    const client = await here.connect();
    client.send(pattern(1001));
    expect((await within("the end", client.ended)).reason).toMatch(/^peer_/);
    await here.daemon.complains("the connection of its client ended: message_too_long");
    await isAnswered(other);
    await counts(here.daemon, { outward_client_failed: 1, lookups_open: 1 });
    await counts(here.far, { open: 1 });
  });

  test("a message that is longer than the other side takes ends it, and is told", async () => {
    await using here = await webStage({ a: ["--message-max", "1000"] });
    const client = await here.connect();
    client.send(pattern(1001));
    expect((await within("the end", client.ended)).reason).toBe("peer_closed");
    await counts(here.daemon, { lookups_open: 0 });
    const { outward_remote_failed: failed, outward_remote_lost: lost } = await countersOf(
      here.daemon,
    );
    expect(failed! + lost!).toBe(1);
  });

  test("a message from the other side that is too long here ends it, and is told", async () => {
    await using here = await webStage({ b: ["--message-max", "1000"] });
    const remote = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch: (request, server) =>
        server.upgrade(request) ? undefined : new Response("", { status: 400 }),
      websocket: { message: (socket) => void socket.send(pattern(1001)) },
    });
    const client = await here.hosts.connect("pong", `ws://127.0.0.1:${remote.port}/pong`);
    client.send("short");
    expect((await within("the end", client.ended)).reason).toBe("peer_closed");
    await here.daemon.complains("closed: a message of 1001 bytes; 1000 are allowed");
    await counts(here.daemon, { outward_too_long: 1, lookups_open: 0 });
    await remote.stop(true);
  });

  test("what a remote says first, before anybody has asked, comes to the client", async () => {
    await using here = await webStage();
    const count = 2000;
    const remote = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch: (request, server) =>
        server.upgrade(request) ? undefined : new Response("", { status: 400 }),
      websocket: {
        open(socket) {
          for (let number = 0; number < count; number++) socket.send(numbered(number, 200));
          socket.close(1000, "that is all");
        },
        message: () => undefined,
      },
    });
    for (let round = 0; round < 5; round++) {
      const client = await here.hosts.connect("pong", `ws://127.0.0.1:${remote.port}/pong`);
      const received: Uint8Array[] = [];
      for await (const { bytes } of client) received.push(bytes.slice());
      expect(numbersOf(received)).toEqual(upTo(count));
    }
    await counts(here.daemon, { outward_remote_closed: 5, lookups_open: 0 });
    await remote.stop(true);
  });

  test("whoever is told why there is no way can understand it", async () => {
    await using here = await webStage();
    const { port } = new URL(here.uri);
    const noWebSocket = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch: () => new Response(""),
    });
    const other = createServer((socket) => void socket.end("SSH-2.0-OpenSSH\r\n"));
    await new Promise<void>((resolve) => other.listen(0, "127.0.0.1", resolve));
    const otherPort = (other.address() as { port: number }).port;
    const reasons: [string, string][] = [
      [`ws://127.0.0.1:${port}/secret`, `127.0.0.1:${port} answered 404: there is no such service`],
      ["ws://127.0.0.1:1/pong", "127.0.0.1:1 cannot be reached (ECONNREFUSED)"],
      ["ws://nosuch.invalid:80/pong", 'no address is known for the host "nosuch.invalid"'],
      [
        `ws://127.0.0.1:${noWebSocket.port}/pong`,
        `127.0.0.1:${noWebSocket.port} answered 200: what is there is no WebSocket`,
      ],
      [
        `ws://127.0.0.1:${otherPort}/pong`,
        `what answers at 127.0.0.1:${otherPort} does not speak as a WebSocket`,
      ],
      [`wss://127.0.0.1:${port}/pong`, `127.0.0.1:${port} does not speak TLS as it should: `],
    ];
    for (const [uri, why] of reasons) {
      const failure = await here.hosts.connect("pong", uri).catch((error: unknown) => error);
      expect(failure).toMatchObject({ code: "ENETWORK" });
      expect((failure as Error).message).toContain(why);
    }
    await counts(here.daemon, { lookups: reasons.length, lookups_failed: reasons.length });
    other.close();
    await noWebSocket.stop(true);
  });

  test("a service that is not running there is told, and reached when it is", async () => {
    await using here = await webStage();
    await here.pong.end();
    const failure = await here.connect().catch((error: unknown) => error);
    expect((failure as Error).message).toContain("answered 503: the service is not running there");
    await here.hosts.startA("pong");
    await isAnswered(await here.connect());
  });

  test("a remote that does not complete the handshake is given up", async () => {
    await using here = await webStage({ b: ["--dial-timeout", "1"] });
    let isLeft = false;
    const silent = createServer((socket) => {
      socket.on("error", () => undefined);
      socket.on("close", () => {
        isLeft = true;
      });
      socket.resume();
    });
    await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
    const { port } = silent.address() as { port: number };
    const failure = await here.hosts
      .connect("pong", `ws://127.0.0.1:${port}/pong`)
      .catch((error: unknown) => error);
    expect((failure as Error).message).toContain(
      `127.0.0.1:${port} did not complete the handshake within 1000 ms`,
    );
    await until("its connection is closed", () => isLeft);
    silent.close();
  });

  test("a remote that is gone without a word is noticed", async () => {
    await using here = await webStage({ b: ["--ping", "1"] });
    const sockets: Socket[] = [];
    // It takes the handshake over to the real one, and nothing after it.
    const front = createServer((socket) => {
      sockets.push(socket);
      const behind = connectTcp(Number(new URL(here.uri).port), "127.0.0.1");
      sockets.push(behind);
      for (const each of [socket, behind]) each.on("error", () => undefined);
      socket.once("data", (bytes) => {
        behind.write(bytes);
        socket.pause();
      });
      behind.once("data", (bytes) => void socket.write(bytes));
    });
    await new Promise<void>((resolve) => front.listen(0, "127.0.0.1", resolve));
    const { port } = front.address() as { port: number };
    const client = await here.hosts.connect("pong", `ws://127.0.0.1:${port}/pong`);
    expect((await within("the end", client.ended)).reason).toBe("peer_closed");
    await here.daemon.complains(`127.0.0.1:${port}: dropped: it does not answer`);
    await counts(here.daemon, { outward_unanswered: 1, lookups_open: 0 });
    for (const socket of sockets) socket.destroy();
    front.close();
  });

  test("a client that is killed leaves nothing behind", async () => {
    await using here = await webStage();
    const staying = await here.connect();
    const words = ["sh", "-c", 'exec "$@" </dev/zero >/dev/null', "sh"];
    await using flooding = new Command([...words, ...earshot("client", "pong")], {
      rundir: here.hosts.b.path,
      env: { IPC_NETWORK: `pong ${here.uri}` },
      keyboard: true,
    });
    await counts(here.far, { open: 2 });
    await flooding.end("SIGKILL");
    await counts(here.far, { open: 1 });
    await counts(here.daemon, { lookups_open: 1 });
    await isAnswered(staying);
  });

  test.each(["SIGKILL", "SIGTERM"] as const)(
    "the end of the other side's daemon by %s is the client's",
    async (signal) => {
      await using here = await webStage();
      const client = await here.connect();
      await isAnswered(client);
      await here.far.end(signal);
      expect((await within("the end", client.ended)).reason).toBe("peer_closed");
      const how = signal === "SIGKILL" ? "outward_remote_lost" : "outward_remote_closed";
      await counts(here.daemon, { [how]: 1, lookups_open: 0 });
      const told = signal === "SIGKILL" ? "it was lost, and said nothing" : "counters";
      expect(here.daemon.stderr).toContain(told);
    },
  );

  test("the end of the service there is the client's, and of ipcd is not", async () => {
    await using here = await webStage();
    const client = await here.connect();
    await isAnswered(client);
    await here.ipcd.end("SIGKILL");
    await isAnswered(client);
    await here.pong.end("SIGKILL");
    expect((await within("the end", client.ended)).reason).toBe("peer_closed");
    await counts(here.daemon, { outward_remote_closed: 1 });
  });

  test("the end of the daemon here is the end of both", async () => {
    await using here = await webStage();
    const client = await here.connect();
    await isAnswered(client);
    expect(await here.daemon.end()).toMatchObject({ code: 0, stderr: "" });
    expect((await within("the end", client.ended)).reason).toBe("peer_closed");
    await counts(here.far, { open: 0 });
  });

  test("what a client sent last is there before its end is", async () => {
    await using here = await webStage();
    const heard: number[] = [];
    let closed: [number, string] | undefined;
    const remote = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch: (request, server) =>
        server.upgrade(request) ? undefined : new Response("", { status: 400 }),
      websocket: {
        message: (_, message) => void heard.push(message.length),
        close: (_, code, reason) => {
          closed = [code, reason];
        },
      },
    });
    const client = await here.hosts.connect("pong", `ws://127.0.0.1:${remote.port}/pong`);
    for (let count = 0; count < 200; count++) client.send(pattern(100_000));
    await client.close();
    await until("it is closed", () => closed !== undefined);
    expect(closed).toEqual([1000, ""]);
    expect(heard).toEqual(Array.from({ length: 200 }, () => 100_000));
    await remote.stop(true);
  });

  test("a client that does not read makes the service wait, in memory that is bounded", async () => {
    await using here = await webStage({ a: ["--allow", "source"] });
    const count = 3000;
    const pieceBytes = 64 * 1024;
    let sent = 0;
    const source = await serve(
      "source",
      {
        async message(connection) {
          for (; sent < count; sent++) {
            if (!connection.send(numbered(sent, pieceBytes))) await connection.drained();
          }
        },
      },
      { rundir: here.hosts.a.path },
    );
    const client = await here.hosts.connect("source", here.uri.replace("pong", "source"));
    const before = residentBytes(here.daemon.pid);
    client.send("begin");
    client.pause();
    await stands(() => sent);
    expect(sent).toBeLessThan(count / 2);
    if (canCount) expect(residentBytes(here.daemon.pid) - before).toBeLessThan(48 * MiB);
    expect((await countersOf(here.daemon))["outward_remote_pauses"]).toBeGreaterThan(0);
    client.resume();
    let next = 0;
    for await (const { bytes } of client) {
      const [number] = numbersOf([bytes]);
      if (number !== next) throw new Error(`${number} came in place of ${next}`);
      next += 1;
      if (next === count) break;
    }
    expect(next).toBe(count);
    await source.close({ now: true });
  });

  test("a remote that does not read makes the client wait, in memory that is bounded", async () => {
    await using here = await webStage();
    using remote = deafRemote();
    const client = await here.hosts.connect("pong", remote.uri);
    const before = residentBytes(here.daemon.pid);
    const piece = pattern(64 * 1024);
    let sent = 0;
    const send = () => {
      for (; client.queuedBytes < 4 * MiB; sent++) client.send(piece);
      return sent;
    };
    await stands(send);
    expect(sent * piece.length).toBeLessThan(50 * MiB);
    if (canCount) expect(residentBytes(here.daemon.pid) - before).toBeLessThan(48 * MiB);
    expect((await countersOf(here.daemon))["outward_client_pauses"]).toBeGreaterThan(0);
    remote.read();
    await until(
      () => `all ${sent} pieces are read: ${remote.bytesRead} bytes`,
      () => remote.bytesRead >= sent * piece.length,
    );
  });

  test("a remote that does not read is not waited for for ever when the client has gone", async () => {
    await using here = await webStage();
    using remote = deafRemote();
    const client = await here.hosts.connect("pong", remote.uri);
    client.send(pattern(8 * MiB));
    await client.close();
    await counts(here.daemon, { lookups_open: 0, outward_client_closed: 1 });
    remote.read();
    await until("the remote is left", () => remote.isGone);
  });

  test("there are no more than are allowed", async () => {
    await using here = await webStage({ b: ["--connections-max", "2"] });
    const first = await here.connect();
    await here.connect();
    const failure = await here.connect().catch((error: unknown) => error);
    expect((failure as Error).message).toContain("as many are connected as are allowed");
    await first.close();
    await counts(here.daemon, { lookups_open: 1 });
    await isAnswered(await here.connect());
  });
});

describe("over WebSockets and TLS", () => {
  /** What ends TLS before the websocketd of A. */
  async function front({ cert, key }: Pair, port: number) {
    const server = createTlsServer(
      { cert: readFileSync(cert), key: readFileSync(key) },
      (socket) => {
        const behind = connectTcp(port, "127.0.0.1");
        // By hand: `pipe` looks at the outputs of this process, and opens copies of them.
        for (const [from, to] of [
          [socket, behind],
          [behind, socket],
        ] as const) {
          from.on("data", (bytes) => void to.write(bytes));
          from.on("close", () => void to.destroy());
          from.on("error", () => undefined);
        }
      },
    );
    server.on("tlsClientError", () => undefined);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const address = server.address() as { port: number };
    return { port: address.port, [Symbol.dispose]: () => void server.close() };
  }

  test("a client reaches a service whose certificate is to be trusted", async () => {
    using scratch = new Scratch();
    const authority = new Authority(scratch.path);
    await using here = await webStage({ b: ["--ca", authority.cert] });
    using tls = await front(authority.issue("here"), Number(new URL(here.uri).port));
    const client = await here.hosts.connect("pong", `wss://localhost:${tls.port}/pong`);
    await isAnswered(client);
    const bytes = pattern(3 * MiB);
    expect(Buffer.compare((await client.request(bytes)).bytes, bytes)).toBe(0);
    await client.close();
    await counts(here.daemon, { lookups_open: 0, outward_client_closed: 1 });
  });

  test("a certificate that is not to be trusted is not", async () => {
    using scratch = new Scratch();
    const authority = new Authority(scratch.path);
    await using here = await webStage({ b: ["--ca", authority.cert] });
    const port = Number(new URL(here.uri).port);
    const stranger = new Authority(scratch.path, "stranger");
    const cases: [Pair, string][] = [
      [authority.issue("elsewhere", { names: "DNS:elsewhere.example" }), "ALTNAME_INVALID"],
      [selfSigned(scratch.path, "self"), "SELF_SIGNED"],
      [stranger.issue("strange"), "UNABLE_TO_"],
    ];
    for (const [pair, why] of cases) {
      using tls = await front(pair, port);
      const uri = `wss://localhost:${tls.port}/pong`;
      const failure = await here.hosts.connect("pong", uri).catch((error: unknown) => error);
      expect(failure).toMatchObject({ code: "ENETWORK" });
      expect((failure as Error).message).toContain(
        `the certificate of localhost:${tls.port} is not to be trusted: `,
      );
      expect((failure as Error).message).toContain(why);
    }
    await counts(here.far, { accepted: 0 });
  });
});

describe("by datagrams", () => {
  async function datagramStage({ a = [], b = [] }: { a?: string[]; b?: string[] } = {}) {
    const hosts = new TwoHosts();
    try {
      const pong = await hosts.startA("pong");
      await hosts.startB("ipcd");
      const far = await hosts.startA("udpd", "--listen", "127.0.0.1:0", "--allow", "pong", ...a);
      const daemon = await hosts.startB("udpd", ...b);
      const uri = `udp://127.0.0.1:${portOf(far)}`;
      return {
        hosts,
        pong,
        far,
        daemon,
        uri,
        connect: (options = {}) => hosts.connect("pong", uri, options),
        [Symbol.asyncDispose]: () => hosts[Symbol.asyncDispose](),
      };
    } catch (error) {
      await hosts[Symbol.asyncDispose]();
      throw error;
    }
  }

  test("a client reaches a service of another host, by its number or its name", async () => {
    await using here = await datagramStage();
    await isAnswered(await here.connect());
    const byName = here.uri.replace("127.0.0.1", "localhost");
    await isAnswered(await here.hosts.connect("pong", `${byName}/pong`));
    await counts(here.daemon, {
      lookups: 2,
      lookups_open: 2,
      outward_datagrams_out: 2,
      outward_datagrams_in: 2,
    });
    await counts(here.far, { remotes: 2 });
  });

  test("ten thousand messages come back, a few at a time", async () => {
    await using here = await datagramStage();
    const client = await here.connect();
    const received: Uint8Array[] = [];
    const count = 10_000;
    const window = 20;
    for (let number = 0; number < count; number += window) {
      const answers = upTo(window).map((at) =>
        client.request(numbered(number + at, 4 + ((number * 7919 + at) % 1000)), {
          timeout: 20_000,
        }),
      );
      for (const { bytes } of await Promise.all(answers)) received.push(bytes.slice());
    }
    expect(numbersOf(received)).toEqual(upTo(count));
  });

  test("what is too long for a datagram is dropped and told, and the next is not", async () => {
    await using here = await datagramStage();
    const client = await here.connect();
    client.send(pattern(65_508));
    await here.daemon.complains("a message of 65508 bytes is too long for a datagram, and dropped");
    const bytes = pattern(65_507);
    expect(Buffer.compare((await client.request(bytes)).bytes, bytes)).toBe(0);
    await counts(here.daemon, { outward_dropped_too_long: 1, lookups_open: 1 });
  });

  test("a datagram that is longer than a message may be is dropped and told", async () => {
    await using here = await datagramStage({ b: ["--message-max", "10"] });
    const { promise: asked, resolve } = Promise.withResolvers<void>();
    const remote = await Bun.udpSocket({
      hostname: "127.0.0.1",
      socket: {
        data(socket, _bytes, port, host) {
          socket.send(pattern(11), port, host);
          socket.send("short", port, host);
          resolve();
        },
      },
    });
    const client = await here.hosts.connect("pong", `udp://127.0.0.1:${remote.port}`);
    expect((await client.request("ask")).text()).toBe("short");
    await asked;
    await here.daemon.complains("a datagram of 11 bytes is longer than a message may be");
    await counts(here.daemon, { outward_dropped_too_long: 1 });
    remote.close();
  });

  test("where nobody listens, the connection ends and is counted", async () => {
    await using here = await datagramStage();
    const client = await here.connect();
    await isAnswered(client);
    await here.far.end("SIGKILL");
    client.send("is anybody there");
    expect((await within("the end", client.ended)).reason).toBe("peer_closed");
    await here.daemon.complains("nobody listens there; the connection ends");
    await counts(here.daemon, { outward_refused: 1, lookups_open: 0 });
  });

  test("nobody else is heard than whom the client was led to", async () => {
    await using here = await datagramStage();
    const heard: string[] = [];
    let from = 0;
    const remote = await Bun.udpSocket({
      hostname: "127.0.0.1",
      socket: {
        data: (_socket, _bytes, port) => {
          from = port;
        },
      },
    });
    const client = await here.hosts.connect("pong", `udp://127.0.0.1:${remote.port}`, {
      message: (_, message) => void heard.push(message.text()),
    });
    client.send("where are you");
    await until("it is known where it is", () => from !== 0);
    const stranger = await Bun.udpSocket({
      hostname: "127.0.0.1",
      // What it sends is refused, as nobody there listens to it.
      socket: { error: () => undefined },
    });
    stranger.send("from a stranger", from, "127.0.0.1");
    remote.send("from whom was asked", from, "127.0.0.1");
    await until("something is heard", () => heard.length > 0);
    expect(heard).toEqual(["from whom was asked"]);
    stranger.close();
    remote.close();
  });

  test("a connection on which nothing goes either way ends", async () => {
    await using here = await datagramStage({ b: ["--idle", "1"] });
    const client = await here.connect();
    await isAnswered(client);
    expect((await within("the end", client.ended)).reason).toBe("peer_closed");
    await counts(here.daemon, { outward_idle: 1, lookups_open: 0 });
  });

  test("a host that is not known is told, and more than are allowed are refused", async () => {
    await using here = await datagramStage({ b: ["--remotes-max", "1"] });
    const unknown = await here.hosts
      .connect("pong", "udp://nosuch.invalid:9")
      .catch((error: unknown) => error);
    expect((unknown as Error).message).toContain(
      'no address is known for the host "nosuch.invalid"',
    );
    const client = await here.connect();
    const refused = await here.connect().catch((error: unknown) => error);
    expect((refused as Error).message).toContain("as many connections as are allowed");
    await client.close();
    await counts(here.daemon, { lookups_open: 0, lookups_failed: 2 });
    await isAnswered(await here.connect());
  });

  test("a client that does not read loses what is more than may wait for it", async () => {
    await using here = await datagramStage({ b: ["--remote-queue-max", "100000"] });
    let port = 0;
    const remote = await Bun.udpSocket({
      hostname: "127.0.0.1",
      socket: {
        data: (_socket, _bytes, from) => {
          port = from;
        },
      },
    });
    const client = await here.hosts.connect("pong", `udp://127.0.0.1:${remote.port}`);
    client.send("begin");
    await until("it has begun", () => port !== 0);
    client.pause();
    await until("something is dropped", async () => {
      for (let count = 0; count < 50; count++) remote.send(pattern(10_000), port, "127.0.0.1");
      return ((await countersOf(here.daemon))["outward_dropped_queue"] ?? 0) > 0;
    });
    await here.daemon.complains("sends faster than the client takes it");
    client.resume();
    remote.close();
  });

  test("the end of the daemon here is the client's", async () => {
    await using here = await datagramStage();
    const client = await here.connect();
    await isAnswered(client);
    expect(await here.daemon.end()).toMatchObject({ code: 0, stderr: "" });
    expect((await within("the end", client.ended)).reason).toBe("peer_closed");
  });
});

test("a daemon whose names are taken begins nothing", async () => {
  await using hosts = new TwoHosts();
  const taker = await hosts.startB("pong", "--name", "wss");
  const ended = await run(earshot("service", "websocketd"), { rundir: hosts.b.path });
  expect(ended).toMatchObject({ code: 1, stdout: "" });
  expect(ended.stderr).toContain('"wss" is already served in');
  expect(hosts.b.entries().filter((name) => name.startsWith("ws."))).toEqual([]);
  expect(hosts.b.entries()).not.toContain("ws");
  await taker.end();
  await expect(connect("ws", { rundir: hosts.b.path })).rejects.toMatchObject({ code: "ENOENT" });
});
