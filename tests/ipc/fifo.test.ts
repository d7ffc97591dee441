/** A queue: its order, and that it keeps nothing of what was taken. */

import { expect, test } from "bun:test";
import { Fifo } from "../../src/ipc/fifo.ts";
import { Random } from "../kit/random.ts";
import { until } from "../kit/until.ts";

test("what goes in first comes out first, whatever comes between", () => {
  const random = new Random(1);
  const fifo = new Fifo<number>();
  const model: number[] = [];
  for (let number = 1; number < 20_000; number++) {
    const way = random.below(10);
    if (way === 0) {
      const count = random.below(5);
      expect(fifo.take(count)).toEqual(model.splice(0, count));
    } else if (way < 6) {
      fifo.push(number);
      model.push(number);
    } else {
      expect(fifo.shift()).toBe(model.shift());
    }
    expect(fifo.length).toBe(model.length);
  }
});

test("of nothing comes nothing", () => {
  const fifo = new Fifo<string>();
  expect(fifo.shift()).toBeUndefined();
  expect(fifo.take(3)).toEqual([]);
  fifo.push("one");
  expect(fifo.shift()).toBe("one");
  expect(fifo.shift()).toBeUndefined();
});

test("what was taken is kept no longer, though others never cease to wait", async () => {
  const fifo = new Fifo<object>();
  fifo.push({});
  const taken: WeakRef<object>[] = [];
  for (let count = 0; count < 1000; count++) {
    fifo.push({ count });
    taken.push(new WeakRef(fifo.shift()!));
  }
  await until("nearly all of them are collected", () => {
    Bun.gc(true);
    return taken.filter((item) => item.deref() !== undefined).length < 10;
  });
  expect(fifo.length).toBe(1);
});
