/** `Linger`: when looking for more traffic is worth it. */

import { describe, expect, test } from "bun:test";
import { Linger } from "../../src/ipc/linger.ts";

const shortMs = 0.1;

/** One that has given up. */
function exhausted(): Linger {
  const linger = new Linger(shortMs);
  giveUp(linger);
  return linger;
}

function giveUp(linger: Linger): number {
  let looks = 0;
  for (; linger.worthwhile; looks++) linger.vain();
  return looks;
}

/** How many short sleeps it takes until it looks again. */
function toll(linger: Linger): number {
  let sleeps = 0;
  for (; !linger.worthwhile; sleeps++) linger.slept(shortMs);
  return sleeps;
}

describe("looking", () => {
  test("is worth it to begin with, and not after a row of vain looks", () => {
    const linger = new Linger(shortMs);
    expect(linger.worthwhile).toBe(true);
    expect(giveUp(linger)).toBe(4);
    expect(linger.worthwhile).toBe(false);
  });

  test("is worth it for as long as one look of the row finds something", () => {
    const linger = new Linger(shortMs);
    for (let round = 0; round < 100; round++) {
      for (let look = 0; look < 3; look++) linger.vain();
      expect(linger.worthwhile).toBe(true);
      linger.found();
    }
    expect(giveUp(linger)).toBe(4);
  });
});

describe("a short sleep", () => {
  test("among long ones does not make it look again", () => {
    const linger = exhausted();
    for (let round = 0; round < 1000; round++) {
      linger.slept(shortMs);
      linger.slept(shortMs * 1.01);
    }
    expect(linger.worthwhile).toBe(false);
  });

  test("after another makes it look again, once", () => {
    const linger = exhausted();
    expect(toll(linger)).toBe(2);
    expect(giveUp(linger)).toBe(1);
  });

  test("while it looks anyway counts for nothing", () => {
    const linger = new Linger(shortMs);
    for (let round = 0; round < 1000; round++) linger.slept(0);
    giveUp(linger);
    expect(toll(linger)).toBe(2);
  });

  test("has to have twice as many others with it after each vain row, up to a bound", () => {
    const linger = exhausted();
    const tolls: number[] = [];
    for (let row = 0; row < 10; row++) {
      tolls.push(toll(linger));
      giveUp(linger);
    }
    expect(tolls).toEqual([2, 4, 8, 16, 32, 64, 128, 256, 256, 256]);
  });

  test("is as good as ever after one success", () => {
    const linger = exhausted();
    for (let row = 0; row < 6; row++) {
      toll(linger);
      giveUp(linger);
    }
    toll(linger);
    linger.found();
    expect(giveUp(linger)).toBe(4);
    expect(toll(linger)).toBe(2);
  });
});
