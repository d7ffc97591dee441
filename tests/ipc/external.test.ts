/** Descriptors of others in a context: told of for as long as there is something to read, and never touched. */

import { describe, expect, test } from "bun:test";
import { closeSync, constants, openSync, readSync, writeFileSync, writeSync } from "node:fs";
import type { PollerKind } from "../../src/index.ts";
import { Context, EventType, IpcError } from "../../src/index.ts";
import { leaveNoTrace } from "../kit/no-trace.ts";
import { drive, event, Pair, texts } from "../kit/pair.ts";
import { Scratch } from "../kit/scratch.ts";

// What Bun runs programs with while nothing else goes on is opened once, and then kept.
Bun.spawnSync(["true"]);
leaveNoTrace();

/** Both ends of a pipe, which close when the test is over. */
class Pipe implements Disposable {
  readonly reader: number;
  readonly writer: number;
  readonly #scratch = new Scratch();
  readonly #open = new Set<number>();

  constructor() {
    const path = this.#scratch.join("pipe");
    expect(Bun.spawnSync(["mkfifo", path]).exitCode).toBe(0);
    this.reader = this.#opened(openSync(path, constants.O_RDONLY | constants.O_NONBLOCK));
    this.writer = this.#opened(openSync(path, constants.O_WRONLY | constants.O_NONBLOCK));
  }

  write(text: string): void {
    writeSync(this.writer, text);
  }

  read(): string {
    const bytes = new Uint8Array(1024);
    return new TextDecoder().decode(bytes.subarray(0, readSync(this.reader, bytes)));
  }

  close(descriptor: number): void {
    this.#open.delete(descriptor);
    closeSync(descriptor);
  }

  [Symbol.dispose](): void {
    for (const descriptor of this.#open) closeSync(descriptor);
    this.#scratch[Symbol.dispose]();
  }

  #opened(descriptor: number): number {
    this.#open.add(descriptor);
    return descriptor;
  }
}

const pollers: PollerKind[] = process.platform === "linux" ? ["poll", "epoll"] : ["poll", "kqueue"];

for (const poller of pollers) {
  describe(poller, () => {
    test("a pipe is told of while something is in it", () => {
      using pipe = new Pipe();
      using context = new Context({ poller });
      const handle = context.external(pipe.reader);
      expect(context.wait(0)).toEqual([]);
      pipe.write("hello");
      for (let round = 0; round < 3; round++) {
        const found = context.wait();
        expect(found).toHaveLength(1);
        expect(found[0]).toMatchObject({
          type: EventType.External,
          source: handle,
          descriptor: pipe.reader,
        });
      }
      expect(pipe.read()).toBe("hello");
      expect(context.wait(0)).toEqual([]);
      pipe.write("again");
      expect(event(context, EventType.External).source).toBe(handle);
      context.closeHandle(handle);
    });

    test("so is its end", () => {
      using pipe = new Pipe();
      using context = new Context({ poller });
      const handle = context.external(pipe.reader);
      expect(context.wait(0)).toEqual([]);
      pipe.close(pipe.writer);
      for (let round = 0; round < 3; round++) {
        expect(context.wait().map((each) => each.source)).toEqual([handle]);
      }
      expect(pipe.read()).toBe("");
      context.closeHandle(handle);
      expect(context.wait(0)).toEqual([]);
    });

    for (const [what, path] of [
      ["a plain file", undefined],
      ["/dev/null", "/dev/null"],
    ] as const) {
      test(`${what} is always readable, and starves nobody`, () => {
        using scratch = new Scratch();
        using pair = new Pair({ context: { poller } });
        const { context } = pair;
        writeFileSync(scratch.join("file"), "");
        const descriptor = openSync(path ?? scratch.join("file"), "r");
        const handle = context.external(descriptor);
        for (let round = 0; round < 3; round++) {
          expect(context.wait().map((each) => each.source)).toEqual([handle]);
        }
        context.schedule(pair.client, "hello");
        expect(texts(context, 1)).toEqual(["hello"]);
        const timer = context.timer(1);
        expect(event(context, EventType.Timer).source).toBe(timer);
        context.closeHandle(handle);
        closeSync(descriptor);
        expect(context.wait(0)).toEqual([]);
      });
    }

    test("a handle that is closed before its descriptor leaves nothing behind", () => {
      using pipe = new Pipe();
      using context = new Context({ poller });
      const handle = context.external(pipe.reader);
      pipe.write("unread");
      context.closeHandle(handle);
      expect(context.wait(0)).toEqual([]);
      expect(pipe.read()).toBe("unread");
      // The descriptor is not used up: it can be added again, under another handle.
      const again = context.external(pipe.reader);
      expect(again).not.toBe(handle);
      pipe.write("more");
      expect(event(context, EventType.External).source).toBe(again);
      expect(() => context.closeHandle(handle)).toThrow(IpcError);
    });

    test("closing the context leaves the descriptor open", () => {
      using pipe = new Pipe();
      const context = new Context({ poller });
      context.external(pipe.reader);
      context.closeAll();
      context.external(pipe.reader);
      context.close();
      pipe.write("still open");
      expect(pipe.read()).toBe("still open");
    });

    test("many at once, each under its own handle", () => {
      using context = new Context({ poller });
      const pipes = Array.from({ length: 50 }, () => new Pipe());
      const handles = new Map(pipes.map((pipe) => [context.external(pipe.reader), pipe]));
      for (const [index, pipe] of pipes.entries()) if (index % 2 === 0) pipe.write("x");
      const seen = new Set<Pipe>();
      drive(
        "all that were written to are told of",
        [context],
        () => seen.size === 25,
        (each) => {
          const pipe = handles.get(each.source)!;
          expect(each.descriptor).toBe(pipe.reader);
          expect(pipe.read()).toBe("x");
          seen.add(pipe);
        },
      );
      expect(context.wait(0)).toEqual([]);
      for (const handle of handles.keys()) context.closeHandle(handle);
      for (const pipe of pipes) pipe[Symbol.dispose]();
    });

    for (const [descriptor, why] of [
      [-1, "descriptor is -1"],
      [1_000_000, "descriptor 1000000 is not open"],
    ] as const) {
      test(`no descriptor: ${descriptor}`, () => {
        using context = new Context({ poller });
        expect(() => context.external(descriptor)).toThrow(IpcError);
        expect(() => context.external(descriptor)).toThrow(why);
        expect(context.wait(0)).toEqual([]);
      });
    }

    test("the same one twice is told of under either handle", () => {
      using pipe = new Pipe();
      using context = new Context({ poller });
      const handles = [context.external(pipe.reader), context.external(pipe.reader)];
      pipe.write("x");
      const told = context.wait().map((each) => each.source);
      expect(told.sort((one, other) => one - other)).toEqual(handles);
      context.closeHandle(handles[0]!);
      expect(context.wait().map((each) => each.source)).toEqual([handles[1]!]);
    });

    test("one that is closed before its handle leaves its number to others", () => {
      using pipe = new Pipe();
      using pair = new Pair({ context: { poller } });
      const { context } = pair;
      const handle = context.external(pipe.reader);
      pipe.close(pipe.reader);
      // Its number goes to one end of this.
      const client = context.connect("self");
      event(context, EventType.Connection);
      context.closeHandle(handle);
      context.schedule(client, "hello");
      expect(texts(context, 1)).toEqual(["hello"]);
    });

    test("wake lets a wait return with nothing, once", () => {
      using context = new Context({ poller });
      context.wake();
      context.wake();
      expect(context.wait()).toEqual([]);
      const timer = context.timer(1);
      expect(context.wait().map((each) => each.source)).toEqual([timer]);
      expect(context.wait(0)).toEqual([]);
    });

    test("wake holds up nothing that is there", () => {
      using pair = new Pair({ context: { poller } });
      pair.context.schedule(pair.client, "hello");
      pair.context.wake();
      expect(texts(pair.context, 1)).toEqual(["hello"]);
    });
  });
}
