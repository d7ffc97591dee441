/** `pause` and `resume`: whoever hands messages on to somebody slower makes the peer wait. */

import { expect, test } from "bun:test";
import type { Connection } from "../../src/index.ts";

import { leaveNoTrace } from "../kit/no-trace.ts";
import { Scratch } from "../kit/scratch.ts";
import { overEach } from "../kit/transports.ts";
import { until } from "../kit/until.ts";

leaveNoTrace();

overEach(({ connect, serve }) => {
  const chunk = new Uint8Array(65_532);
  const chunks = 200;

  /** A service that says all it has to whoever comes, as fast as it may. */
  async function source(rundir: string, accepted: Connection[] = []) {
    return await serve(
      "source",
      {
        open: (connection) => {
          accepted.push(connection);
          for (let at = 0; at < chunks; at++) {
            chunk[0] = at;
            connection.send(chunk);
          }
        },
        message: (connection, message) => void connection.send(message.bytes),
      },
      { rundir },
    );
  }

  test("nothing comes while it is paused, and all of it, in order, when it goes on", async () => {
    using scratch = new Scratch();
    const accepted: Connection[] = [];
    await using _ = await source(scratch.path, accepted);
    const seen: number[] = [];
    await using client = await connect("source", {
      rundir: scratch.path,
      message: (from, message) => {
        seen.push(message.bytes[0]!);
        if (seen.length === 1) from.pause();
      },
    });
    await until("some of it came", () => seen.length > 0);
    const [sender] = accepted;
    await until("the service has to wait", () => sender!.queuedBytes > 0);
    // What was handed out has made room, in the kernel or a ring.
    let queued = -1;
    await until("nothing more goes", () => {
      const before = queued;
      queued = sender!.queuedBytes;
      return queued === before;
    });
    const held = seen.length;
    expect(client.paused).toBe(true);
    // What is no connection's goes on, and so do other connections.
    await using other = await connect("source", { rundir: scratch.path, message: () => undefined });
    await until("another has it all", () => other.statistics().messagesReceived === chunks);
    expect(seen).toHaveLength(held);
    expect(held).toBeLessThanOrEqual(1 + Math.ceil((256 * 1024) / chunk.length));
    expect(sender!.queuedBytes).toBe(queued);
    client.resume();
    expect(client.paused).toBe(false);
    await until("the rest came", () => seen.length === chunks);
    expect(seen).toEqual(Array.from({ length: chunks }, (_, at) => at & 255));
  });

  test("twice is once, and resume without a pause is nothing", async () => {
    using scratch = new Scratch();
    await using _ = await source(scratch.path);
    await using client = await connect("source", { rundir: scratch.path });
    client.resume();
    client.pause();
    client.pause();
    client.resume();
    let count = 0;
    for await (const message of client) {
      expect(message.length).toBe(chunk.length);
      count += 1;
      if (count === chunks) break;
    }
  });

  test("what nobody reads does not end a pause, nor a pause what nobody reads", async () => {
    using scratch = new Scratch();
    const accepted: Connection[] = [];
    await using _ = await source(scratch.path, accepted);
    await using client = await connect("source", { rundir: scratch.path, queueBytesHigh: 65_536 });
    const held = async () => {
      const { messagesReceived } = client.statistics();
      await using other = await connect("source", { rundir: scratch.path });
      await other.request("a turn for everybody");
      return client.statistics().messagesReceived === messagesReceived;
    };
    // Nobody iterates, so it makes the peer wait of itself; and then by request as well.
    await until("it reads no more", held);
    client.pause();
    const iterator = client[Symbol.asyncIterator]();
    let count = 0;
    const step = async () => {
      await iterator.next();
      count += 1;
    };
    const there = client.statistics().messagesReceived;
    expect(there).toBeLessThan(chunks);
    while (count < there) await step();
    // All was taken that had come, and still it is paused.
    expect(await held()).toBe(true);
    client.resume();
    while (count < chunks) await step();
  });

  test("it lasts over a reconnection", async () => {
    using scratch = new Scratch();
    const { path: rundir } = scratch;
    const first = await source(rundir);
    const seen: number[] = [];
    let again = 0;
    await using client = await connect("source", {
      rundir,
      reconnect: { first: 1, most: 1 },
      message: (_, message) => void seen.push(message.bytes[0]!),
      reconnected: () => {
        again += 1;
      },
    });
    await until("all came", () => seen.length === chunks);
    client.pause();
    await first.close();
    await using _ = await source(rundir);
    await until("it is found again", () => again === 1);
    await using other = await connect("source", { rundir, message: () => undefined });
    await until("another has it all", () => other.statistics().messagesReceived === chunks);
    expect(seen).toHaveLength(chunks);
    client.resume();
    await until("all came again", () => seen.length === 2 * chunks);
  });

  test("a peer that goes makes an end of it, and nothing is lost that it had sent", async () => {
    using scratch = new Scratch();
    const service = await serve(
      "brief",
      {
        message(connection) {
          for (let at = 0; at < 3; at++) connection.send(`${at}`);
          void connection.close();
        },
      },
      { rundir: scratch.path },
    );
    const seen: string[] = [];
    const client = await connect("brief", {
      rundir: scratch.path,
      message: (_, message) => void seen.push(message.text()),
    });
    client.pause();
    client.send("go on");
    expect((await client.ended).reason).toBe("peer_closed");
    expect(seen).toEqual(["0", "1", "2"]);
    // On what has ended it does nothing.
    client.resume();
    client.pause();
    await service.close();
  });
});
