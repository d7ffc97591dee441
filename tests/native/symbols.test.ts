/** `symbols.ts` against what the library says of itself: neither side may know a function, or a type, that the other does not. */

import { expect, test } from "bun:test";
import { ipcLibrary } from "../../src/native/library.ts";
import type { NativeType } from "../../src/native/symbols.ts";
import { ipcSymbols } from "../../src/native/symbols.ts";
import { leaveNoTrace } from "../kit/no-trace.ts";

leaveNoTrace();

const { functions } = ipcLibrary().manifest();

/** Memory that is passed for the length of one call is a pointer like any other to the library. */
const nativeName = (type: NativeType) => (type === "bytes" ? "pointer" : type);

test("every function of the library is declared, and none that it lacks", () => {
  expect(Object.keys(ipcSymbols).sort()).toEqual(Object.keys(functions).sort());
});

for (const [name, signature] of Object.entries(ipcSymbols)) {
  test(`${name} takes and returns what is declared`, () => {
    expect<unknown>({
      arguments: signature.arguments.map(nativeName),
      result: nativeName(signature.result),
    }).toEqual(functions[name]!);
  });
}
