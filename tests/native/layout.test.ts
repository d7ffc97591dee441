/** `layout.ts` against what the library says of itself: every structure, number and constant, both ways. */

import { describe, expect, test } from "bun:test";
import * as layout from "../../src/native/layout.ts";
import { ipcLibrary, memoryLibrary, sealLibrary, zygoteLibrary } from "../../src/native/library.ts";
import * as memory from "../../src/native/memory-layout.ts";
import * as sealing from "../../src/native/seal-layout.ts";
import * as zygote from "../../src/native/zygote-layout.ts";
import { leaveNoTrace } from "../kit/no-trace.ts";

leaveNoTrace();

const manifest = ipcLibrary().manifest();

test("both sides speak the same ABI", () => {
  expect(manifest.abi).toBe(layout.abiVersion);
  expect(ipcLibrary().calls.earshot_ipc_abi()).toBe(layout.abiVersion);
});

describe("structures", () => {
  test("both sides know the same ones", () => {
    expect(Object.keys(layout.structs).sort()).toEqual(Object.keys(manifest.structs).sort());
  });

  for (const [name, { size, fields }] of Object.entries(layout.structs)) {
    test(`${name} has the same size, and the same fields at the same places`, () => {
      expect<unknown>({ size, fields }).toEqual(manifest.structs[name]!);
    });
  }

  test("the fields of each lie within it, and none over another", () => {
    for (const { size, fields } of Object.values(layout.structs)) {
      let end = 0;
      for (const [offset, bytes] of Object.values(fields)) {
        expect(offset).toBeGreaterThanOrEqual(end);
        end = offset + bytes;
      }
      expect(end).toBeLessThanOrEqual(size);
    }
  });
});

describe("numbers", () => {
  const numbered = (names: readonly string[]) =>
    Object.fromEntries(names.map((name, number) => [name, number]));
  const snakeCase = (name: string) =>
    name.replace(/(?!^)[A-Z]/g, (letter) => `_${letter}`).toLowerCase();

  test("of events", () => {
    const known = Object.entries(layout.EventType).map(([name, value]) => [snakeCase(name), value]);
    expect(Object.fromEntries(known)).toEqual(manifest.enums["EventType"]!);
  });

  test("of events are LibIPC's up to 8", () => {
    const { EventType } = layout;
    expect([
      EventType.Error,
      EventType.Connection,
      EventType.Disconnection,
      EventType.MessageRx,
      EventType.MessageTx,
      EventType.Timer,
      EventType.External,
      EventType.SwitchRx,
      EventType.SwitchTx,
    ]).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8]);
  });

  test("of reasons", () => {
    expect(numbered(layout.reasons)).toEqual(manifest.enums["Reason"]!);
  });

  test("of the system's calls", () => {
    expect(numbered(layout.syscalls)).toEqual(manifest.enums["Syscall"]!);
  });

  test("of the rules that a name breaks", () => {
    expect(numbered(layout.nameFaults)).toEqual(manifest.enums["NameFault"]!);
  });

  test("of pollers", () => {
    expect<Record<string, number>>(layout.pollerKinds).toEqual(manifest.enums["PollerKind"]!);
  });

  test("of what is found at a name", () => {
    expect(numbered(layout.inspectionStates)).toEqual(manifest.enums["InspectionState"]!);
  });

  test("of what becomes of a full queue", () => {
    expect<Record<string, number>>(layout.queuePolicies).toEqual(manifest.enums["QueuePolicy"]!);
  });

  test("of how a handle is closed", () => {
    expect<Record<string, number>>(layout.closeHow).toEqual(manifest.enums["CloseHow"]!);
  });

  test("of how messages are told apart", () => {
    expect<Record<string, number>>(layout.framings).toEqual(manifest.enums["Framing"]!);
  });

  test("of what a callback of a switch says", () => {
    expect<Record<string, number>>(layout.verdicts).toEqual(manifest.enums["Verdict"]!);
  });

  test("are all known to these tests", () => {
    expect(Object.keys(manifest.enums).sort()).toEqual([
      "CloseHow",
      "Code",
      "EventType",
      "Framing",
      "InspectionState",
      "NameFault",
      "PollerKind",
      "QueuePolicy",
      "Reason",
      "Syscall",
      "Verdict",
    ]);
  });
});

test("constants are the same", () => {
  expect<Record<string, number>>(layout.constants).toEqual(manifest.constants);
});

test("the reasons of the statistics fill their field", () => {
  const [, bytes] = layout.Statistics.fields.reasons;
  expect<number>(bytes).toBe(8 * layout.reasons.length);
});

describe("libearshot-seal", () => {
  const { abi, structs, enums, constants } = sealLibrary().manifest();

  test("both sides speak the same ABI", () => {
    expect(abi).toBe(sealing.sealAbiVersion);
    expect(sealLibrary().calls.earshot_seal_abi()).toBe(sealing.sealAbiVersion);
  });

  test("structures, numbers and constants are the same", () => {
    expect<unknown>(sealing.sealStructs).toEqual(structs);
    expect<unknown>(sealing.suites).toEqual(enums["Suite"]);
    expect<unknown>(sealing.roles).toEqual(enums["Role"]);
    expect<unknown>(sealing.sealConstants).toEqual(constants);
    expect(Object.keys(enums).sort()).toEqual(["Code", "Role", "Suite"]);
  });
});

describe("libearshot-memory", () => {
  const { abi, enums, constants } = memoryLibrary().manifest();

  test("both sides speak the same ABI", () => {
    expect(abi).toBe(memory.memoryAbiVersion);
    expect(memoryLibrary().calls.earshot_memory_abi()).toBe(memory.memoryAbiVersion);
  });

  test("numbers are the same on both sides", () => {
    expect<unknown>(memory.kinds).toEqual(enums["Kind"]);
    expect<unknown>(memory.rests).toEqual(enums["Rest"]);
    expect<unknown>(memory.memoryConstants).toEqual(constants);
  });
});

describe("libearshot-zygote", () => {
  const { abi, structs, enums, constants } = zygoteLibrary().manifest();

  test("both sides speak the same ABI", () => {
    expect(abi).toBe(zygote.zygoteAbiVersion);
    expect(zygoteLibrary().calls.earshot_zygote_abi()).toBe(zygote.zygoteAbiVersion);
  });

  test("structures and numbers are the same", () => {
    expect<unknown>(zygote.zygoteStructs).toEqual(structs);
    expect<unknown>(zygote.orphans).toEqual(enums["Orphans"]);
    expect<unknown>(zygote.reportKinds).toEqual(enums["ReportKind"]);
    expect(Object.keys(enums).sort()).toEqual(["Code", "Orphans", "ReportKind"]);
    expect<unknown>(zygote.zygoteConstants).toEqual(constants);
  });
});
