/** What is peculiar to connections that go through a socket. */

import { expect, test } from "bun:test";
import { connect, serve } from "../../src/index.ts";
import { leaveNoTrace } from "../kit/no-trace.ts";
import { Scratch } from "../kit/scratch.ts";
import { until } from "../kit/until.ts";

leaveNoTrace();

test("what is sent in many tasks goes together, by one that gathers it", async () => {
  using scratch = new Scratch();
  const { path: rundir } = scratch;
  await using _ = await serve(
    "pong",
    { message: (connection, message) => void connection.send(message.bytes) },
    { rundir },
  );
  const answers: string[] = [];
  await using client = await connect("pong", {
    rundir,
    message: (_, message) => void answers.push(message.text()),
  });
  client.gathers = true;
  for (const text of ["one", "two", "three"]) {
    client.send(text);
    // Where one that does not gather would send.
    for (let task = 0; task < 10; task++) await Promise.resolve();
  }
  expect(client.queuedBytes).toBeGreaterThanOrEqual("onetwothree".length);
  expect(client.statistics().messagesSent).toBe(0);
  await until("all are answered", () => answers.length === 3);
  expect(answers).toEqual(["one", "two", "three"]);
  expect(client.queuedBytes).toBe(0);
});
