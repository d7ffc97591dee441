/** What one client keeps: plain or sealed, within its limit, and overwritten when it is of no more use. */

import { expect, test } from "bun:test";
import { FormatError, itemBytesMax } from "../../../src/services/passwords/format.ts";
import { Store } from "../../../src/services/passwords/store.ts";
import { pattern, Random } from "../../kit/random.ts";

const plenty = 64 * 1024 * 1024;
const bytes = (text: string) => new Uint8Array(Buffer.from(text));
const text = (value: Uint8Array) => Buffer.from(value).toString();
const sealKey = pattern(32, 1);
const otherKey = pattern(32, 2);

function statusOf(act: () => unknown): string {
  try {
    act();
  } catch (error) {
    if (error instanceof FormatError) return error.status;
    throw error;
  }
  return "done";
}

for (const isSealed of [false, true]) {
  const key = isSealed ? sealKey : undefined;
  const store = (initial?: ReadonlyMap<string, Uint8Array>) => {
    const made = new Store(plenty, initial);
    if (isSealed) made.seal(sealKey);
    return made;
  };

  test(`${isSealed ? "sealed" : "plain"}: what is set is there until it is deleted`, () => {
    const kept = store(new Map([["first", bytes("initial")]]));
    kept.set(bytes("a"), bytes("1"), key);
    kept.set(bytes("a"), bytes("2"), key);
    expect(text(kept.get(bytes("a"), key))).toBe("2");
    expect(text(kept.get(bytes("first"), key))).toBe("initial");
    expect([...kept.keys()].map(text)).toEqual(["first", "a"]);
    kept.delete(bytes("a"));
    expect(kept.has(bytes("a"))).toBe(false);
    expect(statusOf(() => kept.get(bytes("a"), key))).toBe("missing");
    expect(statusOf(() => kept.delete(bytes("a")))).toBe("missing");
  });

  test(`${isSealed ? "sealed" : "plain"}: keys and values of every length and any bytes`, () => {
    const kept = store();
    const random = new Random(3);
    const lengths = [0, 1, 127, 128, 129, 255, 256, 300, 65_535, itemBytesMax];
    const items = lengths.map((length) => [random.bytes(length), random.bytes(length)] as const);
    for (const [name, value] of items) kept.set(name, value, key);
    expect([...kept.keys()].map((name) => name.length)).toEqual(lengths);
    for (const [name, value] of items) {
      expect(Buffer.compare(kept.get(name, key), value)).toBe(0);
    }
  });

  test(`${isSealed ? "sealed" : "plain"}: the limit counts what is there, and nothing twice`, () => {
    const kept = new Store(2 * (64 + 1 + 100));
    if (isSealed) kept.seal(sealKey);
    const value = new Uint8Array(100);
    for (let round = 0; round < 5; round++) kept.set(bytes("a"), value, key);
    kept.set(bytes("b"), value, key);
    expect(statusOf(() => kept.set(bytes("c"), new Uint8Array(0), key))).toBe("full");
    expect(statusOf(() => kept.set(bytes("b"), new Uint8Array(101), key))).toBe("full");
    expect(kept.get(bytes("b"), key).length).toBe(100);
    kept.delete(bytes("a"));
    kept.set(bytes("c"), value, key);
    expect(statusOf(() => kept.set(bytes("d"), new Uint8Array(0), key))).toBe("full");
  });
}

test("what is replaced, deleted or left behind is overwritten", () => {
  const values = ["one", "two", "three"].map(bytes);
  const kept = new Store(plenty, new Map(values.map((value, index) => [`${index}`, value])));
  kept.set(bytes("0"), bytes("another"));
  kept.delete(bytes("1"));
  kept.wipe();
  expect(values.map((value) => [...value].every((byte) => byte === 0))).toEqual([true, true, true]);
  expect([...kept.keys()]).toEqual([]);
});

test("sealing overwrites what was plain, and leaves no key behind", () => {
  const value = bytes("secret");
  const kept = new Store(plenty, new Map([["a", value]]));
  kept.seal(sealKey);
  expect([...value].every((byte) => byte === 0)).toBe(true);
  expect(statusOf(() => kept.get(bytes("a")))).toBe("sealed");
  expect(statusOf(() => kept.set(bytes("a"), bytes("x")))).toBe("sealed");
  expect(statusOf(() => kept.get(bytes("a"), otherKey))).toBe("wrong_key");
  expect(statusOf(() => kept.set(bytes("a"), bytes("x"), otherKey))).toBe("wrong_key");
  expect(statusOf(() => kept.seal(otherKey))).toBe("wrong_key");
  kept.seal(sealKey);
  expect(text(kept.get(bytes("a"), sealKey))).toBe("secret");
});

test("with nothing in it yet, it knows its key all the same", () => {
  const kept = new Store(plenty);
  kept.seal(sealKey);
  expect(statusOf(() => kept.set(bytes("a"), bytes("x"), otherKey))).toBe("wrong_key");
});
