/** What `listen` of a ServerSocket takes, and what becomes of it when something else is done meanwhile. */

import { describe, expect, test } from "bun:test";
import { connect, inspect } from "../../src/index.ts";
import { ClientSocket, ServerSocket } from "../../src/memory/index.ts";
import { leaveNoTrace } from "../kit/no-trace.ts";
import { rejection } from "../kit/rejection.ts";
import { Scratch } from "../kit/scratch.ts";
import { within } from "../kit/until.ts";
import { ask } from "./stage.ts";

leaveNoTrace();

/** Whether whoever connects to `name` is answered. */
async function answers(server: ServerSocket, name: string, rundir: string): Promise<boolean> {
  server.onData = (socket, bytes) => void socket.write(bytes);
  const client = new ClientSocket();
  await client.connect(name, { rundir });
  const answer = await ask(client, "hello");
  await client.close();
  return answer.length === 5;
}

describe("listen under way", () => {
  const enders: [string, (server: ServerSocket) => void | Promise<void>][] = [
    ["close", (server) => server.close()],
    ["stop", (server) => server.stop()],
  ];
  const times: [string, number][] = [
    ["at once", 0],
    ["a step later", 1],
    ["two steps later", 2],
    ["three steps later", 3],
  ];

  describe.each(enders)("and ended by %s", (_, end) => {
    test.each(times)("%s leaves nothing behind", async (_, steps) => {
      using scratch = new Scratch();
      const server = new ServerSocket();
      const rundir = scratch.path;
      const outcome = server.listen("late", { rundir }).then(
        () => "listens",
        (error: unknown) => error,
      );
      for (let step = 0; step < steps; step++) await Promise.resolve();
      await end(server);
      expect(scratch.entries()).toEqual([]);
      const ended = await within("its end", outcome);
      // By then it may have come to listen, and was closed as any other.
      if (ended !== "listens" || steps === 0) {
        expect(ended).toMatchObject({
          code: "ECLOSED",
          message: 'ECLOSED: the server was closed before it listened as "late"',
          service: "late",
        });
      }
      expect(() => server.path).toThrow("ECLOSED");
      expect(scratch.entries()).toEqual([]);

      await server.listen("later", { rundir });
      expect(await answers(server, "later", rundir)).toBe(true);
      await server.close();
    });
  });

  test("and closed makes way for another at once", async () => {
    using scratch = new Scratch();
    const server = new ServerSocket();
    const rundir = scratch.path;
    const first = rejection(server.listen("first", { rundir }));
    const closing = server.close();
    const second = server.listen("second", { rundir });
    const third = await rejection(server.listen("third", { rundir }));
    expect(third.message).toBe('EINVAL: the server is about to listen as "second" already');
    expect((await first).code).toBe("ECLOSED");
    await closing;
    await second;
    expect(await answers(server, "second", rundir)).toBe(true);
    await server.close();
    expect(scratch.entries()).toEqual([]);
  });

  test("is the only one", async () => {
    using scratch = new Scratch();
    const server = new ServerSocket();
    const rundir = scratch.path;
    const first = server.listen("one", { rundir });
    const second = await rejection(server.listen("two", { rundir }));
    expect(second.message).toBe('EINVAL: the server is about to listen as "one" already');
    await first;
    const third = await rejection(server.listen("three", { rundir }));
    expect(third.message).toBe('EINVAL: the server listens as "one" already');
    expect(await answers(server, "one", rundir)).toBe(true);
    await server.close();
    expect(scratch.entries()).toEqual([]);
  });
});

const noNames: [unknown, string][] = [
  [undefined, "undefined"],
  [null, "null"],
  [5, "5"],
  [["a"], "a list"],
  [Symbol("a"), "of type symbol"],
];

test.each(noNames)("%p is no name", async (given, shown) => {
  using scratch = new Scratch();
  const rundir = scratch.path;
  const name = given as string;
  await using server = new ServerSocket();
  const message = `EINVAL: name is ${shown}; it is a string`;
  expect(await rejection(server.listen(name, { rundir }))).toMatchObject({ message });
  const client = new ClientSocket();
  expect(await rejection(client.connect(name, { rundir }))).toMatchObject({ message });
  const reached = connect(name, { rundir, transport: "memory" });
  expect(await rejection(reached)).toMatchObject({ message });
  expect(() => inspect(name, { rundir })).toThrow(message);
  expect(scratch.entries()).toEqual([]);
});

test("listen that fails leaves a server that can listen", async () => {
  using scratch = new Scratch();
  const rundir = scratch.path;
  await using other = new ServerSocket();
  await other.listen("taken", { rundir });
  await using server = new ServerSocket();
  expect((await rejection(server.listen("taken", { rundir }))).code).toBe("EADDRINUSE");
  expect((await rejection(server.listen("no/name", { rundir }))).code).toBe("ENAME");
  expect((await rejection(server.listen("free", { rundir, ring: 5 }))).code).toBe("EINVAL");
  await server.listen("free", { rundir });
  expect(await answers(server, "free", rundir)).toBe(true);
});
