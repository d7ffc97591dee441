/**
 * What must not be the same in two clones: what is drawn by chance, what the process is called, and when it began.
 *
 * Bun draws random bytes for small requests from a store that it fills now and then, and a fork copies that store; so it is
 * used up here, and what comes next is the system's. `Math.random` goes on from a seed.
 */

import { setRandomSeed } from "bun:jsc";
import { randomUUID } from "node:crypto";

/** Bun keeps 2 KiB in store; a little more than that, in requests small enough to be met from it. */
const storedBytesMax = 2048 + 64;
const requestBytes = 16;

/** `pid` is what the process is known by now. */
export function renewIdentity(pid: number): void {
  const request = new Uint8Array(requestBytes);
  for (let used = 0; used < storedBytesMax; used += requestBytes) crypto.getRandomValues(request);
  for (let used = 0; used < storedBytesMax; used += requestBytes) randomUUID();
  setRandomSeed(new DataView(request.buffer).getUint32(0));
  // Bun asks for it once, and keeps it.
  own(process, "pid", { value: pid, writable: true });
  renewClock();
}

const before = performance.now.bind(performance);
const origin = performance.timeOrigin;

/** The times of `performance` begin at the fork. Its marks and measures go on by the zygote's. */
function renewClock(): void {
  const began = before();
  own(performance, "timeOrigin", { value: origin + began });
  own(performance, "now", { value: () => before() - began, writable: true });
}

function own(target: object, name: string, property: PropertyDescriptor): void {
  Object.defineProperty(target, name, { ...property, enumerable: true, configurable: true });
}
