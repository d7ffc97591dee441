/** Every test file begins with `leaveNoTrace()`: what its tests open they close, or the last of them fails. */

import { afterAll, beforeAll, expect, setDefaultTimeout } from "bun:test";
import { fstatSync } from "node:fs";
import { connect } from "../../src/index.ts";
import { loop } from "../../src/ipc/loop.ts";
import { serve } from "../../src/ipc/serve.ts";
import { descriptors, openDescriptors } from "./census.ts";
import { childrenLeft } from "./child.ts";
import { Scratch, scratchesLeft } from "./scratch.ts";
import { until } from "./until.ts";

export function leaveNoTrace(): void {
  // What is waited for in vain says so itself, long before this; see `until.ts`.
  setDefaultTimeout(120_000);
  let before: Record<string, number> = {};

  beforeAll(async () => {
    await warmUp();
    // Those of earlier files do not count.
    await until("the pipes of earlier processes are closed", () => pipes().length === 0);
    before = descriptors();
  });

  afterAll(async () => {
    expect(childrenLeft()).toEqual([]);
    expect(scratchesLeft()).toEqual([]);
    await until(
      () => `descriptors ${JSON.stringify(descriptors())} are ${JSON.stringify(before)} again`,
      () => pipes().length === 0 && Bun.deepEquals(descriptors(), before),
    );
  });
}

/** The two ends of the bell by which this thread's loop is woken, kept for the life of the process. */
const bellSockets = 2;

/** What Bun talks to other processes by. It closes that of a process that has ended when it collects it. */
function pipes(): string[] {
  const sockets = bellSockets + standardSockets();
  const found = Object.entries(descriptors())
    .filter(([kind, count]) =>
      kind === "socket" ? count > sockets : kind.startsWith("/memfd:spawn"),
    )
    .map(([kind]) => kind);
  if (found.length > 0) Bun.gc(true);
  return found;
}

/**
 * Whoever reads what this process says may have given it sockets for that, of which Bun makes copies when somebody asks for
 * `process.stdout` or `process.stderr`.
 */
function standardSockets(): number {
  const inodes = [0, 1, 2]
    .map((descriptor) => fstatSync(descriptor))
    .filter((stat) => stat.isSocket())
    .map(({ ino }) => ino);
  if (inodes.length === 0) return 0;
  return openDescriptors().filter((descriptor) => inodes.includes(inodeOf(descriptor))).length;
}

function inodeOf(descriptor: number): number {
  try {
    return fstatSync(descriptor).ino;
  } catch {
    // That of the list itself, which is closed by now.
    return 0;
  }
}

/** What is opened once and then kept for the life of the process is not a leak. */
async function warmUp(): Promise<void> {
  using scratch = new Scratch();
  const service = await serve(
    "warm",
    { message: (c, m) => void c.send(m.bytes) },
    { rundir: scratch.path },
  );
  const client = await connect("warm", { rundir: scratch.path });
  await client.request("up");
  // Going to sleep for the first time starts a thread, with a descriptor to wake it.
  loop()
    .context.bell()
    .arm(() => undefined);
  loop().soon();
  await client.close();
  await service.close();
  const child = Bun.spawn({ cmd: ["true"], stdin: "pipe", stdout: "pipe", stderr: "pipe" });
  await child.stdin.end();
  // A pipe that nobody reads is closed only when it is collected.
  await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
}
