/** The outbox alone: what it writes, where, and until when. Native code reads it back in the context's tests. */

import { describe, expect, test } from "bun:test";
import type { Payload } from "../../src/index.ts";
import { Outbox } from "../../src/ipc/outbox.ts";
import { leaveNoTrace } from "../kit/no-trace.ts";
import { pattern } from "../kit/random.ts";

leaveNoTrace();

const runBytes = 16;
const headerBytes = 4;

type Run = { connection: number; token: number; payloads: string[] };

/** An area, and an outbox in it. */
class Rig {
  readonly area: Uint8Array;
  readonly outbox: Outbox;

  constructor(bytes: number) {
    this.area = new Uint8Array(bytes);
    this.outbox = new Outbox(this.area);
  }

  add(connection: number, payload: Payload, token = 0): number {
    return this.outbox.add(connection, payload, token);
  }

  /** The runs as native code reads them: by the layout that the header file tells, and with nothing in common with what wrote them. */
  runs(): Run[] {
    const { usedBytes } = this.outbox;
    const view = new DataView(this.area.buffer);
    const runs: Run[] = [];
    let at = 0;
    while (at < usedBytes) {
      const [connection, bytes, messages, token] = [0, 4, 8, 12].map((offset) =>
        view.getInt32(at + offset, true),
      ) as [number, number, number, number];
      at += runBytes;
      const end = at + bytes;
      const payloads: string[] = [];
      while (at < end) {
        const length = view.getUint32(at);
        payloads.push(
          Buffer.from(this.area.subarray(at + headerBytes, at + headerBytes + length)).toString(),
        );
        at += headerBytes + length;
      }
      expect(at).toBe(end);
      expect(payloads).toHaveLength(messages);
      runs.push({ connection, token, payloads });
      at = (end + 3) & ~3;
    }
    expect(at).toBe(usedBytes);
    return runs;
  }

  /** Has each run end in its result, as native code does, and returns what is told of it. */
  settle(results: number[]): number[][] {
    const view = new DataView(this.area.buffer);
    let at = 0;
    for (const result of results) {
      view.setInt32(at + 12, result, true);
      at = (at + runBytes + view.getInt32(at + 4, true) + 3) & ~3;
    }
    const told: number[][] = [];
    this.outbox.settle((...each) => told.push(each));
    return told;
  }
}

describe("runs", () => {
  test("messages to one connection that follow each other are one", () => {
    const rig = new Rig(256);
    for (const text of ["hello", "", "world"]) {
      expect(rig.add(7, text)).toBe(headerBytes + text.length);
    }
    expect(rig.runs()).toEqual([{ connection: 7, token: 0, payloads: ["hello", "", "world"] }]);
  });

  test("another connection begins another, and so does coming back", () => {
    const rig = new Rig(256);
    for (const connection of [1, 1, 2, 1]) rig.add(connection, `to ${connection}`);
    expect(rig.runs().map(({ connection, payloads }) => [connection, payloads.length])).toEqual([
      [1, 2],
      [2, 1],
      [1, 1],
    ]);
  });

  test("a message that is reported has one to itself", () => {
    const rig = new Rig(256);
    rig.add(1, "a");
    rig.add(1, "b", 5);
    rig.add(1, "c");
    rig.add(1, "d");
    rig.add(1, "e", -6);
    rig.add(1, "f", 7);
    expect(rig.runs()).toEqual([
      { connection: 1, token: 0, payloads: ["a"] },
      { connection: 1, token: 5, payloads: ["b"] },
      { connection: 1, token: 0, payloads: ["c", "d"] },
      { connection: 1, token: -6, payloads: ["e"] },
      { connection: 1, token: 7, payloads: ["f"] },
    ]);
  });

  for (const connection of [0, -1, 2 ** 31 - 1]) {
    test(`any number may be given for a connection: ${connection}`, () => {
      const rig = new Rig(256);
      rig.add(connection, "a");
      rig.add(connection, "b", 1);
      rig.add(connection, "c");
      expect(rig.runs().map((run) => run.connection)).toEqual([connection, connection, connection]);
    });
  }

  test("each begins at a multiple of four, whatever the lengths", () => {
    const rig = new Rig(4096);
    const expected: Run[] = [];
    for (let length = 0; length < 20; length++) {
      const text = "x".repeat(length);
      rig.add(length + 1, text);
      expected.push({ connection: length + 1, token: 0, payloads: [text] });
      expect(rig.outbox.usedBytes % 4).toBe(0);
    }
    expect(rig.runs()).toEqual(expected);
  });

  test("what was in the area before does not show", () => {
    const rig = new Rig(256);
    rig.area.fill(0xff);
    rig.add(1, "a");
    rig.add(2, "b", 3);
    expect(rig.runs()).toEqual([
      { connection: 1, token: 0, payloads: ["a"] },
      { connection: 2, token: 3, payloads: ["b"] },
    ]);
  });

  test("text whose bytes are more than its characters", () => {
    const rig = new Rig(256);
    expect(rig.add(1, "ä€👂")).toBe(headerBytes + 2 + 3 + 4);
    expect(rig.add(1, "next")).toBe(headerBytes + 4);
    expect(rig.runs()[0]!.payloads).toEqual(["ä€👂", "next"]);
  });

  test("an area that is part of another", () => {
    const whole = new Uint8Array(512).fill(0xee);
    const outbox = new Outbox(whole.subarray(128, 256));
    expect(outbox.add(3, "hello", 0)).toBe(9);
    while (outbox.add(3, new Uint8Array(3), 0) > 0);
    expect(whole.subarray(0, 128)).toEqual(new Uint8Array(128).fill(0xee));
    expect(whole.subarray(256)).toEqual(new Uint8Array(256).fill(0xee));
    expect(whole[128]).toBe(3);
  });
});

describe("room", () => {
  const areaBytes = 128;

  test("it can be filled to the last byte", () => {
    const rig = new Rig(areaBytes);
    const most = areaBytes - runBytes - headerBytes;
    expect(rig.add(1, pattern(most + 1))).toBe(0);
    expect(rig.outbox.isEmpty).toBe(true);
    expect(rig.add(1, pattern(most))).toBe(headerBytes + most);
    expect(rig.outbox.usedBytes).toBe(areaBytes);
    for (const [connection, token] of [
      [1, 0],
      [1, 1],
      [2, 0],
    ] as const) {
      expect(rig.add(connection, new Uint8Array(), token)).toBe(0);
    }
    expect(rig.runs()[0]!.connection).toBe(1);
    expect(rig.settle([0])).toEqual([[1, 0, 1, headerBytes + most]]);
  });

  test("what did not fit leaves no trace", () => {
    const rig = new Rig(areaBytes);
    rig.add(1, "kept");
    expect(rig.add(2, pattern(200))).toBe(0);
    expect(rig.add(1, pattern(200))).toBe(0);
    expect(rig.add(1, "kept too")).toBeGreaterThan(0);
    expect(rig.runs()).toEqual([{ connection: 1, token: 0, payloads: ["kept", "kept too"] }]);
  });

  test("the last of a run may end short of a multiple of four", () => {
    for (let length = 0; length < 8; length++) {
      const rig = new Rig(areaBytes);
      rig.add(1, pattern(length));
      const rest = areaBytes - rig.outbox.usedBytes;
      const unused = rig.outbox.usedBytes - runBytes - headerBytes - length;
      expect(unused).toBe((4 - (length % 4)) % 4);
      // The run goes on where it ended; another begins behind the padding.
      expect(rig.add(1, pattern(rest + unused - headerBytes + 1))).toBe(0);
      expect(rig.add(2, pattern(rest - runBytes - headerBytes + 1))).toBe(0);
      expect(rig.add(2, pattern(rest - runBytes - headerBytes))).toBeGreaterThan(0);
      expect(rig.outbox.usedBytes).toBe(areaBytes);
    }
  });

  test("text is written only where the longest that it could be has room", () => {
    const rig = new Rig(areaBytes);
    const most = areaBytes - runBytes - headerBytes;
    expect(rig.add(1, "a".repeat(most))).toBe(0);
    expect(rig.add(1, "€".repeat(most / 3))).toBe(headerBytes + most);
    expect(rig.outbox.usedBytes).toBe(areaBytes);
  });
});

describe("settling", () => {
  test("each run's result, in order, and then it is empty", () => {
    const rig = new Rig(256);
    rig.add(1, "a");
    rig.add(1, "bc");
    rig.add(2, "d", 9);
    rig.add(1, "");
    expect(rig.outbox.isEmpty).toBe(false);
    expect(rig.settle([0, -2, 12345])).toEqual([
      [1, 0, 2, 2 * headerBytes + 3],
      [2, -2, 1, headerBytes + 1],
      [1, 12345, 1, headerBytes],
    ]);
    expect(rig.outbox.isEmpty).toBe(true);
    expect(rig.outbox.usedBytes).toBe(0);
    expect(rig.settle([])).toEqual([]);
  });

  test("afterwards the same connection begins a run of its own", () => {
    const rig = new Rig(256);
    rig.add(1, "before");
    rig.settle([0]);
    rig.add(1, "after");
    expect(rig.runs()).toEqual([{ connection: 1, token: 0, payloads: ["after"] }]);
  });

  test("who is told may add again", () => {
    const rig = new Rig(256);
    rig.add(1, "a");
    rig.add(2, "b");
    const told: number[] = [];
    rig.outbox.settle((connection) => {
      told.push(connection);
    });
    rig.add(3, "c");
    expect(told).toEqual([1, 2]);
    expect(rig.runs()).toEqual([{ connection: 3, token: 0, payloads: ["c"] }]);
  });
});
