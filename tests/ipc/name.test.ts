/** Names, judged without the native library and by the same rules. */

import { expect, test } from "bun:test";
import { nameFault } from "../../src/ipc/name.ts";
import { constants, nameFaults } from "../../src/native/layout.ts";
import names from "../vectors/names.json" with { type: "json" };

test("the vectors are those that this was written for", () => {
  expect(names.version).toBe(1);
  expect(names.name_bytes_max).toBe(constants.name_bytes_max);
});

for (const name of names.good) {
  test(`${JSON.stringify(name)} is a name`, () => expect(nameFault(name)).toBeUndefined());
}

for (const { name, fault } of names.bad) {
  test(`${JSON.stringify(name)} is none: ${fault}`, () => {
    expect<string | undefined>(nameFault(name)).toBe(fault);
  });
}

test("every rule has been broken", () => {
  expect(new Set(names.bad.map(({ fault }) => fault))).toEqual(new Set(nameFaults));
});
