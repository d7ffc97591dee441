/** Messages: what can be sent, what is received, how long it is good, and what it looks like on the wire. */

import { describe, expect, test } from "bun:test";
import type { Message, Payload } from "../../src/index.ts";
import { Context, EventType, IpcError } from "../../src/index.ts";
import { bytesOf, hexOf, unhex } from "../kit/bytes.ts";
import { FrameCutter, headerBytes } from "../kit/frames.ts";
import { leaveNoTrace } from "../kit/no-trace.ts";
import { event, messages, Pair } from "../kit/pair.ts";
import { pattern } from "../kit/random.ts";
import { RawPeer } from "../kit/raw-peer.ts";
import { Scratch } from "../kit/scratch.ts";
import { until } from "../kit/until.ts";
import vectors from "../vectors/frames.json" with { type: "json" };

leaveNoTrace();

const kib = 1024;

/** Sends one message to the other end, and returns it as it arrives: a view, good until the next wait. */
function exchange(pair: Pair, payload: Payload): Message {
  pair.context.schedule(pair.client, payload);
  return event(pair.context, EventType.MessageRx).message;
}

describe("what is received", () => {
  test("bytes, text and JSON of the same message", () => {
    using pair = new Pair();
    const message = exchange(pair, '{"x":[1,2,3]}');
    expect(message.length).toBe(13);
    expect(message.bytes).toEqual(bytesOf('{"x":[1,2,3]}'));
    expect(message.bytes).toBe(message.bytes);
    expect(message.text()).toBe('{"x":[1,2,3]}');
    expect(message.json<{ x: number[] }>().x).toEqual([1, 2, 3]);
  });

  test("an empty message is one", () => {
    using pair = new Pair();
    const message = exchange(pair, "");
    expect(message.length).toBe(0);
    expect(message.bytes).toEqual(new Uint8Array());
    expect(message.text()).toBe("");
    expect(message.copy().bytes).toEqual(new Uint8Array());
    expect(() => message.json()).toThrow(SyntaxError);
  });

  test("what is no JSON throws a SyntaxError", () => {
    using pair = new Pair();
    expect(() => exchange(pair, "{").json()).toThrow(SyntaxError);
  });

  for (const size of [8, 300 * kib]) {
    test(`bytes that are no UTF-8 become U+FFFD, and stay what they are (${size} bytes)`, () => {
      using pair = new Pair();
      const payload = new Uint8Array(size).fill(0x61);
      payload.set([0xff, 0xfe, 0xc3], size - 4);
      const message = exchange(pair, payload);
      expect(message.text()).toBe(`${"a".repeat(size - 4)}\ufffd\ufffd\ufffda`);
      expect(Buffer.compare(message.bytes, payload)).toBe(0);
    });

    test(`a byte order mark is a character like any other (${size} bytes)`, () => {
      using pair = new Pair();
      const text = `\ufeff${"a".repeat(size)}`;
      expect(exchange(pair, text).text()).toBe(text);
      expect(exchange(pair, text).copy().text()).toBe(text);
    });
  }
});

describe("what can be sent", () => {
  const strings: [string, string][] = [
    ["ASCII", "hello"],
    ["two bytes a character", "äöüß".repeat(100)],
    ["three bytes a character", "€漢字".repeat(100)],
    ["four bytes a character", "👂🏽𝒳".repeat(100)],
    ["all of them", "a€👂ä".repeat(100)],
    ["NULs", "a\0b\0"],
    ["lone surrogates", "a\ud800b\udc00"],
  ];
  for (const [what, text] of strings) {
    test(`${what}: as UTF-8, whichever way it goes`, () => {
      using pair = new Pair();
      const { context } = pair;
      const long = text.repeat(Math.ceil((40 * kib) / text.length));
      for (const each of [text, long]) {
        context.schedule(pair.client, each);
        context.schedule(pair.client, each, { report: 1 });
        context.write(pair.client, each);
        for (const message of messages(context, 3)) {
          expect(hexOf(message.bytes)).toBe(hexOf(bytesOf(each)));
          expect(message.text()).toBe(each.toWellFormed());
        }
      }
    });
  }

  for (const size of [10, 100 * kib]) {
    const whole = pattern(size + 7);
    const payloads: [string, () => Payload][] = [
      ["a Uint8Array", () => whole.slice(0, size)],
      ["a part of one, at an odd place", () => whole.subarray(3, 3 + size)],
      ["a Buffer", () => Buffer.from(whole.subarray(5, 5 + size))],
      ["an ArrayBuffer", () => whole.slice(1, 1 + size).buffer],
    ];
    for (const [what, make] of payloads) {
      test(`${what} of ${size} bytes`, () => {
        using pair = new Pair();
        const payload = make();
        const expected = payload instanceof ArrayBuffer ? new Uint8Array(payload) : payload;
        pair.context.schedule(pair.client, payload);
        pair.context.write(pair.client, payload);
        for (const message of messages(pair.context, 2)) {
          expect(Buffer.compare(message.bytes, expected as Uint8Array)).toBe(0);
        }
      });
    }
  }

  test("it is taken when it is handed over: changing it afterwards changes nothing", () => {
    using pair = new Pair();
    for (const size of [10, 100 * kib]) {
      const payload = pattern(size);
      pair.context.schedule(pair.client, payload);
      payload.fill(0);
      const [message] = messages(pair.context, 1);
      expect(Buffer.compare(message!.bytes, pattern(size))).toBe(0);
    }
  });

  test("a message can be sent on as it came, to whom it came from", () => {
    using pair = new Pair();
    const { context } = pair;
    for (const size of [0, 10, 100 * kib, 300 * kib]) {
      const message = exchange(pair, pattern(size));
      context.schedule(pair.server, message.bytes);
      const back = event(context, EventType.MessageRx);
      expect(back.connection).toBe(pair.client);
      expect(Buffer.compare(back.message.bytes, pattern(size))).toBe(0);
    }
  });
});

describe("how long a message is good", () => {
  test("until the next wait: then it throws ESTALE, which says what to do", () => {
    using pair = new Pair();
    const message = exchange(pair, "hello");
    expect(message.text()).toBe("hello");
    pair.context.wait(0);
    for (const use of [
      () => message.bytes,
      () => message.text(),
      () => message.json(),
      () => message.copy(),
    ]) {
      expect(use).toThrow(IpcError);
      expect(use).toThrow(/^ESTALE: .*copy\(\)/);
    }
    expect(message.length).toBe(5);
  });

  test("a message that nobody looked at in time is no better", () => {
    using pair = new Pair();
    pair.context.schedule(pair.client, "hello");
    const arrived = event(pair.context, EventType.MessageRx);
    const { message } = arrived;
    pair.context.wait(0);
    expect(() => message.text()).toThrow("ESTALE");
  });

  test("the bytes under a view that was kept are overwritten", () => {
    using pair = new Pair();
    const view = exchange(pair, "hello").bytes;
    expect(view).toEqual(bytesOf("hello"));
    pair.context.wait(0);
    expect(view).toEqual(new Uint8Array(5).fill(0xdb));
  });

  test("flush and write leave it as it is", () => {
    using pair = new Pair();
    const message = exchange(pair, "hello");
    pair.context.write(pair.server, "x");
    pair.context.schedule(pair.server, "y");
    pair.context.flush();
    expect(message.text()).toBe("hello");
  });

  test("a copy is kept", () => {
    using pair = new Pair();
    const copy = exchange(pair, "hello").copy();
    for (const text of ["other", "words"]) expect(exchange(pair, text).text()).toBe(text);
    expect(copy.text()).toBe("hello");
    expect(copy.bytes).toEqual(bytesOf("hello"));
    expect(copy.copy()).toBe(copy);
  });

  test("one too large for the batch has bytes of its own, and is kept as it is", () => {
    using pair = new Pair();
    const message = exchange(pair, pattern(256 * kib + 1));
    expect(message.copy()).toBe(message);
    pair.context.wait(0);
    expect(exchange(pair, "more").text()).toBe("more");
    expect(Buffer.compare(message.bytes, pattern(256 * kib + 1))).toBe(0);
  });

  test("closing the context ends it too", () => {
    using pair = new Pair();
    const message = exchange(pair, "hello");
    const copy = message.copy();
    pair.context.close();
    expect(() => message.text()).toThrow("ESTALE");
    expect(copy.text()).toBe("hello");
  });

  test("without the switch nothing is checked", async () => {
    const script = `
      import { mkdtempSync, rmSync } from "node:fs";
      import { Context, EventType } from ${JSON.stringify(`${import.meta.dir}/../../src/index.ts`)};
      const rundir = mkdtempSync("/tmp/earshot-test-");
      const context = new Context({ rundir });
      context.serve("self");
      context.schedule(context.connect("self"), "hello");
      for (const event of context) {
        if (event.type !== EventType.MessageRx) continue;
        const { message } = event;
        context.wait(0);
        console.log(message.length, message.bytes.length);
        break;
      }
      context.close();
      rmSync(rundir, { recursive: true });`;
    const child = Bun.spawn({
      cmd: [process.execPath, "-e", script],
      env: { ...process.env, EARSHOT_POISON: "0" },
      stdout: "pipe",
    });
    expect(await child.stdout.text()).toBe("5 5\n");
    expect(await child.exited).toBe(0);
  });
});

/** A service without a loop, and a peer that knows nothing but bytes. */
class Wire implements AsyncDisposable {
  readonly context: Context;
  readonly payloads: string[] = [];
  /** Why the peers before this one were let go. */
  readonly ends: string[] = [];
  readonly #scratch = new Scratch();
  readonly #peers: RawPeer[] = [];
  readonly #service: number;

  constructor(messageBytesMax?: number) {
    this.context = new Context({ rundir: this.#scratch.path });
    this.#service = this.context.serve("wire", { messageBytesMax });
  }

  async peer(): Promise<RawPeer> {
    const peer = await RawPeer.connect(this.#scratch.join("wire"));
    this.#peers.push(peer);
    return peer;
  }

  /** Looks at what there is, and again, until `condition` holds. */
  async until(what: string, condition: () => boolean): Promise<void> {
    await until(what, () => {
      for (const each of this.context.wait(0)) {
        if (each.type === EventType.MessageRx) this.payloads.push(hexOf(each.message.bytes));
        if (each.type === EventType.Disconnection) this.ends.push(each.reason);
      }
      return condition();
    });
  }

  get bytesReceived(): number {
    return this.context.statistics(this.#service).bytesReceived;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const peer of this.#peers) peer.close();
    this.context.close();
    await until("the peers have gone", () => this.#peers.every((peer) => peer.ended));
    this.#scratch[Symbol.dispose]();
  }
}

describe("on the wire", () => {
  test("the vectors are those that this was written for", () => {
    expect(vectors.version).toBe(1);
  });

  for (const { bytes, header } of vectors.lengths) {
    test(`${bytes} bytes begin with ${header}, both ways`, async () => {
      await using wire = new Wire();
      const peer = await wire.peer();
      const payload = pattern(bytes);
      peer.write(unhex(header));
      peer.write(payload);
      let answered = false;
      await until("it has arrived", () => {
        for (const each of wire.context.wait(0)) {
          if (each.type !== EventType.MessageRx) continue;
          expect(Buffer.compare(each.message.bytes, payload)).toBe(0);
          wire.context.schedule(each.connection, each.message.bytes);
          answered = true;
        }
        return answered;
      });
      await wire.until("it has come back", () => peer.payloads.length === 1);
      expect(Buffer.compare(peer.payloads[0]!, payload)).toBe(0);
    });
  }

  for (const { what, wire: digits, payloads, ends } of vectors.streams) {
    test(`${what}: cut at each byte, and byte by byte`, async () => {
      await using wire = new Wire();
      const bytes = unhex(digits);
      const peer = await wire.peer();
      let sent = 0;
      const send = async (part: Uint8Array) => {
        peer.write(part);
        sent += part.length;
        await wire.until("they are there", () => wire.bytesReceived === sent);
      };
      const expected: string[] = [];
      for (let cut = 1; cut < bytes.length; cut++) {
        await send(bytes.subarray(0, cut));
        const whole = ends.filter((end) => end <= cut).length;
        expect(wire.payloads).toEqual([...expected, ...payloads.slice(0, whole)]);
        await send(bytes.subarray(cut));
        expected.push(...payloads);
        expect(wire.payloads).toEqual(expected);
      }
      for (const byte of bytes) await send(Uint8Array.of(byte));
      expect(wire.payloads).toEqual([...expected, ...payloads]);
      expect(wire.ends).toEqual([]);
    });

    test(`${what}: as this side writes it`, async () => {
      await using wire = new Wire();
      const peer = await wire.peer();
      peer.write(unhex("00000000"));
      let connection = 0;
      await until("it is known", () => {
        connection = wire.context.wait(0)[0]?.connection ?? 0;
        return connection !== 0;
      });
      for (const payload of payloads) wire.context.schedule(connection, unhex(payload));
      await wire.until("all is there", () => peer.payloads.length === payloads.length);
      expect(peer.payloads.map(hexOf)).toEqual(payloads);
    });
  }

  for (const { what, wire: digits, payloads } of vectors.truncated) {
    test(`${what}: what was whole, and the reason`, async () => {
      await using wire = new Wire();
      const peer = await wire.peer();
      peer.write(unhex(digits));
      await peer.written();
      peer.endWriting();
      await wire.until("it has ended", () => wire.ends.length === 1);
      expect(wire.payloads).toEqual(payloads);
      expect(wire.ends).toEqual(["truncated"]);
    });
  }

  for (const vector of vectors.too_long) {
    test(`${vector.what}: what was whole, and the reason`, async () => {
      await using wire = new Wire(vector.message_bytes_max);
      const peer = await wire.peer();
      peer.write(unhex(vector.wire));
      await wire.until("it has ended", () => wire.ends.length === 1);
      expect(wire.payloads).toEqual(vector.payloads);
      expect(wire.ends).toEqual(["message_too_long"]);
      await peer.gone();
    });
  }

  test("the cutter of these tests cuts the vectors too", () => {
    for (const { wire: digits, payloads } of vectors.streams) {
      const cutter = new FrameCutter();
      for (const byte of unhex(digits)) cutter.push(Uint8Array.of(byte));
      expect(cutter.payloads.map(hexOf)).toEqual(payloads);
      expect(cutter.restBytes).toBe(0);
    }
    expect(headerBytes).toBe(4);
  });
});
