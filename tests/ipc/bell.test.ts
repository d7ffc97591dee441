/** How Bun's loop is woken: by its own epoll where that can be done, by a thread where not, and by neither in vain. */

import { expect, test } from "bun:test";
import { readSync, writeFileSync, writeSync } from "node:fs";
import { Context } from "../../src/ipc/context.ts";
import { Doorbell } from "../../src/ipc/doorbell.ts";
import { Child } from "../kit/child.ts";
import { Command } from "../kit/command.ts";
import { leaveNoTrace } from "../kit/no-trace.ts";
import { Scratch } from "../kit/scratch.ts";
import { until, within } from "../kit/until.ts";

leaveNoTrace();

const nsPerMs = 1e6;
const hasEpoll = process.platform === "linux";

test.each(["poll", hasEpoll ? "epoll" : "kqueue"] as const)(
  "over %s it rings once for each time it is armed, when something comes, is due, or was said by wake()",
  async (poller) => {
    using context = new Context({ poller });
    const bell = context.bell();
    expect(context.hasThread).toBe(poller !== "epoll");
    let rings = 0;
    const armed = () =>
      within("the bell", new Promise<void>((resolve) => bell.arm(resolve))).then(() => {
        rings += 1;
        return context.fill(0);
      });
    const [own, other] = context.pair();
    const connection = context.adopt(own);
    expect(await fired(armed(), () => context.wake())).toBe(0);
    const peer = context.adopt(other);
    expect(await fired(armed(), () => context.write(peer, Buffer.from("hello")))).toBe(1);
    expect(context.next()?.connection).toBe(connection);
    context.timer(2 * nsPerMs);
    expect(await armed()).toBe(1);
    // Later than one that was asked for and has come, and sooner than one that has not.
    context.timer(3_600_000 * nsPerMs);
    void bell.arm(() => undefined);
    context.timer(2 * nsPerMs);
    expect(await armed()).toBe(1);
    expect(rings).toBe(4);
  },
);

async function fired<Value>(armed: Promise<Value>, cause: () => void): Promise<Value> {
  cause();
  return await armed;
}

test("a worker's loop has a thread, and one beside the other they do not disturb each other", async () => {
  await using child = await Child.start(new URL("programs/two-loops.ts", import.meta.url), {});
  expect(await child.ask("play", 200)).toEqual({
    first: 200,
    worker: 200,
    isFirst: false,
    isWorker: true,
  });
  expect(await child.finish()).toEqual({ code: 0, signal: null, stderr: "" });
});

test("who closes Bun's sockets, as a test runner between two files, leaves nothing that rings", async () => {
  using scratch = new Scratch();
  const source = (path: string) =>
    JSON.stringify(new URL(`../../src/${path}`, import.meta.url).pathname);
  writeFileSync(
    scratch.join("a.test.ts"),
    `import { test } from "bun:test";
     import { writeFileSync } from "node:fs";
     import { Context } from ${source("ipc/context.ts")};
     test("leaves fifty contexts", () => {
       const ends = Array.from({ length: 50 }, () => {
         const context = new Context();
         const [own, other] = context.pair();
         context.adopt(own);
         context.bell().arm(() => { throw new Error("it rang"); });
         return other.take();
       });
       writeFileSync("ends.json", JSON.stringify(ends));
     });`,
  );
  writeFileSync(
    scratch.join("b.test.ts"),
    `import { test } from "bun:test";
     import { readFileSync, writeSync } from "node:fs";
     test("and these have something to report", async () => {
       for (const end of JSON.parse(readFileSync("ends.json", "utf8"))) writeSync(end, Buffer.of(0, 0, 0, 1, 65));
       for (let turn = 0; turn < 20; turn += 1) { Bun.gc(true); await Bun.sleep(1); }
     });`,
  );
  await using command = new Command([process.execPath, "test", "--isolate"], {
    folder: scratch.path,
  });
  const { code, stderr } = await command.ended;
  expect(stderr).toContain("2 pass");
  expect(code).toBe(0);
});

test("a context that is closed while it is rung twice reads nothing of who gets its descriptors next", async () => {
  using others = new Context();
  const context = new Context();
  const [mine, theirs] = context.pair();
  context.adopt(mine);
  context.timer(nsPerMs);
  const bell = context.bell();
  await bell.ready;
  context.fill(0);
  const { promise, resolve } = Promise.withResolvers<void>();
  bell.arm(() => {
    context.close();
    resolve();
  });
  // Both are there when Bun looks.
  writeSync(theirs.number, new Uint8Array(4));
  Bun.sleepSync(5);
  const pairs = await promise.then(async () => {
    for (let turn = 0; turn < 5; turn++) await Promise.resolve();
    const made = Array.from({ length: 10 }, () => others.pair());
    for (const end of made.flat()) writeSync(end.number, "hello");
    return made;
  });
  await Bun.sleep(5);
  const bytes = new Uint8Array(8);
  for (const end of pairs.flat()) {
    expect(readSync(end.number, bytes)).toBe(5);
    end.close();
  }
  theirs.close();
});

test("one that its owner gives up is none that Bun has lost: by then there may be another", async () => {
  using context = new Context();
  const [end, other] = context.pair();
  let lost = 0;
  const given = new Doorbell(end.take(), {
    arm: () => 0,
    lost: () => {
      lost += 1;
    },
  });
  await given.ready;
  given.close();
  const byte = new Uint8Array(1);
  await until("its end is there", () => {
    try {
      return readSync(other.number, byte) === 0;
    } catch {
      return false;
    }
  });
  await Bun.sleep(0);
  expect(lost).toBe(0);
  other.close();
});
