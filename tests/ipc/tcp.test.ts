/** Services and connections over TCP, and bytes without frames, on Bun's event loop. */

import { describe, expect, test } from "bun:test";
import type { Connection } from "../../src/index.ts";
import { connect, serve } from "../../src/index.ts";
import { leaveNoTrace } from "../kit/no-trace.ts";
import { pattern } from "../kit/random.ts";
import { Scratch } from "../kit/scratch.ts";
import { hashOf, StreamPeer } from "../kit/stream-peer.ts";
import { until, within } from "../kit/until.ts";

leaveNoTrace();

const anywhere = { host: "127.0.0.1", port: 0 };
const echo = {
  message: (connection: Connection, { bytes }: { bytes: Uint8Array }) =>
    void connection.send(bytes),
};

describe("an address", () => {
  test.each(["127.0.0.1", "::1"])("of %s is served, with a port that is free", async (host) => {
    await using service = await serve("echo", echo, { address: { host, port: 0 } });
    const { address } = service;
    expect(address.host).toBe(host);
    expect(address.port).toBeGreaterThan(0);
    await using client = await connect("echo", { address });
    expect((await client.request("hello")).text()).toBe("hello");
    expect(client.remote).toEqual(address);
    const [accepted] = service.connections;
    expect(accepted!.remote.host).toBe(host);
    expect(accepted!.remote.port).not.toBe(address.port);
    // Nobody can say whose process it is.
    expect(client.peer.pid).toBe(0);
  });

  test("carries no descriptors, and says that it is that", async () => {
    await using service = await serve("echo", echo, { address: anywhere });
    await using client = await connect("echo", { address: service.address });
    expect(() => client.send("x", { descriptors: [0] })).toThrow(
      expect.objectContaining({
        code: "ENOTSUP",
        message: expect.stringContaining("a TCP connection carries no descriptors"),
      }),
    );
    expect((await client.request("goes on")).text()).toBe("goes on");
  });

  test.each([
    ["fe80::1%eth0", 'the zone of host is "eth0"; it is the number of an interface'],
    ["localhost", 'host is "localhost"; it is an IP address, as a number'],
    ["x".repeat(1000), '…"; it is an IP address'],
    [undefined, "host is undefined; it is a string"],
  ])("of %s is told what is wrong with it", async (host, text) => {
    const address = { host: host as string, port: 1 };
    const failure = (attempt: Promise<unknown>) =>
      attempt.then(
        () => "none",
        (error: Error) => error.message,
      );
    for (const attempt of [serve("echo", echo, { address }), connect("echo", { address })]) {
      const said = await failure(attempt);
      expect(said).toContain(text);
      expect(said.length).toBeLessThan(200);
    }
  });

  test("that is taken is refused", async () => {
    await using service = await serve("echo", echo, { address: anywhere });
    await expect(serve("other", echo, { address: service.address })).rejects.toMatchObject({
      code: "EADDRINUSE",
    });
  });

  test.each([
    [{ host: "localhost", port: 1 }],
    [{ host: "", port: 1 }],
    [{ host: "1.2.3", port: 1 }],
    [{ host: "127.0.0.1", port: 65_536 }],
    [{ host: "127.0.0.1", port: -1 }],
    [{ host: "127.0.0.1", port: 1.5 }],
  ])("of %j is none", async (address) => {
    await expect(serve("echo", echo, { address })).rejects.toMatchObject({ code: "EINVAL" });
    await expect(connect("echo", { address })).rejects.toMatchObject({ code: "EINVAL" });
  });

  test("where nobody listens says so", async () => {
    const service = await serve("echo", echo, { address: anywhere });
    const { address } = service;
    await service.close();
    await expect(connect("echo", { address })).rejects.toMatchObject({
      code: "ECONNREFUSED",
      message: expect.stringContaining(
        `${address.host} port ${address.port}: nobody listens there`,
      ),
    });
  });

  test("of a service under its name, and of a connection to it, there is none", async () => {
    using scratch = new Scratch();
    await using service = await serve("echo", echo, { rundir: scratch.path });
    expect(() => service.address).toThrow("ENOTSUP");
    await using client = await connect("echo", { rundir: scratch.path });
    expect(() => client.remote).toThrow("ENOTSUP");
  });

  test("of a connection is not known any more when it has ended", async () => {
    await using service = await serve("echo", echo, { address: anywhere });
    const client = await connect("echo", { address: service.address });
    await client.close();
    expect(() => client.remote).toThrow("ECLOSED");
  });

  test("that answers nothing is given up, in time or at a signal", async () => {
    // A queue of one that is full answers no more on Linux; where it does, there is nothing to wait for.
    const { address, held } = await fullListener();
    try {
      const late = connect("silent", { address, timeout: 50 });
      await expect(late).rejects.toMatchObject({ code: "ETIMEDOUT" });
      const over = new AbortController();
      const aborted = connect("silent", { address, signal: over.signal });
      over.abort(new Error("not any more"));
      await expect(aborted).rejects.toThrow("not any more");
      await expect(
        connect("silent", { address, signal: AbortSignal.abort(new Error("at once")) }),
      ).rejects.toThrow("at once");
    } finally {
      await held();
    }
  });
});

/** Listens for one, and has it, and as many more as wait before that is noticed. */
async function fullListener() {
  const program = `
    import socket, sys
    s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen(0)
    print(s.getsockname()[1], flush=True)
    sys.stdin.read()`;
  const child = Bun.spawn({
    cmd: ["python3", "-c", program.replace(/^ {4}/gm, "")],
    stdin: "pipe",
    stdout: "pipe",
    stderr: "inherit",
  });
  const reader = child.stdout.getReader();
  const { value } = await within("a port", reader.read());
  const address = { host: "127.0.0.1", port: Number(new TextDecoder().decode(value)) };
  const waiting = await Promise.all(
    [0, 1, 2].map(() => connect("filler", { address, timeout: 200 }).catch(() => undefined)),
  );
  const held = async () => {
    for (const connection of waiting) await connection?.close({ now: true });
    await child.stdin.end();
    await child.exited;
    await reader.cancel();
  };
  return { address, held };
}

describe("bytes without frames", () => {
  test("come as they are, over TCP", async () => {
    await using service = await serve("raw", echo, { address: anywhere, raw: true });
    using peer = await StreamPeer.tcp(service.address);
    peer.write("no frame");
    await peer.hears("no frame");
    await using client = await connect("raw", { address: service.address, raw: true });
    expect((await client.request("hello")).text()).toBe("hello");
    // Nothing is not even a message.
    client.send("");
    expect((await client.request("again")).text()).toBe("again");
  });

  test("come as they are, over a local socket, at most so many at once", async () => {
    using scratch = new Scratch();
    const { path: rundir } = scratch;
    const bytes = pattern(1_000_000);
    const lengths: number[] = [];
    const parts: Uint8Array[] = [];
    await using _ = await serve(
      "raw",
      {
        message(__, message) {
          lengths.push(message.length);
          parts.push(message.bytes.slice());
        },
      },
      { rundir, raw: true, messageBytesMax: 1000 },
    );
    await using client = await connect("raw", { rundir, raw: true });
    client.send(bytes);
    await until("all has come", () => lengths.reduce((sum, each) => sum + each, 0) >= 1_000_000);
    expect(Math.max(...lengths)).toBeLessThanOrEqual(1000);
    expect(Math.min(...lengths)).toBeGreaterThan(0);
    expect(hashOf(...parts)).toBe(hashOf(bytes));
  });

  test("of a peer that goes end it in order, wherever they end", async () => {
    const { promise, resolve } = Promise.withResolvers<string>();
    const heard: string[] = [];
    await using service = await serve(
      "raw",
      {
        message: (_, message) => void heard.push(message.text()),
        close: (_, { reason }) => resolve(reason),
      },
      { address: anywhere, raw: true },
    );
    using peer = await StreamPeer.tcp(service.address);
    peer.write("\0\0\0\x09half");
    peer.endWriting();
    expect(await within("the end", promise)).toBe("peer_closed");
    expect(heard.join("")).toBe("\0\0\0\x09half");
  });

  test("of frames is what the others see", async () => {
    await using service = await serve("framed", echo, { address: anywhere });
    using peer = await StreamPeer.tcp(service.address);
    for (const byte of Buffer.from("\0\0\0\x02hi")) {
      peer.write(Uint8Array.of(byte));
      await Bun.sleep(1);
    }
    await peer.hears("\0\0\0\x02hi");
  });

  test("a service that pauses makes the peer wait, in bounded memory", async () => {
    const accepted: Connection[] = [];
    let received = 0;
    await using service = await serve(
      "slow",
      {
        open(connection) {
          accepted.push(connection);
          connection.pause();
        },
        message: (_, { length }) => {
          received += length;
        },
      },
      { address: anywhere, raw: true },
    );
    using peer = await StreamPeer.tcp(service.address);
    const bytes = new Uint8Array(32 * 1024 * 1024);
    peer.write(bytes);
    await until("it is there", () => accepted.length === 1);
    await Bun.sleep(200);
    expect(received).toBe(0);
    expect(peer.socket.writableLength).toBeGreaterThan(0);
    accepted[0]!.resume();
    await until("all has come", () => received === bytes.length);
  });
});
