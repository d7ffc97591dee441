/** Two streams bound together in JavaScript: what passes, who waits, and how it ends. */

import { describe, expect, test } from "bun:test";
import { Duplex } from "node:stream";
import type { Connection } from "../../../src/index.ts";
import { connect, serve } from "../../../src/index.ts";
import { relay, streamOf } from "../../../src/services/daemon/relay.ts";
import { leaveNoTrace } from "../../kit/no-trace.ts";
import { Scratch } from "../../kit/scratch.ts";
import { until, within } from "../../kit/until.ts";

leaveNoTrace();

/** A stream whose other side is the test. */
class Side extends Duplex {
  readonly written: Buffer[] = [];
  finished = false;
  /** Takes no more while it is set, but for what is being written. */
  slow: (() => void) | undefined;
  isSlow = false;

  constructor() {
    super({ allowHalfOpen: true, highWaterMark: 1000 });
  }

  override _read(): void {
    // The test pushes.
  }

  override _write(bytes: Buffer, _: string, done: () => void): void {
    this.written.push(bytes);
    if (this.isSlow) this.slow = done;
    else done();
  }

  override _final(done: () => void): void {
    this.finished = true;
    done();
  }

  get text(): string {
    return Buffer.concat(this.written).toString();
  }
}

describe("two streams", () => {
  test("have what the other says, counted, and each end behind it", async () => {
    const [one, other] = [new Side(), new Side()];
    const bound = relay(one, other);
    one.push("hello");
    one.push(null);
    await until("it has come", () => other.text === "hello" && other.finished);
    expect(one.finished).toBe(false);
    other.push("and goodbye");
    await until("it has come", () => one.text === "and goodbye");
    other.push(null);
    await within("the end", bound.ended);
    expect(bound.received).toEqual([5, 11]);
    expect(bound.sent).toEqual([11, 5]);
  });

  test("wait for each other, and hold little", async () => {
    const [one, other] = [new Side(), new Side()];
    const bound = relay(one, other);
    other.isSlow = true;
    while (one.push(Buffer.alloc(100)));
    await until("it waits", () => one.isPaused());
    // Pushed by the test alone, which is what the kernel would have kept.
    for (let count = 0; count < 100; count++) one.push(Buffer.alloc(100));
    await Bun.sleep(5);
    expect(other.writableLength).toBeLessThan(2500);
    expect(bound.sent[1]).toBe(0);
    other.push("the other way is open");
    await until("it has come", () => one.text !== "");
    other.isSlow = false;
    other.slow!();
    one.push(null);
    await until("all has come", () => other.finished);
    expect(bound.received[0]).toBe(bound.sent[1]);
    bound.close();
    await within("the end", bound.ended);
  });

  test.each([0, 1] as const)("are both over when %d breaks", async (which) => {
    const sides = [new Side(), new Side()] as const;
    const bound = relay(...sides);
    sides[which].destroy(new Error("torn"));
    await within("the end", bound.ended);
    expect(sides.map((side) => side.destroyed)).toEqual([true, true]);
  });

  test("are both over when one had broken before", async () => {
    const [one, other] = [new Side(), new Side()];
    one.destroy();
    await within("the end", relay(one, other).ended);
    expect(other.destroyed).toBe(true);
  });

  test("are over when they are closed, at once and once", async () => {
    const [one, other] = [new Side(), new Side()];
    const bound = relay(one, other);
    bound.close();
    bound.close();
    await within("the end", bound.ended);
    expect([one.destroyed, other.destroyed]).toEqual([true, true]);
  });
});

describe("the stream of a connection", () => {
  test("has all that came since it was made, and its end", async () => {
    using scratch = new Scratch();
    const { path: rundir } = scratch;
    const accepted: Connection[] = [];
    await using _ = await serve(
      "source",
      {
        open: (connection) => {
          accepted.push(connection);
          connection.send("first");
        },
        message: (connection, { bytes }) => {
          connection.send(bytes);
          void connection.close();
        },
      },
      { rundir, raw: true },
    );
    const local = await connect("source", { rundir, raw: true, open: (c) => c.pause() });
    const stream = streamOf(local);
    expect(local.open).toBe(false);
    await within("the end of the connection", local.ended);
    const heard: Buffer[] = [];
    stream.on("data", (bytes: Buffer) => heard.push(bytes));
    await until("it speaks first", () => Buffer.concat(heard).toString() === "first");
    stream.write("second");
    const ended = Promise.withResolvers<void>();
    stream.on("end", () => ended.resolve());
    await within("the end", ended.promise);
    expect(Buffer.concat(heard).toString()).toBe("firstsecond");
    stream.destroy();
    expect(accepted).toHaveLength(1);
  });

  test("of one that has ended there is none", async () => {
    using scratch = new Scratch();
    const { path: rundir } = scratch;
    await using _ = await serve("here", {}, { rundir, raw: true });
    const local = await connect("here", { rundir, raw: true });
    await local.close();
    expect(() => streamOf(local)).toThrow("ECLOSED");
  });
});
