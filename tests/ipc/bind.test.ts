/** `bind`: two connections of Bun's event loop, and nobody between them. */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Connection, Service, Switch } from "../../src/index.ts";
import { bind, connect, serve } from "../../src/index.ts";
import { frame } from "../kit/frames.ts";
import { leaveNoTrace } from "../kit/no-trace.ts";
import { pattern } from "../kit/random.ts";
import { Scratch } from "../kit/scratch.ts";
import { hashOf, StreamPeer } from "../kit/stream-peer.ts";
import { until, within } from "../kit/until.ts";

// What the context keeps for the next switch, it has as much of before as after.
beforeAll(busyFourWays);
afterAll(busyFourWays);
leaveNoTrace();

const mebibyte = 1024 * 1024;

/** Takes TCP connections, and binds each to another; both far ends are peers of this test. */
class Between implements AsyncDisposable {
  readonly near: StreamPeer;
  readonly far: StreamPeer;
  readonly bound: Switch;
  readonly #services: readonly Service[];

  static async make(options: { reads?: boolean } = {}): Promise<Between> {
    const accepted: Connection[] = [];
    const accept = { open: (connection: Connection) => void accepted.push(connection) };
    const how = { address: { host: "127.0.0.1", port: 0 }, raw: true } as const;
    const services = [await serve("near", accept, how), await serve("far", accept, how)];
    const near = await StreamPeer.tcp(services[0]!.address);
    await until("the near one is there", () => accepted.length === 1);
    const far = await StreamPeer.tcp(services[1]!.address, options);
    await until("the far one is there", () => accepted.length === 2);
    return new Between(near, far, bind(accepted[0]!, accepted[1]!), services);
  }

  private constructor(near: StreamPeer, far: StreamPeer, bound: Switch, services: Service[]) {
    this.near = near;
    this.far = far;
    this.bound = bound;
    this.#services = services;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.near.close();
    this.far.close();
    this.bound.close();
    for (const service of this.#services) await service.close({ now: true });
  }
}

/** Fills four directions at once, each of which then has a pipe of its own where the kernel passes bytes on. */
async function busyFourWays(): Promise<void> {
  const bytes = pattern(16 * mebibyte);
  await using one = await Between.make({ reads: false });
  await using other = await Between.make({ reads: false });
  const all = [one, other];
  for (const { near, far } of all) {
    near.socket.pause();
    near.write(bytes);
    far.write(bytes);
  }
  await Bun.sleep(200);
  for (const { near, far } of all) {
    near.socket.resume();
    far.read();
  }
  for (const { near, far } of all) {
    await near.received(bytes.length);
    await far.received(bytes.length);
    near.endWriting();
    far.endWriting();
  }
  for (const { bound } of all) await within("the end", bound.ended);
}

describe("two that are bound", () => {
  test("have what the other says, and it is counted", async () => {
    await using between = await Between.make();
    const { near, far, bound } = between;
    near.write("hello");
    far.write("and goodbye");
    await far.hears("hello");
    await near.hears("and goodbye");
    await until("it is counted", () => bound.sent[0] === 11 && bound.sent[1] === 5);
    expect(bound.received).toEqual([5, 11]);
  });

  test("have much of it, both ways at once", async () => {
    await using between = await Between.make();
    const { near, far, bound } = between;
    const [one, other] = [pattern(32 * mebibyte, 1), pattern(24 * mebibyte, 2)];
    near.write(one);
    far.write(other);
    await far.received(one.length);
    await near.received(other.length);
    expect(far.hash).toBe(hashOf(one));
    expect(near.hash).toBe(hashOf(other));
    await until("it is counted", () => bound.sent[0] === other.length);
    expect(bound.received).toEqual([one.length, other.length]);
    expect(bound.sent).toEqual([other.length, one.length]);
  });

  test("half-close: the end of one comes behind its last byte, and the other goes on", async () => {
    await using between = await Between.make();
    const { near, far, bound } = between;
    near.write("last");
    near.endWriting();
    expect(await far.whole()).toBe("last");
    far.write("still here");
    await near.hears("still here");
    expect(near.ended).toBe(false);
    far.endWriting();
    expect(await near.whole()).toBe("still here");
    const { reason, errno, error } = await within("the end", bound.ended);
    expect({ reason, errno, error }).toEqual({ reason: "peer_closed", errno: 0, error: undefined });
    expect(bound.received).toEqual([4, 10]);
  });

  test.each([1, 2, 3, 4, 5, 6, 7, 8])(
    "%d MiB of one that is gone are heard out by one that is slow",
    async (size) => {
      await using between = await Between.make({ reads: false });
      const { near, far, bound } = between;
      const bytes = pattern(size * mebibyte);
      // What comes from the near one is the last that is to come at all.
      far.endWriting();
      near.write(bytes);
      near.endWriting();
      await Bun.sleep(100);
      far.read();
      await far.whole();
      expect(far.length).toBe(bytes.length);
      expect(far.hash).toBe(hashOf(bytes));
      await within("the end", bound.ended);
      expect(bound.sent).toEqual([0, bytes.length]);
    },
  );

  test.each([0, 1] as const)("are over when end %d is reset", async (end) => {
    await using between = await Between.make();
    const { near, far, bound } = between;
    const peers = [near, far] as const;
    peers[end].reset();
    const over = await within("the end", bound.ended);
    expect(["peer_closed", "peer_reset"]).toContain(over.reason);
    await peers[1 - end]!.whole();
  });

  test("are over when the switch is closed, at once and once", async () => {
    await using between = await Between.make();
    const { near, far, bound } = between;
    bound.close();
    bound.close();
    expect(await bound.ended).toMatchObject({ reason: "closed" });
    await near.whole();
    await far.whole();
    bound[Symbol.dispose]();
  });

  test("wait for each other: who writes much to one that does not read", async () => {
    await using between = await Between.make({ reads: false });
    const { near, far, bound } = between;
    const bytes = pattern(96 * mebibyte);
    near.write(bytes);
    let moved = -1;
    await until("nothing moves any more", async () => {
      const was = moved;
      moved = bound.received[0];
      await Bun.sleep(100);
      return moved > 0 && was === moved;
    });
    expect(moved).toBeLessThan(32 * mebibyte);
    expect(near.socket.writableLength).toBeGreaterThan(0);
    // The other way is open.
    far.write("meanwhile");
    await near.hears("meanwhile");
    far.read();
    await far.received(bytes.length);
    expect(far.hash).toBe(hashOf(bytes));
  });
});

describe("a connection that is bound", () => {
  test("is over for its owner, without a word", async () => {
    using scratch = new Scratch();
    const { path: rundir } = scratch;
    const closes: string[] = [];
    await using pong = await serve("pong", { message: (c, m) => void c.send(m.bytes) }, { rundir });
    const { promise, resolve } = Promise.withResolvers<Connection>();
    await using door = await serve(
      "door",
      { open: resolve, close: () => void closes.push("door") },
      { address: { host: "127.0.0.1", port: 0 }, raw: true },
    );
    using peer = await StreamPeer.tcp(door.address);
    const remote = await promise;
    const local = await connect("pong", { rundir, close: () => void closes.push("local") });
    using bound = bind(remote, local);
    expect([remote.open, local.open, door.connections.size]).toEqual([false, false, 0]);
    expect(await remote.ended).toMatchObject({ reason: "closed" });
    expect(await local.ended).toMatchObject({ reason: "closed" });
    expect(() => local.send("x")).toThrow("ECLOSED");
    expect(() => remote.remote).toThrow("ECLOSED");
    peer.write(frame("hello"));
    await peer.hears(Buffer.from(frame("hello")).toString("latin1"));
    // That both are closed is nothing to the switch.
    await remote.close();
    await local.close({ now: true });
    peer.write(frame("again"));
    await peer.received(18);
    expect(closes).toEqual([]);
    peer.close();
    expect(await within("the end", bound.ended)).toMatchObject({ reason: "peer_closed" });
    expect(pong.connections.size).toBeLessThanOrEqual(1);
    expect(closes).toEqual([]);
  });

  test("loses nothing of what had come to it while it was paused, or was to be sent", async () => {
    using scratch = new Scratch();
    const { path: rundir } = scratch;
    const said = pattern(500_000);
    await using _ = await serve("eager", { open: (c) => void c.send(said) }, { rundir, raw: true });
    const { promise, resolve } = Promise.withResolvers<Connection>();
    await using door = await serve(
      "door",
      { open: resolve },
      { address: { host: "127.0.0.1", port: 0 }, raw: true },
    );
    using peer = await StreamPeer.tcp(door.address);
    const remote = await promise;
    const local = await connect("eager", { rundir, raw: true, open: (c) => c.pause() });
    await Bun.sleep(50);
    remote.send("ok");
    using bound = bind(remote, local);
    await peer.received(2 + said.length);
    expect(peer.hash).toBe(hashOf(Buffer.from("ok"), said));
    expect(bound.received[1]).toBe(said.length);
  });

  test("cannot be bound when it has ended; the other goes on", async () => {
    using scratch = new Scratch();
    const { path: rundir } = scratch;
    await using _ = await serve("pong", { message: (c, m) => void c.send(m.bytes) }, { rundir });
    const gone = await connect("pong", { rundir });
    await using here = await connect("pong", { rundir });
    await gone.close();
    expect(() => bind(gone, here)).toThrow("ECLOSED");
    expect(() => bind(here, gone)).toThrow("ECLOSED");
    expect(() => bind(here, here)).toThrow("EINVAL");
    expect((await here.request("hello")).text()).toBe("hello");
  });
});

test("whoever waits for an answer, or for room, when it is bound is told that there will be none", async () => {
  using scratch = new Scratch();
  const rundir = scratch.path;
  await using _service = await serve("silent", {}, { rundir });
  const one = await connect("silent", { rundir });
  const other = await connect("silent", { rundir });
  const answer = one.request("?").then(
    () => "answered",
    (error: { code: string }) => error.code,
  );
  using _ = bind(one, other);
  expect(await answer).toBe("ECONNRESET");
  expect((await one.ended).lost.requests).toBe(1);
  expect(one.statistics().connectionsOpen).toBe(0);
});
