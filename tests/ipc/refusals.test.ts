/** What is refused, or kept from a handler, because it could only mislead. */

import { expect, test } from "bun:test";
import { Context, connect, IpcError, serve } from "../../src/index.ts";
import { leaveNoTrace } from "../kit/no-trace.ts";
import { Scratch } from "../kit/scratch.ts";
import { until } from "../kit/until.ts";

leaveNoTrace();

const code = (error: unknown) => (error instanceof IpcError ? error.code : error);

test("a second iteration of a context's events is refused, and the first goes on", async () => {
  using context = new Context();
  const first = context.events();
  context.timer(0);
  await first.next();
  expect(await context.events().next().catch(code)).toBe("EINVAL");
  context.timer(0);
  expect((await first.next()).done).toBe(false);
  await first.return();
});

test("after close({ now }) no more messages are handed out", async () => {
  using scratch = new Scratch();
  const rundir = scratch.path;
  let handed = 0;
  const service = await serve(
    "s",
    {
      message(connection) {
        handed += 1;
        void connection.close({ now: true });
      },
    },
    { rundir },
  );
  const client = await connect("s", { rundir });
  for (let index = 0; index < 50; index++) client.send("x");
  await client.ended;
  await until("the service is rid of it", () => service.connections.size === 0);
  expect(handed).toBe(1);
  await service.close();
});

test("a payload that is none is refused, and the connection goes on", async () => {
  using scratch = new Scratch();
  const rundir = scratch.path;
  const service = await serve("s", { message: (c, m) => void c.send(m.bytes) }, { rundir });
  const client = await connect("s", { rundir });
  const detached = new Uint8Array(8);
  structuredClone(detached.buffer, { transfer: [detached.buffer] });
  for (const wrong of [5, null, undefined, {}, new Blob(["x"])]) {
    expect(() => client.send(wrong as unknown as string)).toThrow(TypeError);
  }
  expect((await client.request(new DataView(Uint8Array.of(104, 105).buffer))).text()).toBe("hi");
  expect((await client.request("still here")).text()).toBe("still here");
  expect(client.queuedBytes).toBe(0);
  await client.close();
  await service.close();
});

test("times that are none are refused, and for ever is for ever", async () => {
  using scratch = new Scratch();
  const rundir = scratch.path;
  const service = await serve("s", { message: (c, m) => void c.send(m.bytes) }, { rundir });
  const client = await connect("s", { rundir });
  expect(await client.request("x", { timeout: Number.NaN }).catch(code)).toBe("EINVAL");
  expect(await client.request("x", { timeout: -1 }).catch(code)).toBe("EINVAL");
  expect((await client.request("x", { timeout: Infinity })).text()).toBe("x");
  expect((await client.request("y", { timeout: 2 ** 40 })).text()).toBe("y");
  expect(await connect("s", { rundir, timeout: Number.NaN }).then((c) => c.close(), code)).toBe(
    "EINVAL",
  );
  await client.close();
  await service.close();
});
