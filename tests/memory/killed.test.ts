/** Processes that are killed, stopped, started again, or late: nobody hangs, and no message is half seen. */

import { describe, expect, test } from "bun:test";
import type { End } from "../../src/index.ts";
import {
  ClientSocket,
  type ServerConnection,
  type ServerOptions,
  ServerSocket,
} from "../../src/memory/index.ts";
import { Child } from "../kit/child.ts";
import { mapsOf } from "../kit/maps.ts";
import { leaveNoTrace } from "../kit/no-trace.ts";
import { Scratch } from "../kit/scratch.ts";
import { until, within } from "../kit/until.ts";
import { ask, MemoryStage } from "./stage.ts";

leaveNoTrace();

const ring = 65_536;
const program = (name: string) => new URL(`./programs/${name}.ts`, import.meta.url);

/** A service in this process. */
class Survivor implements AsyncDisposable {
  readonly scratch = new Scratch();
  readonly server = new ServerSocket();
  readonly messages: number[][] = [];
  readonly ends: End[] = [];
  readonly errors: unknown[] = [];

  static async listen(options: Pick<ServerOptions, "spin"> = {}): Promise<Survivor> {
    const survivor = new Survivor();
    const { server } = survivor;
    server.onData = (_, bytes) => {
      survivor.messages.push([bytes.length, ...new Set(bytes)]);
    };
    server.onClose = (_, end) => {
      survivor.ends.push(end);
    };
    server.onError = (_, error) => survivor.errors.push(error);
    await server.listen("pong", { ...options, rundir: survivor.scratch.path, ring });
    return survivor;
  }

  /** The one that connects next, to be read by `read()`. */
  nextToRead(): Promise<ServerConnection> {
    const { promise, resolve } = Promise.withResolvers<ServerConnection>();
    this.server.onData = undefined;
    this.server.onConnection = resolve;
    return promise;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server.close();
    this.scratch[Symbol.dispose]();
  }
}

describe.each(["message", "passed"] as const)("a writer that is killed in a %s", (kind) => {
  test.each([0, 1, 2, 3, 4, 5])("behind step %d leaves a whole message or none", async (count) => {
    const before = mapsOf("memfd:earshot");
    await using survivor = await Survivor.listen();
    const settings = { rundir: survivor.scratch.path };
    await using writer = await Child.start(program("writer"), settings);
    await writer.ask("whole");
    await until("it came", () => survivor.messages.length === 1);
    await writer.ask("steps", { kind, count });
    await writer.kill();
    await until("its end is told", () => survivor.ends.length === 1);
    const bytes = kind === "message" ? 1000 : 100_000;
    expect(survivor.messages.slice(1)).toEqual(count >= 4 ? [[bytes, 7]] : []);
    expect(["peer_closed", "peer_reset"]).toContain(survivor.ends[0]!.reason);
    expect(survivor.errors).toEqual([]);
    expect(survivor.server.sockets.size).toBe(0);
    // What was passed is mapped until it is collected, and so may be what earlier tests passed.
    await until("its memory is given back", () => {
      Bun.gc(true);
      return mapsOf("memfd:earshot") <= before;
    });
  });
});

describe("a process that", () => {
  test("is killed while it is read from with read() makes an end of that", async () => {
    await using survivor = await Survivor.listen();
    const socket = survivor.nextToRead();
    await using writer = await Child.start(program("writer"), { rundir: survivor.scratch.path });
    const reader = await within("a connection", socket);
    await writer.ask("whole");
    process.kill(writer.pid, "SIGKILL");
    expect(new TextDecoder().decode(reader.read()!)).toBe("whole");
    expect(reader.read()).toBeNull();
    await writer.exited;
  });

  test("is killed makes an end of read(), however long that looks before it sleeps", async () => {
    const spinMs = 20_000;
    await using survivor = await Survivor.listen({ spin: spinMs * 1e6 });
    const socket = survivor.nextToRead();
    await using writer = await Child.start(program("writer"), { rundir: survivor.scratch.path });
    const reader = await within("a connection", socket);
    process.kill(writer.pid, "SIGKILL");
    const since = performance.now();
    expect(reader.read({ timeout: spinMs })).toBeNull();
    expect(performance.now() - since).toBeLessThan(spinMs / 4);
    await writer.exited;
  });

  test("has left and goes on writing is heard no more, and keeps nobody from anything", async () => {
    await using stage = await MemoryStage.open({ role: "count", options: { ring } });
    const settings = { rundir: stage.rundir };
    await using writer = await Child.start(program("writer"), settings);
    await writer.ask("whole");
    await writer.ask("leaveAndWrite");
    const { messages } = await stage.reaches("its end is told", (now) => now.ended.length === 1);
    const client = await stage.client({ ring });
    client.write("one more, and of others");
    await stage.reaches("it is heard, and nothing else", (now) => now.messages === messages + 1);
    await writer.kill();
  });

  test("is stopped makes its writer wait, and goes on where it was", async () => {
    await using stage = await MemoryStage.open({ role: "count", options: { ring } });
    const client = await stage.client({ ring });
    client.write("before");
    await stage.reaches("it came", (now) => now.messages === 1);
    process.kill(stage.service.pid, "SIGSTOP");
    let taken = 0;
    while (client.write(new Uint8Array(1000))) taken += 1;
    let drains = 0;
    client.onDrain = () => {
      drains += 1;
    };
    await Bun.sleep(20);
    expect({ taken, drains, open: client.open }).toEqual({
      taken: Math.floor(ring / 1008),
      drains: 0,
      open: true,
    });
    process.kill(stage.service.pid, "SIGCONT");
    await until("there is room", () => drains === 1);
    await stage.reaches("all came", (now) => now.messages === taken + 1);
  });

  test("is stopped and then killed is told of", async () => {
    await using stage = await MemoryStage.open({ role: "count", options: { ring } });
    const client = await stage.client({ ring });
    process.kill(stage.service.pid, "SIGSTOP");
    while (client.write(new Uint8Array(1000)));
    process.kill(stage.service.pid, "SIGKILL");
    await within("its end", client.ended);
    expect(() => client.write("x")).toThrow("ECLOSED");
  });

  test("is killed as a service leaves a name that can be served again", async () => {
    await using first = await MemoryStage.open({ role: "echo" });
    const client = await first.client();
    expect((await ask(client, "one")).length).toBe(3);
    await first.service.kill();
    await within("its end", client.ended);
    const server = new ServerSocket();
    server.onData = (socket, bytes) => {
      socket.write(bytes);
    };
    await server.listen("pong", { rundir: first.rundir });
    const again = new ClientSocket();
    await again.connect("pong", { rundir: first.rundir });
    expect((await ask(again, "two")).length).toBe(3);
    await again.close();
    await server.close();
  });
});

describe("a writer", () => {
  test("that starts again, and several at once, are each heard from the beginning", async () => {
    await using stage = await MemoryStage.open({ role: "count", options: { ring } });
    const settings = { rundir: stage.rundir, ring };
    let expected = 0;
    for (let round = 0; round < 3; round++) {
      const writers = await Promise.all(
        Array.from({ length: 4 }, () => Child.start(program("talker"), settings)),
      );
      const taken = await Promise.all(
        writers.map((writer) => writer.ask<number>("write", { bytes: 100, count: 50 })),
      );
      expected += taken.reduce((sum, count) => sum + count, 0);
      // Half of them leave as they should.
      await Promise.all(
        writers.map((writer, k) => (k % 2 === 0 ? writer.kill() : writer.finish())),
      );
    }
    expect(expected).toBe(600);
    const { messages } = await stage.reaches("all came", (now) => now.messages === expected);
    expect(messages).toBe(expected);
    await stage.reaches("all have left", (now) => now.open === 0);
  });

  test("that is earlier than its service is told so", async () => {
    using scratch = new Scratch();
    const client = new ClientSocket();
    const failed = client.connect("pong", { rundir: scratch.path });
    const error = await failed.catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: "ENOENT" });
    // And may try again.
    await using _ = await Survivor.listen();
    await client.connect("pong", { rundir: _.scratch.path });
    client.write("now");
    await until("it came", () => _.messages.length === 1);
    await client.close();
  });
});
