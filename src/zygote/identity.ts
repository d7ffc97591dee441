/**
 * What must not be the same in two clones: what is drawn by chance, what the process is called, and when it began.
 *
 * Bun draws random bytes for small requests from a store that it fills now and then, and a fork copies that store; so it is
 * used up here, and what comes next is the system's. `Math.random` goes on from a seed.
 */

import { setRandomSeed } from "bun:jsc";

/** Bun keeps 2 KiB in store, for UUIDs as well. What is larger than an eighth of that is not met from it. */
const storedBytesMax = 2048;
const requestBytes = storedBytesMax / 8;

/** `pid` is what the process is known by now. */
export function renewIdentity(pid: number): void {
  const request = new Uint8Array(requestBytes);
  // The last of these is more than there can have been.
  for (let used = 0; used <= storedBytesMax; used += requestBytes) crypto.getRandomValues(request);
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
