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

const ownClock = performance.now.bind(performance);
const ownOrigin = performance.timeOrigin;

let pid = process.pid;
let beganMs = 0;

/** Has `process` and `performance` ask here, so that little is to be written when it changes. */
export function provideIdentity(): void {
  // Bun asks for it once, and keeps it.
  define(process, "pid", {
    get: () => pid,
    set(value: number) {
      pid = value;
    },
  });
  // Its marks and measures go on by the zygote's clock.
  define(performance, "now", { value: () => ownClock() - beganMs, writable: true });
  define(performance, "timeOrigin", { get: () => ownOrigin + beganMs });
  const ownJson = performance.toJSON.bind(performance);
  define(performance, "toJSON", {
    value: () => ({ ...(ownJson() as object), timeOrigin: ownOrigin + beganMs }),
    writable: true,
  });
}

/** `id` is what the process is known by now. The times of `performance` begin anew. */
export function renewIdentity(id: number): void {
  const request = new Uint8Array(requestBytes);
  // The last of these is more than there can have been.
  for (let used = 0; used <= storedBytesMax; used += requestBytes) crypto.getRandomValues(request);
  setRandomSeed(new DataView(request.buffer).getUint32(0));
  pid = id;
  beganMs = ownClock();
}

function define(target: object, name: string, property: PropertyDescriptor): void {
  Object.defineProperty(target, name, { ...property, enumerable: true, configurable: true });
}
