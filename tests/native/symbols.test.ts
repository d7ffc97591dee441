/** `symbols.ts` against what the libraries say of themselves: neither side may know a function, or a type, that the other does not. */

import { describe, expect, test } from "bun:test";
import { ipcLibrary, memoryLibrary, sealLibrary, zygoteLibrary } from "../../src/native/library.ts";
import type { NativeType, SymbolTable } from "../../src/native/symbols.ts";
import { ipcSymbols, memorySymbols, sealSymbols, zygoteSymbols } from "../../src/native/symbols.ts";
import { leaveNoTrace } from "../kit/no-trace.ts";

leaveNoTrace();

/** Memory that is passed for the length of one call is a pointer like any other to the library. */
const nativeName = (type: NativeType) => (type === "bytes" ? "pointer" : type);

const libraries: [string, SymbolTable, ReturnType<typeof ipcLibrary>["manifest"]][] = [
  ["libearshot-ipc", ipcSymbols, ipcLibrary().manifest],
  ["libearshot-seal", sealSymbols, sealLibrary().manifest],
  ["libearshot-memory", memorySymbols, memoryLibrary().manifest],
  ["libearshot-zygote", zygoteSymbols, zygoteLibrary().manifest],
];

describe.each(libraries)("%s", (_, symbols, manifest) => {
  const { functions } = manifest();

  test("every function of the library is declared, and none that it lacks", () => {
    expect(Object.keys(symbols).sort()).toEqual(Object.keys(functions).sort());
  });

  for (const [name, signature] of Object.entries(symbols)) {
    test(`${name} takes and returns what is declared`, () => {
      expect<unknown>({
        arguments: signature.arguments.map(nativeName),
        result: nativeName(signature.result),
      }).toEqual(functions[name]!);
    });
  }
});
