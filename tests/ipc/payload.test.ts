/** What can be sent: the bytes that a view shows, and nothing that has none or has them no more. */

import { describe, expect, test } from "bun:test";
import type { Message, Payload } from "../../src/index.ts";
import { connect, EventType, IpcError, serve } from "../../src/index.ts";
import { bytesOf } from "../../src/ipc/message.ts";
import { leaveNoTrace } from "../kit/no-trace.ts";
import { event, messages, Pair } from "../kit/pair.ts";
import { Scratch } from "../kit/scratch.ts";

leaveNoTrace();

const kib = 1024;

function shared(bytes: readonly number[]): SharedArrayBuffer {
  const memory = new SharedArrayBuffer(bytes.length);
  new Uint8Array(memory).set(bytes);
  return memory;
}

/** Gives the memory away, as to another thread. */
function transfer(memory: ArrayBufferLike): void {
  structuredClone(memory, { transfer: [memory as ArrayBuffer] });
}

const memory = Uint8Array.of(0, 1, 2, 3, 4, 5, 6, 7).buffer;
const payloads: [string, Payload, number[]][] = [
  ["an ArrayBuffer", memory, [0, 1, 2, 3, 4, 5, 6, 7]],
  ["a SharedArrayBuffer", shared([1, 2, 3]), [1, 2, 3]],
  ["a view of one", new Uint8Array(shared([1, 2, 3]), 1, 1), [2]],
  ["a part of a Uint8Array", new Uint8Array(memory).subarray(2, 4), [2, 3]],
  ["numbers of two bytes", new Uint16Array(memory, 2, 2), [2, 3, 4, 5]],
  [
    "numbers of eight",
    new Float64Array(Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8).buffer),
    [1, 2, 3, 4, 5, 6, 7, 8],
  ],
  ["a DataView", new DataView(memory, 3, 2), [3, 4]],
  ["a Buffer", Buffer.from([7, 8]), [7, 8]],
  ["nothing of a buffer", new DataView(memory, 8), []],
];

describe("its bytes, and no others", () => {
  for (const [name, payload, bytes] of payloads) {
    test(name, () => {
      expect([...bytesOf(payload)]).toEqual(bytes);
      using pair = new Pair();
      pair.context.schedule(pair.client, payload);
      pair.context.write(pair.client, payload);
      for (const message of messages(pair.context, 2)) expect([...message.bytes]).toEqual(bytes);
    });
  }

  test("more of them than are copied first", () => {
    using pair = new Pair();
    const many = new Uint16Array(50 * kib).fill(0x0102);
    pair.context.schedule(pair.client, many);
    pair.context.schedule(pair.client, shared(Array.from({ length: 50 * kib }, () => 7)));
    const [first, second] = messages(pair.context, 2) as [Message, Message];
    expect(first.length).toBe(100 * kib);
    expect(first.bytes.subarray(-2)).toEqual(Uint8Array.of(2, 1));
    expect(second.bytes.every((byte) => byte === 7)).toBe(true);
  });
});

describe("what has none is refused, and nothing is sent", () => {
  const refused: [unknown, string][] = [
    [undefined, "not undefined"],
    [null, "not null"],
    [5, "not 5"],
    [5n, "not 5"],
    [true, "not true"],
    [[1, 2], "not [object Array]"],
    [{ byteLength: 3 }, "not [object Object]"],
    [new Blob(["x"]), "not [object Blob]"],
    [Promise.resolve("x"), "not [object Promise]"],
  ];
  for (const [given, words] of refused) {
    test(words, () => {
      using pair = new Pair();
      const { context, client } = pair;
      for (const call of [
        () => context.schedule(client, given as Payload),
        () => context.write(client, given as Payload),
      ]) {
        expect(call).toThrow(TypeError);
        expect(call).toThrow(words);
      }
      context.schedule(client, "the first");
      expect(event(context, EventType.MessageRx).message.text()).toBe("the first");
    });

    test(`${words}, on Bun's loop`, async () => {
      using scratch = new Scratch();
      const { path: rundir } = scratch;
      await using _ = await serve("silent", undefined, { rundir });
      await using client = await connect("silent", { rundir });
      expect(() => client.send(given as Payload)).toThrow(words);
      await expect(client.request(given as Payload)).rejects.toThrow(words);
      expect(client.queuedBytes).toBe(0);
    });
  }

  for (const size of [8, 100 * kib]) {
    test(`bytes that were transferred away (${size})`, () => {
      using pair = new Pair();
      const bytes = new ArrayBuffer(size);
      const given = [bytes, new Uint8Array(bytes), new Uint16Array(bytes), new DataView(bytes)];
      transfer(bytes);
      for (const payload of given) {
        expect(() => pair.context.schedule(pair.client, payload)).toThrow(TypeError);
        expect(() => pair.context.write(pair.client, payload)).toThrow("transferred away");
      }
      expect(pair.context.wait(0)).toEqual([]);
    });
  }

  test("more bytes than the wire has numbers for", () => {
    using pair = new Pair();
    // Memory that nobody touches costs nothing.
    const long = new Uint8Array(2 ** 31);
    for (const call of [
      () => pair.context.schedule(pair.client, long),
      () => pair.context.schedule(pair.client, long, { report: 1 }),
      () => pair.context.write(pair.client, long),
    ]) {
      expect(call).toThrow(IpcError);
      expect(call).toThrow("EMSGSIZE: a message of 2147483648 bytes");
    }
    expect(pair.context.wait(0)).toEqual([]);
  });
});

describe("the buffer behind a received message", () => {
  test("once it is transferred away, every use of the context's messages says so", () => {
    using pair = new Pair();
    const { context } = pair;
    context.schedule(pair.client, "hello");
    const { message } = event(context, EventType.MessageRx);
    transfer(message.bytes.buffer);
    const stale = "ESTALE: the buffer behind a message";
    expect(() => message.text()).toThrow(stale);
    for (let round = 0; round < 2; round++) {
      expect(() => context.wait(0)).toThrow(IpcError);
      expect(() => context.wait()).toThrow(stale);
    }
  });

  test("that of a copy is one's own to transfer", () => {
    using pair = new Pair();
    const { context } = pair;
    context.schedule(pair.client, "hello");
    transfer(event(context, EventType.MessageRx).message.copy().bytes.buffer);
    context.schedule(pair.client, "again");
    expect(event(context, EventType.MessageRx).message.text()).toBe("again");
  });
});
