/** The shared memory of a context: it lives as long as anybody looks at it, and no longer. */

import { expect, test } from "bun:test";
import type { Event } from "../../src/index.ts";
import { Context, EventType } from "../../src/index.ts";
import { canCount, descriptorCount, mappedBytes } from "../kit/census.ts";
import { leaveNoTrace } from "../kit/no-trace.ts";
import { pattern } from "../kit/random.ts";
import { Scratch } from "../kit/scratch.ts";
import { until } from "../kit/until.ts";

leaveNoTrace();

/** Collects what nobody holds any more, and lets finalizers run. */
async function collect(): Promise<void> {
  Bun.gc(true);
  await Bun.sleep(0);
  Bun.gc(true);
}

/** Serves itself, sends itself one message, and hands over what came of it. */
function receive(context: Context, bytes: Uint8Array): Event {
  context.serve("self");
  context.schedule(context.connect("self"), bytes);
  for (const event of context) {
    if (event.type === EventType.MessageRx) return event;
  }
  throw new Error("unreachable");
}

test("a view that outlives its context reads bytes, and no fault", async () => {
  using scratch = new Scratch();
  const views: Uint8Array[] = [];
  for (let round = 0; round < 20; round++) {
    const context = new Context({ rundir: scratch.path });
    views.push(receive(context, pattern(1000, round)).message.bytes);
    context.close();
    await collect();
  }
  for (const [round, view] of views.entries()) expect(view).toEqual(pattern(1000, round));
});

test("a large message outlives batch, context and collections", async () => {
  using scratch = new Scratch();
  const kept: Uint8Array[] = [];
  for (let round = 0; round < 5; round++) {
    const context = new Context({ rundir: scratch.path });
    kept.push(receive(context, pattern(1_000_000, round)).message.bytes);
    context.wait(0);
    context.wait(0);
    await collect();
    context.close();
    await collect();
  }
  for (const [round, bytes] of kept.entries()) expect(bytes).toEqual(pattern(1_000_000, round));
});

test.skipIf(!canCount)("large messages are freed when nobody holds them", async () => {
  using scratch = new Scratch();
  using context = new Context({ rundir: scratch.path });
  context.serve("self");
  const connection = context.connect("self");
  const payload = pattern(4_000_000);
  const exchange = async () => {
    let bytes = 0;
    context.schedule(connection, payload);
    for (const event of context) {
      if (event.type === EventType.MessageRx) {
        bytes = event.message.bytes.length;
        break;
      }
    }
    expect(bytes).toBe(payload.length);
    await collect();
  };
  await exchange();
  const before = mappedBytes();
  for (let round = 0; round < 20; round++) await exchange();
  expect(mappedBytes() - before).toBeLessThan(8 * payload.length);
});

test("a large message that is not looked at is freed with its batch", async () => {
  using scratch = new Scratch();
  using context = new Context({ rundir: scratch.path });
  context.serve("self");
  const connection = context.connect("self");
  context.schedule(connection, pattern(1_000_000));
  await until("it has arrived", () => context.fill(10) > 0 && arrived(context));
  // The batch is not walked: the next one lets go of it.
  context.fill(0);
});

/** Whether the batch ends with a message, found without making events of it. */
function arrived(context: Context): boolean {
  return context.statistics().messagesReceived > 0;
}

test.skipIf(!canCount)("contexts leave neither descriptors nor mappings behind", async () => {
  using scratch = new Scratch();
  const openAndClose = async () => {
    for (let count = 0; count < 50; count++) {
      const context = new Context({ rundir: scratch.path });
      receive(context, pattern(100));
      context.close();
    }
    await collect();
  };
  await openAndClose();
  const descriptors = descriptorCount();
  const mapped = mappedBytes();
  for (let round = 0; round < 4; round++) await openAndClose();
  expect(descriptorCount()).toBe(descriptors);
  // A context maps some 4 MB; the 200 that came and went would be 800.
  expect(mappedBytes() - mapped).toBeLessThan(100_000_000);
});

test("contexts are independent: one goes on when another is closed", () => {
  using scratch = new Scratch();
  using first = new Context({ rundir: scratch.path });
  const second = new Context({ rundir: scratch.path });
  first.serve("first");
  second.serve("second");
  const connection = first.connect("first");
  second.close();
  first.schedule(connection, "still here");
  const texts: string[] = [];
  while (texts.length === 0) {
    for (const event of first.wait()) {
      if (event.type === EventType.MessageRx) texts.push(event.message.text());
    }
  }
  expect(texts).toEqual(["still here"]);
});
