/** The program of a zygote, and of each process of a pool. It gets its settings as its first argument, in JSON. */

import { gcAndSweep } from "bun:jsc";
import { closeSync } from "node:fs";
import { Hold } from "../ipc/hold.ts";
import { endLoop } from "../ipc/loop.ts";
import { IpcError } from "../native/errors.ts";
import { follow, otherThreads, serveForks } from "../native/zygote.ts";
import { live, rehearse, rehearseOnce, unborn } from "./birth.ts";
import { provideIdentity, renewIdentity } from "./identity.ts";
import { checkDescriptors, openNow } from "./leftovers.ts";
import { writeFrame } from "./particulars.ts";
import type { ServiceModule } from "./service-module.ts";
import { fault, loadModule, tried } from "./service-module.ts";
import type { Settings } from "./settings.ts";
import { places, restoreEnvironment } from "./settings.ts";
import type { Word } from "./word.ts";

const settings = JSON.parse(process.argv[2]!) as Settings;
process.argv.length = 1;
process.argv.push(settings.module);
restoreEnvironment(settings.environment);

function say(word: Word): void {
  writeFrame(places.control, new TextEncoder().encode(JSON.stringify(word)));
}

async function prepare(): Promise<ServiceModule> {
  // Until it waits for requests nobody could tell it that its owner has gone.
  if (!follow(settings.owner)) process.exit(1);
  if (settings.mode === "fork") checkBun();
  const before = openNow();
  const begun = performance.now();
  const module = await loadModule(settings.module);
  const part = (name: string, run: () => void | Promise<void>) => tried(settings.module, name, run);
  await part("warm()", async () => module.warm?.());
  expectNothingOpen("warm()");
  tryIdentity();
  const rehearsed = async (rounds?: number) => {
    if (module.rehearse === undefined) await rehearse(module, rounds);
    else await part("rehearse()", () => rehearse(module, rounds));
  };
  await rehearsed();
  // What is garbage now would be garbage in each clone.
  gcAndSweep();
  gcAndSweep();
  // A collection has memory given out anew from wherever there is some; clones go on where this has begun, side by side.
  await rehearsed(1);
  expectNothingOpen("rehearse()");
  if (settings.mode === "fork") await settled(checkThreads);
  if (settings.mode === "fork") await settled(() => checkDescriptors(settings.module, before));
  say({ kind: "ready", warmMs: performance.now() - begun });
  return module;
}

function expectNothingOpen(after: string): void {
  if (endLoop()) return;
  throw fault(
    settings.module,
    `has services or connections of earshot open after ${after}; close them, and open in serve() what it needs`,
  );
}

function tryIdentity(): void {
  try {
    provideIdentity();
  } catch (cause) {
    const what =
      "has frozen process or performance, which say something else in each clone; leave them as they are";
    throw fault(settings.module, what, cause);
  }
}

const settleMs = 10;
const settleTimes = 50;

/** Threads and sockets that were ended may be there for another moment. Throws what `check` throws in the end. */
async function settled(check: () => void): Promise<void> {
  for (let times = 1; ; times += 1) {
    try {
      check();
      return;
    } catch (error) {
      if (times === settleTimes) throw error;
      await Bun.sleep(settleMs);
    }
  }
}

/** Throws ENOTSUP if this Bun has threads from the beginning, whatever the module does. */
function checkBun(): void {
  const threads = otherThreads();
  if (threads.length === 0) return;
  const text = `ENOTSUP: Bun ${Bun.version} has threads of its own here (${threads.join(", ")})`;
  throw new IpcError("ENOTSUP", text);
}

/** Throws EMODULE if there are any besides this one. */
function checkThreads(): void {
  const threads = otherThreads();
  if (threads.length === 0) return;
  throw fault(
    settings.module,
    `has threads running after warm() or rehearse() (${[...new Set(threads)].join(", ")}), of which no fork has a copy, but perhaps a ` +
      "lock that one of them held. What starts them are asynchronous work with files (use readFileSync and the like), fetch, " +
      'DNS, workers, and connections of earshot: leave these to serve(), or start the zygote with mode: "pool"',
  );
}

/** More of it would not be read. */
const stackMax = 64 * 1024;

function stackOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !(error.cause instanceof Error)) return undefined;
  return error.cause.stack?.slice(0, stackMax);
}

function complain(error: unknown): never {
  const known = error instanceof IpcError ? error : undefined;
  say({
    kind: "fault",
    code: known?.code ?? "EUNKNOWN",
    message: error instanceof Error ? error.message : String(error),
    stack: stackOf(error),
  });
  process.exit(1);
}

const { graceMs } = settings;
const leave = (code: number) => process.exit(code);

async function main(): Promise<void> {
  // What waits for nothing that Bun knows of would end the process, where it is to be told that it takes too long.
  const hold = new Hold();
  hold.take();
  const module = await prepare().catch(complain);
  hold.release();
  if (settings.mode === "pool") {
    closeSync(places.control);
    const { connection } = await unborn();
    return await live({
      module,
      connection,
      socket: places.connection,
      ahead: false,
      graceMs,
      leave,
    });
  }
  follow(0);
  const { connection, bell } = await unborn();
  const fork = serve(bell);
  if (fork === undefined) process.exit(0);
  renewIdentity(fork.pid);
  // Who fails here, as he did not in the zygote, is of no use; what he has begun would go on.
  if (fork.ahead) await rehearseOnce(module).catch(() => leave(1));
  const { connection: socket, ahead } = fork;
  await live({ module, connection, socket, ahead, graceMs, leave });
}

function serve(bell: readonly [number, number]) {
  try {
    return serveForks({
      control: places.control,
      lifeline: places.lifelineIn,
      graceMs,
      orphans: settings.orphans,
      pair: bell,
    });
  } catch (error) {
    return complain(error);
  }
}

// When a program has been loaded Bun cleans up, which is to be done before a fork and not in each. And what is thrown then
// ends the process, as an error in any program does.
setTimeout(() => void main());
