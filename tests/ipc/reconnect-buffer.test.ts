/** What is sent while a service is away is kept as it was, whatever its owner does with the memory. */

import { expect, test } from "bun:test";
import { connect, serve } from "../../src/index.ts";
import { leaveNoTrace } from "../kit/no-trace.ts";
import { Scratch } from "../kit/scratch.ts";

leaveNoTrace();

test("a Buffer can be used again at once", async () => {
  using scratch = new Scratch();
  const { path: rundir } = scratch;
  const first = await serve("sink", {}, { rundir });
  const gone = Promise.withResolvers<void>();
  await using client = await connect("sink", {
    rundir,
    reconnect: { first: 1, most: 10 },
    disconnected: () => gone.resolve(),
  });
  await first.close();
  await gone.promise;
  const buffer = Buffer.from("as it was");
  client.send(buffer);
  buffer.fill("x");
  const arrived = Promise.withResolvers<string>();
  await using _ = await serve(
    "sink",
    { message: (__, message) => arrived.resolve(message.text()) },
    { rundir },
  );
  expect(await arrived.promise).toBe("as it was");
});
