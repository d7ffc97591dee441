/** Two connections bound together: what passes, in which format, how it ends, and what is told of it. */

import { describe, expect, test } from "bun:test";
import { closeSync, openSync, readFileSync, writeFileSync } from "node:fs";
import {
  type ConnectOptions,
  Context,
  type Event,
  EventType,
  type Format,
  Verdict,
} from "../../src/index.ts";
import { leaveNoTrace } from "../kit/no-trace.ts";
import { drive } from "../kit/pair.ts";
import { pattern } from "../kit/random.ts";
import { Scratch } from "../kit/scratch.ts";

leaveNoTrace();

type Told = { type: EventType; end: number; bytes: number; reason: string; error: unknown };

/** A switch in one context, and the two far ends of it in another. */
class Bound implements Disposable {
  readonly inner = new Context();
  readonly outer = new Context();
  readonly switch: number;
  /** What is behind end 0, and behind end 1. */
  readonly far: [number, number];
  readonly told: Told[] = [];
  /** What has come to each of the two. */
  readonly arrived: [string, string] = ["", ""];
  readonly messages: [string[], string[]] = [[], []];
  readonly ended: [string, string] = ["", ""];

  constructor(
    options: {
      format?: Format;
      near?: [ConnectOptions, ConnectOptions];
      far?: ConnectOptions[];
    } = {},
  ) {
    const raw = { raw: true };
    const ends = [0, 1].map((end) => {
      const [near, far] = this.outer.pair();
      return {
        near: this.inner.adopt(near, options.near?.[end] ?? raw),
        far: this.outer.adopt(far, options.far?.[end] ?? raw),
      };
    });
    this.far = [ends[0]!.far, ends[1]!.far];
    this.switch = this.inner.switch(ends[0]!.near, ends[1]!.near, options.format);
  }

  until(what: string, done: () => boolean): void {
    drive(what, [this.inner, this.outer], done, (event, context) => {
      const { type, reason } = event;
      if (context === this.inner) {
        this.told.push({ type, end: event.end, bytes: event.bytes, reason, error: event.error });
        return;
      }
      const end = this.far.indexOf(event.connection) as 0 | 1;
      if (type === EventType.Disconnection) this.ended[end] = reason;
      if (type !== EventType.MessageRx) return;
      this.arrived[end] += event.message.text();
      this.messages[end].push(event.message.text());
    });
  }

  /** The bytes that were told of for an end. */
  sum(type: EventType, end: number): number {
    return this.told
      .filter((each) => each.type === type && each.end === end)
      .reduce((total, { bytes }) => total + bytes, 0);
  }

  [Symbol.dispose](): void {
    this.inner.close();
    this.outer.close();
  }
}

describe("a plain switch", () => {
  test("passes bytes both ways, and tells how many, together", () => {
    using bound = new Bound();
    bound.outer.write(bound.far[0], "to the other");
    bound.outer.write(bound.far[1], "and back");
    bound.until("both have come", () => bound.arrived.join("").length === 20);
    expect(bound.arrived).toEqual(["and back", "to the other"]);
    bound.until("all was told", () => bound.sum(EventType.SwitchTx, 0) === 8);
    expect(bound.sum(EventType.SwitchRx, 0)).toBe(12);
    expect(bound.sum(EventType.SwitchTx, 1)).toBe(12);
    expect(bound.sum(EventType.SwitchRx, 1)).toBe(8);
  });

  test("passes megabytes unchanged both ways at once, in a bounded number of events", () => {
    using bound = new Bound();
    const bytes = pattern(8_000_000);
    const digests = [new Bun.CryptoHasher("sha1"), new Bun.CryptoHasher("sha1")];
    const counts = [0, 0];
    for (const far of bound.far) bound.outer.write(far, bytes);
    drive(
      "both have come",
      [bound.inner, bound.outer],
      () => counts.every((count) => count === bytes.length),
      (event, context) => {
        if (context === bound.inner) {
          const { type, end, reason, error } = event;
          bound.told.push({ type, end, bytes: event.bytes, reason, error });
        } else if (event.type === EventType.MessageRx) {
          const end = bound.far.indexOf(event.connection);
          digests[end]!.update(event.message.bytes);
          counts[end]! += event.message.length;
        }
      },
    );
    const expected = new Bun.CryptoHasher("sha1").update(bytes).digest("hex");
    expect(digests.map((digest) => digest.digest("hex"))).toEqual([expected, expected]);
    for (const end of [0, 1]) {
      expect(bound.sum(EventType.SwitchRx, end)).toBe(bytes.length);
      expect(bound.sum(EventType.SwitchTx, end)).toBe(bytes.length);
    }
    expect(bound.told.length).toBeLessThan(5000);
  });

  test("makes who writes wait for who does not read, and holds little meanwhile", () => {
    using bound = new Bound({ far: [{ raw: true, queueBytesMax: 2 ** 30 }, { raw: true }] });
    bound.outer.pause(bound.far[1]);
    const piece = new Uint8Array(1_000_000);
    for (let count = 0; count < 20; count++) bound.outer.write(bound.far[0], piece);
    for (let round = 0; round < 200; round++) {
      bound.inner.wait(0);
      bound.outer.wait(0);
    }
    // Two sockets full and what lies between them; the rest waits where it comes from.
    expect(bound.outer.statistics(bound.far[0]).queuedBytes).toBeGreaterThan(17_000_000);
    bound.outer.pause(bound.far[1], false);
    let came = 0;
    drive(
      "all has come",
      [bound.inner, bound.outer],
      () => came === 20_000_000,
      (event) => {
        if (event.type === EventType.MessageRx) came += event.message.length;
      },
    );
  });

  test("passes the end of one side on, and the other goes on until its own", () => {
    using bound = new Bound();
    bound.outer.write(bound.far[0], "last words");
    bound.outer.closeHandle(bound.far[0]);
    bound.until("the words have come", () => bound.arrived[1] === "last words");
    bound.until("the switch is over", () =>
      bound.told.some(({ type }) => type === EventType.Disconnection),
    );
    bound.until("both know", () => bound.ended[1] !== "");
    expect(bound.ended[1]).toBe("peer_closed");
  });

  test("hands a file over to a connection", () => {
    using scratch = new Scratch();
    const path = scratch.join("file");
    const text = "from a file\n".repeat(50_000);
    writeFileSync(path, text);
    using inner = new Context();
    using outer = new Context();
    const [near, far] = outer.pair();
    const file = openSync(path, "r");
    const connection = outer.adopt(far, { raw: true });
    const sink = inner.adopt(near, { raw: true });
    // Nothing is to come from it, for which a file to read would be no place.
    inner.pause(sink);
    inner.switch(inner.external(file), sink);
    closeSync(file);
    let came = "";
    drive(
      "the file has come",
      [inner, outer],
      () => came.length === text.length,
      (event) => {
        if (event.connection === connection && event.type === EventType.MessageRx)
          came += event.message.text();
      },
    );
    expect(came).toBe(readFileSync(path, "utf8"));
  });

  test("takes along what an iteration has not come to yet", () => {
    using inner = new Context();
    using outer = new Context();
    const pairs = [outer.pair(), outer.pair()];
    const near = pairs.map(([one]) => inner.adopt(one));
    const far = pairs.map(([, other]) => outer.adopt(other));
    const large = "x".repeat(600_000);
    for (const text of ["first", "second", large, "fourth"]) outer.write(far[0]!, text);
    let bound = 0;
    const seen: string[] = [];
    const came: string[] = [];
    drive(
      "all has come",
      [outer],
      () => {
        inner.fill(1);
        for (let event = inner.next(); event !== undefined; event = inner.next()) {
          if (event.type !== EventType.MessageRx) continue;
          seen.push(event.message.text());
          if (bound === 0) bound = inner.switch(near[0]!, near[1]!);
        }
        return came.length === 3;
      },
      ({ type, message }) => {
        if (type === EventType.MessageRx) came.push(message.text());
      },
    );
    expect(seen).toEqual(["first"]);
    expect(came).toEqual(["second", large, "fourth"]);
  });

  test("is refused where nothing could pass either way, and says so", () => {
    using scratch = new Scratch();
    using context = new Context();
    const files = ["one", "other"].map((name) => {
      writeFileSync(scratch.join(name), name);
      return openSync(scratch.join(name), "r");
    });
    const [one, other] = files.map((descriptor) => context.external(descriptor)) as [
      number,
      number,
    ];
    expect(() => context.switch(one, other)).toThrow(
      `EINVAL: nothing can pass between handles ${one} and ${other}: both can only be read`,
    );
    for (const handle of [one, other]) context.closeHandle(handle, { now: true });
    for (const descriptor of files) closeSync(descriptor);
  });

  test("is refused where what comes from one could not be written to the other, and nothing is lost", () => {
    using scratch = new Scratch();
    writeFileSync(scratch.join("file"), "to read");
    using context = new Context();
    const descriptor = openSync(scratch.join("file"), "r");
    const file = context.external(descriptor);
    const [one, two] = context.pair();
    const [near, far] = [context.adopt(one), context.adopt(two)];
    const why = `EBADF: handle ${file} can only be read, and what comes on handle ${near} would have nowhere to go; `;
    expect(() => context.switch(near, file)).toThrow(why);
    expect(() => context.switch(file, near)).toThrow(why);
    context.write(far, "here all the same");
    let came = "";
    const hear = ({ type, message }: Event) => {
      if (type === EventType.MessageRx) came = message.text();
    };
    drive("it has come", [context], () => came !== "", hear);
    expect(came).toBe("here all the same");
    closeSync(descriptor);
  });

  test("goes one way from what can only be read to what can only be written", () => {
    using scratch = new Scratch();
    const [from, to] = [scratch.join("from"), scratch.join("to")];
    writeFileSync(from, "one way");
    using context = new Context();
    const descriptors = [openSync(from, "r"), openSync(to, "w")] as const;
    const bound = context.switch(
      context.external(descriptors[0]),
      context.external(descriptors[1]),
    );
    let isOver = false;
    const see = ({ type, source }: Event) => {
      isOver ||= type === EventType.Disconnection && source === bound;
    };
    drive("it is over", [context], () => isOver, see);
    expect(readFileSync(to, "utf8")).toBe("one way");
    for (const descriptor of descriptors) closeSync(descriptor);
  });

  test("is of two", () => {
    using bound = new Bound();
    expect(() => bound.outer.switch(bound.far[0], bound.far[0])).toThrow(
      "EINVAL: a switch binds two",
    );
  });

  test("keeps no descriptor when it was closed, whatever was on its way", () => {
    using bound = new Bound();
    const before = bound.inner.statistics().descriptors;
    bound.outer.pause(bound.far[1]);
    bound.outer.write(bound.far[0], new Uint8Array(5_000_000));
    for (let round = 0; round < 50; round++) {
      bound.inner.wait(0);
      bound.outer.wait(0);
    }
    bound.inner.closeHandle(bound.switch);
    // The pipe that it had goes with the context at the latest: it may be another's by then.
    expect(bound.inner.statistics().descriptors).toBeLessThanOrEqual(before);
  });
});

function assertNever(): never {
  throw new Error("no text");
}

/** Lines of text on the side of the other end. */
function lines(): Format {
  let rest = "";
  return {
    in(bytes) {
      const whole = (rest + Buffer.from(bytes).toString()).split("\n");
      rest = whole.pop()!;
      return whole;
    },
    out: (message) => `${Buffer.from(message)}\n`,
  };
}

describe("a format", () => {
  const framed: { far: ConnectOptions[] } = { far: [{}, { raw: true }] };

  test("makes messages of what comes, and bytes of messages", () => {
    using bound = new Bound({ ...framed, format: lines() });
    bound.outer.write(bound.far[1], "one\ntwo\nthr");
    bound.outer.write(bound.far[0], "first");
    bound.outer.write(bound.far[0], "");
    bound.until("two lines have come", () => bound.messages[0].length === 2);
    bound.outer.write(bound.far[1], "ee\n");
    bound.until("the third has come", () => bound.messages[0].length === 3);
    bound.until("the lines have left", () => bound.arrived[1] === "first\n\n");
    expect(bound.messages[0]).toEqual(["one", "two", "three"]);
  });

  test("carries much, and makes who is slow wait", () => {
    using bound = new Bound({ ...framed, format: lines() });
    const count = 50_000;
    let sent = 0;
    bound.until("all have gone through", () => {
      for (let burst = 0; burst < 2000 && sent < count; burst++, sent++) {
        bound.outer.schedule(bound.far[0], `message ${sent}`);
        bound.outer.schedule(bound.far[1], `line ${sent}\n`);
      }
      return (
        bound.messages[0].length === count && bound.arrived[1].endsWith(`message ${count - 1}\n`)
      );
    });
    expect(bound.messages[0]).toEqual(
      Array.from({ length: count }, (_, number) => `line ${number}`),
    );
    expect(bound.arrived[1].split("\n")).toHaveLength(count + 1);
  });

  test("holds messages to what their connection allows, both ways", () => {
    for (const [end, text] of [
      [0, "x".repeat(101)],
      [1, `${"x".repeat(101)}\n`],
    ] as const) {
      const near: [ConnectOptions, ConnectOptions] = [{ messageBytesMax: 100 }, { raw: true }];
      using bound = new Bound({ ...framed, format: lines(), near });
      bound.outer.write(bound.far[1], `${"y".repeat(100)}\n`);
      bound.until("what fits has come", () => bound.messages[0].length === 1);
      bound.outer.write(bound.far[end], text);
      const isEnd = ({ type }: Told) => type === EventType.Disconnection;
      bound.until("it is over", () => bound.told.some(isEnd));
      expect(bound.told.find(isEnd)!.reason).toBe("message_too_long");
    }
  });

  test("of one way alone leaves the other as frames", () => {
    using bound = new Bound({ far: [{}, {}], format: { out: (message) => message } });
    bound.outer.write(bound.far[1], "a message as it is");
    bound.until("it has come", () => bound.messages[0].length === 1);
    expect(bound.messages[0]).toEqual(["a message as it is"]);
  });

  test.each([
    ["ignores", Verdict.Ignore, undefined],
    ["gives nothing for", undefined, undefined],
    ["calls closed", Verdict.Closing, "peer_closed"],
    ["calls an error", Verdict.Error, "malformed"],
  ] as const)("%s what it is given", (_words, verdict, reason) => {
    using bound = new Bound({ ...framed, format: { in: () => verdict } });
    bound.outer.write(bound.far[1], "?");
    if (reason === undefined) {
      bound.outer.write(bound.far[0], "goes on");
      bound.until("it goes on", () => bound.arrived[1].length > 0);
      expect(bound.messages[0]).toEqual([]);
    } else {
      bound.until("it is over", () => bound.told.some((each) => each.reason === reason));
    }
  });

  test("that throws ends its own switch, and says what it threw", () => {
    using broken = new Bound({
      ...framed,
      format: {
        in() {
          throw new RangeError("no such thing");
        },
      },
    });
    broken.outer.write(broken.far[1], "?");
    broken.until("it is over", () => broken.told.some(({ reason }) => reason === "malformed"));
    const { error } = broken.told.find(({ type }) => type === EventType.Error)!;
    expect(error).toMatchObject({ code: "EFORMAT", cause: new RangeError("no such thing") });
  });

  test("that throws leaves every other switch of its context alone", () => {
    using context = new Context();
    using outer = new Context();
    const make = (format: Format) => {
      const [one, farOne] = outer.pair();
      const [other, farOther] = outer.pair();
      context.switch(context.adopt(one), context.adopt(other, { raw: true }), format);
      return [outer.adopt(farOne), outer.adopt(farOther, { raw: true })] as const;
    };
    const bad = make({
      in() {
        throw new Error("bad");
      },
    });
    const good = make(lines());
    outer.write(bad[1], "?");
    outer.write(good[1], "good\n");
    let came = "";
    drive(
      "the good one has answered",
      [context, outer],
      () => came === "good",
      (event) => {
        if (event.type === EventType.MessageRx && event.connection === good[0])
          came = event.message.text();
      },
    );
  });

  test.each([
    ["an object without a text", () => Object.create(null) as unknown],
    ["what throws when it is made a text", () => ({ toString: () => assertNever() })],
    ["nothing", () => undefined],
  ])("that throws %s ends its switch all the same", (_what, made) => {
    using bound = new Bound({
      ...framed,
      format: {
        in() {
          throw made();
        },
      },
    });
    bound.outer.write(bound.far[1], "?");
    bound.until("it is over", () => bound.told.some(({ reason }) => reason === "malformed"));
    expect(bound.told.some(({ error }) => error !== undefined)).toBe(true);
  });

  test("that is asynchronous is told that it cannot be", () => {
    const format = { in: () => Promise.reject(new Error("late")) } as unknown as Format;
    using bound = new Bound({ ...framed, format });
    bound.outer.write(bound.far[1], "?");
    bound.until("it is over", () => bound.told.some(({ reason }) => reason === "malformed"));
    const { error } = bound.told.find(({ type }) => type === EventType.Error)!;
    expect(error).toMatchObject({ message: expect.stringContaining("not asynchronous") as string });
  });

  test("may not use the context it is called from", () => {
    let thrown: unknown;
    const bound: Bound = new Bound({
      ...framed,
      format: {
        in() {
          try {
            bound.inner.schedule(1, "lost");
          } catch (error) {
            thrown = error;
          }
          return Verdict.Ignore;
        },
      },
    });
    using _ = bound;
    bound.outer.write(bound.far[1], "?");
    bound.until("it was called", () => thrown !== undefined);
    expect(thrown).toMatchObject({ code: "ETHREAD" });
  });
});
