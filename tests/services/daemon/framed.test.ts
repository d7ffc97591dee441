/** Connections that go on with messages behind a few bytes of their own. */

import { describe, expect, test } from "bun:test";
import type { Connection } from "../../../src/index.ts";
import { connect, serve } from "../../../src/index.ts";
import { goOnFramed } from "../../../src/services/daemon/framed.ts";
import { numbered, numbersOf, upTo } from "../../e2e/numbered.ts";
import { FrameCutter, frame } from "../../kit/frames.ts";
import { leaveNoTrace } from "../../kit/no-trace.ts";
import { Scratch } from "../../kit/scratch.ts";
import { until } from "../../kit/until.ts";

leaveNoTrace();

/** Serves `talk`: answers the first bytes with `ok`, and goes on with `then`. */
async function stage(then: (raw: Connection) => Promise<void>) {
  const scratch = new Scratch();
  const service = await serve(
    "talk",
    {
      async message(raw) {
        raw.send("ok");
        await then(raw);
      },
    },
    { rundir: scratch.path, raw: true, messageBytesMax: 16 },
  );
  const heard: Uint8Array[] = [];
  const client = await connect("talk", {
    rundir: scratch.path,
    raw: true,
    message: (_, { bytes }) => void heard.push(bytes.slice()),
  });
  return {
    client,
    heard: () => Buffer.concat(heard),
    async [Symbol.asyncDispose]() {
      await client.close({ now: true });
      await service.close({ now: true });
      scratch[Symbol.dispose]();
    },
  };
}

describe("a connection of bytes", () => {
  test("goes on with messages, none of which is lost however soon they come", async () => {
    const messages: Uint8Array[] = [];
    let framed: Connection | undefined;
    await using here = await stage(async (raw) => {
      framed = await goOnFramed(raw, {
        message: (connection, { bytes }) => {
          messages.push(bytes.slice());
          connection.send(bytes);
        },
      });
      expect(raw.open).toBe(false);
      expect(framed.service).toBe("talk");
    });
    here.client.send("talk");
    await until("ok is heard", () => here.heard().toString() === "ok");
    const count = 500;
    for (let number = 0; number < count; number++) {
      here.client.send(frame(numbered(number, 4 + ((number * 997) % 5000))));
    }
    await until("all have come", () => messages.length === count);
    expect(numbersOf(messages)).toEqual(upTo(count));
    const cutter = new FrameCutter();
    await until("all have gone back", () => {
      const all = new FrameCutter();
      all.push(here.heard().subarray(2));
      return all.payloads.length === count;
    });
    cutter.push(here.heard().subarray(2));
    expect(numbersOf(cutter.payloads)).toEqual(upTo(count));
    await framed!.close();
  });

  test("tells its end as one of messages", async () => {
    const { promise, resolve } = Promise.withResolvers<string>();
    await using here = await stage(async (raw) => {
      await goOnFramed(raw, { close: (_, { reason }) => resolve(reason) });
    });
    here.client.send("talk");
    await until("ok is heard", () => here.heard().toString() === "ok");
    await here.client.close();
    expect(await promise).toBe("peer_closed");
  });

  test("keeps to the limits of messages", async () => {
    const { promise, resolve } = Promise.withResolvers<string>();
    await using here = await stage(async (raw) => {
      await goOnFramed(raw, { messageBytesMax: 10, close: (_, { reason }) => resolve(reason) });
    });
    here.client.send("talk");
    await until("ok is heard", () => here.heard().toString() === "ok");
    here.client.send(frame("eleven byte"));
    expect(await promise).toBe("message_too_long");
  });

  test("that has ended does not go on", async () => {
    const { promise, resolve } = Promise.withResolvers<unknown>();
    await using here = await stage(async (raw) => {
      await raw.close();
      await goOnFramed(raw, {}).catch(resolve);
    });
    here.client.send("talk");
    expect(await promise).toMatchObject({ code: "ECLOSED" });
  });
});
