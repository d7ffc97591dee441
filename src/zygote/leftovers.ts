/**
 * Descriptors that `warm` has left open. A clone has none of them: what remembers one by its number would speak to whatever
 * gets that number next, so such a module is refused.
 */

import { readdirSync, readlinkSync } from "node:fs";
import { fault } from "./service-module.ts";

const folder = "/proc/self/fd";

/** What is open, by its number. */
export function openNow(): Map<number, string> {
  const found = new Map<number, string>();
  for (const number of list()) {
    try {
      found.set(Number(number), readlinkSync(`${folder}/${number}`));
    } catch {
      // That of the list itself.
    }
  }
  return found;
}

function list(): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

/** A clone has new ones of these under the old numbers. */
const renewed = new Set(["anon_inode:[eventpoll]", "anon_inode:[eventfd]", "anon_inode:[timerfd]"]);

/** Throws EMODULE if there are more now than `before`. */
export function checkDescriptors(path: string, before: ReadonlyMap<number, string>): void {
  const left = [...openNow()].filter(
    ([number, what]) => before.get(number) !== what && !renewed.has(what),
  );
  if (left.length === 0) return;
  const shown = left.map(([number, what]) => `${number} (${what})`).join(", ");
  throw fault(
    path,
    `has left descriptors open after warm() or rehearse(), which no clone has: ${shown}. Close them, and open in serve() what it needs, ` +
      'or start the zygote with mode: "pool"',
  );
}
