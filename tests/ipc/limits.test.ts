/** What one connection may take up: defaults, what goes together, and what is refused before anything is opened. */

import { describe, expect, test } from "bun:test";
import { Context, IpcError, type Limits } from "../../src/index.ts";
import { fullLimits, putLimits } from "../../src/ipc/limits.ts";
import { constants, framings, Limits as LimitsLayout } from "../../src/native/layout.ts";
import { Struct } from "../../src/native/struct.ts";
import { leaveNoTrace } from "../kit/no-trace.ts";
import { Pair, texts } from "../kit/pair.ts";
import { Scratch } from "../kit/scratch.ts";

leaveNoTrace();

const mib = 1024 * 1024;
const yearMs = 365 * 24 * 3600 * 1000;
const headerBytes = 4;

const defaults = {
  messageBytesMax: 16 * mib,
  connectionsMax: 65_536,
  queueBytesHigh: mib,
  queueBytesMax: 64 * mib,
  queuePolicy: "close",
  stallTimeout: 30_000,
  drainTimeout: 5_000,
  descriptorsMax: 0,
  descriptorsHeld: 1012,
  raw: false,
} as const;

describe("defaults", () => {
  test("are what the documentation says", () => {
    expect(fullLimits({})).toEqual(defaults);
  });

  test("hold for what is undefined", () => {
    const undefinedAll = Object.fromEntries(
      Object.keys(defaults).map((name) => [name, undefined]),
    ) as Limits;
    expect(fullLimits(undefinedAll)).toEqual(defaults);
  });

  test("what is given stays, and nothing else moves", () => {
    for (const [name, value] of Object.entries({
      messageBytesMax: 0,
      connectionsMax: 0,
      queueBytesHigh: 0,
      queuePolicy: "refuse",
      stallTimeout: 0,
      drainTimeout: 0,
    })) {
      expect(fullLimits({ [name]: value })).toEqual({ ...defaults, [name]: value } as never);
    }
  });

  test("the queue grows with the messages", () => {
    expect(fullLimits({ messageBytesMax: 100 * mib }).queueBytesMax).toBe(200 * mib);
    expect(fullLimits({ messageBytesMax: 32 * mib }).queueBytesMax).toBe(64 * mib);
    expect(fullLimits({ messageBytesMax: 1 }).queueBytesMax).toBe(64 * mib);
  });

  test("the high-water mark is never above the limit", () => {
    const limits = fullLimits({ messageBytesMax: 10, queueBytesMax: 1000 });
    expect(limits.queueBytesHigh).toBe(1000);
  });
});

describe("what is refused, with what would do", () => {
  const refused: [Limits, string, string][] = [
    [{ messageBytesMax: -1 }, "messageBytesMax", "from 0"],
    [{ messageBytesMax: 2 ** 31 }, "messageBytesMax", `to ${2 ** 31 - 1 - headerBytes}`],
    [{ messageBytesMax: Number.NaN }, "messageBytesMax", "NaN"],
    [{ messageBytesMax: Infinity }, "messageBytesMax", "Infinity"],
    [{ connectionsMax: -1 }, "connectionsMax", "from 0"],
    [{ connectionsMax: 2 ** 31 }, "connectionsMax", `to ${2 ** 31 - 1}`],
    [{ queueBytesMax: 0 }, "queueBytesMax", `from ${16 * mib + headerBytes}`],
    [{ queueBytesMax: 16 * mib }, "queueBytesMax", `from ${16 * mib + headerBytes}`],
    [{ queueBytesMax: 5 }, "queueBytesMax", `hold one message, which is messageBytesMax + 4`],
    [{ queueBytesMax: 2 ** 40 + 1 }, "queueBytesMax", `to ${2 ** 40}`],
    [{ queueBytesHigh: -1 }, "queueBytesHigh", "from 0"],
    [{ queueBytesHigh: 64 * mib + 1 }, "queueBytesHigh", `to ${64 * mib}`],
    [{ stallTimeout: -1 }, "stallTimeout", "from 0"],
    [{ stallTimeout: yearMs + 1 }, "stallTimeout", `to ${yearMs}`],
    [{ stallTimeout: Infinity }, "stallTimeout", "Infinity"],
    [{ drainTimeout: -1 }, "drainTimeout", "from 0"],
    [{ drainTimeout: yearMs + 1 }, "drainTimeout", `to ${yearMs}`],
    [{ descriptors: { max: 254 } }, "descriptors.max", "to 253"],
    [{ descriptors: { max: 1.5 } }, "descriptors.max", "whole number"],
    [{ descriptors: { max: 1, held: -1 } }, "descriptors.held", "from 0"],
    [{ raw: true, messageBytesMax: 0 }, "messageBytesMax", "from 1"],
    [{ queuePolicy: "drop" as "close" }, "queuePolicy", '"close" or "refuse"'],
    [{ queuePolicy: "toString" as "close" }, "queuePolicy", '"toString"'],
  ];
  for (const [given, name, words] of refused) {
    const shown = Object.entries(given).map(([key, value]) => `${key}: ${value}`);
    test(shown.join(", "), () => {
      using scratch = new Scratch();
      using context = new Context({ rundir: scratch.path });
      for (const call of [
        () => fullLimits(given),
        () => context.serve("limited", given),
        () => context.connect("limited", given),
      ]) {
        expect(call).toThrow(IpcError);
        expect(call).toThrow(`EINVAL: ${name} is`);
        expect(call).toThrow(words);
      }
      expect(scratch.entries()).toEqual([]);
    });
  }
});

describe("on the native side", () => {
  test("every limit arrives in its place and unit", () => {
    const record = new Struct(LimitsLayout);
    putLimits(record, {
      messageBytesMax: 1,
      connectionsMax: 2,
      queueBytesHigh: 3,
      queueBytesMax: 2 ** 40,
      stallTimeout: 0.5,
      drainTimeout: 6,
      queuePolicy: "refuse",
      descriptorsMax: 7,
      descriptorsHeld: 8,
      raw: true,
    });
    expect(record.get("descriptors_max")).toBe(7);
    expect(record.get("descriptors_held_max")).toBe(8);
    expect(record.get("framing")).toBe(framings.raw);
    expect(record.get("message_bytes_max")).toBe(1);
    expect(record.get("connections_max")).toBe(2);
    expect(record.get("queue_bytes_high")).toBe(3);
    expect(record.get("queue_bytes_max")).toBe(2 ** 40);
    expect(record.get("stall_ns")).toBe(500_000);
    expect(record.get("drain_ns")).toBe(6_000_000);
    expect(record.get("queue_policy")).toBe(1);
  });

  /** What this side lets through the other takes as well. */
  const extremes: [string, Limits][] = [
    ["the least", { messageBytesMax: 0, queueBytesMax: headerBytes, queueBytesHigh: 0 }],
    [
      "the most",
      {
        messageBytesMax: constants.message_bytes_limit,
        connectionsMax: 2 ** 31 - 1,
        queueBytesMax: 2 ** 40,
        queueBytesHigh: 2 ** 40,
        stallTimeout: yearMs,
        drainTimeout: yearMs,
      },
    ],
    ["the longest message alone", { messageBytesMax: constants.message_bytes_limit }],
  ];
  for (const [what, limits] of extremes) {
    test(`${what} is taken`, () => {
      using pair = new Pair({ service: limits, connect: limits });
      pair.context.schedule(pair.client, "");
      expect(texts(pair.context, 1)).toEqual([""]);
    });
  }
});
