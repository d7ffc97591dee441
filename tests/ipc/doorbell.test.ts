/** The bell of a context in Bun's loop: that it rings, and that its end harms nobody. */

import { expect, test } from "bun:test";
import { readSync, writeSync } from "node:fs";
import { Context } from "../../src/index.ts";
import { Doorbell } from "../../src/ipc/doorbell.ts";
import { leaveNoTrace } from "../kit/no-trace.ts";
import { until } from "../kit/until.ts";

leaveNoTrace();

const nsPerMs = 1e6;

test("a context that is closed while it is rung twice reads nothing of who gets its descriptors next", async () => {
  using others = new Context();
  const context = new Context();
  const [mine, theirs] = context.pair();
  context.adopt(mine);
  context.timer(nsPerMs);
  const bell = context.bell();
  await bell.ready;
  context.fill(0);
  const { promise, resolve } = Promise.withResolvers<void>();
  bell.arm(() => {
    context.close();
    resolve();
  });
  // Both are there when Bun looks.
  writeSync(theirs.number, new Uint8Array(4));
  Bun.sleepSync(5);
  const pairs = await promise.then(async () => {
    for (let turn = 0; turn < 5; turn++) await Promise.resolve();
    const made = Array.from({ length: 10 }, () => others.pair());
    for (const end of made.flat()) writeSync(end.number, "hello");
    return made;
  });
  await Bun.sleep(5);
  const bytes = new Uint8Array(8);
  for (const end of pairs.flat()) {
    expect(readSync(end.number, bytes)).toBe(5);
    end.close();
  }
  theirs.close();
});

test("one that its owner gives up is none that Bun has lost: by then there may be another", async () => {
  using context = new Context();
  const [end, other] = context.pair();
  let lost = 0;
  const given = new Doorbell(end.take(), {
    arm: () => 0,
    lost: () => {
      lost += 1;
    },
  });
  await given.ready;
  given.close();
  const byte = new Uint8Array(1);
  await until("its end is there", () => {
    try {
      return readSync(other.number, byte) === 0;
    } catch {
      return false;
    }
  });
  await Bun.sleep(0);
  expect(lost).toBe(0);
  other.close();
});
