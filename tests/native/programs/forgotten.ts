/**
 * Makes seals that nobody keeps, and says when most of them have been closed.
 *
 *     forgotten collected     they are left to the collector
 *     forgotten terminated    a worker holds on to them, and is terminated
 */

import { isMainThread, Worker } from "node:worker_threads";
import { sealLibrary } from "../../../src/native/library.ts";
import { Seal } from "../../../src/native/seal.ts";

const count = 100;
const held: Seal[] = [];

function make(keep: (seal: Seal) => unknown): void {
  const key = new Uint8Array(32);
  for (let made = 0; made < count; made++) {
    keep(Seal.fromKeys({ suite: "aegis_256", sending: key, receiving: key }));
  }
}

/** The first handles of a process: places from 0 on, in their first generation. */
const handles = Array.from({ length: count }, (_, place) => (1 << 20) | place);
const open = () =>
  handles.filter((handle) => sealLibrary().calls.earshot_seal_suite(handle) > 0).length;

async function untilIt(what: string, condition: () => boolean): Promise<void> {
  for (let tries = 0; tries < 3000 && !condition(); tries++) {
    Bun.gc(true);
    await Bun.sleep(1);
  }
  console.log(condition() ? what : `${open()} are open`);
}

if (isMainThread) {
  if (process.argv[2] === "terminated") {
    const worker = new Worker(import.meta.filename);
    await untilIt("all are open", () => open() === count);
    await worker.terminate();
  } else {
    make(() => undefined);
    console.log(open() === count ? "all are open" : `${open()} are open`);
  }
  await untilIt("most are closed", () => open() < count / 10);
} else {
  make((seal) => held.push(seal));
  setInterval(() => held.length, 1000);
}
