/** The name of a user, as far as it can be had without asking the network for it. */

import { readFileSync } from "node:fs";

/** Undefined if there is none at hand. */
export function userName(uid: number): string | undefined {
  return listed().get(uid) ?? (uid === process.geteuid?.() ? ownName() : undefined);
}

/** As the environment has it, where no list knows the user: on a Mac, or in a container. */
function ownName(): string | undefined {
  return process.env["USER"] || process.env["LOGNAME"] || undefined;
}

let names: Map<number, string> | undefined;

function listed(): Map<number, string> {
  names ??= readList();
  return names;
}

/** passwd(5): name, password, number, … */
function readList(): Map<number, string> {
  const found = new Map<number, string>();
  try {
    for (const line of readFileSync("/etc/passwd", "utf8").split("\n")) {
      const [name, , uid] = line.split(":");
      // The first of two names is the one that counts.
      if (name && uid && !found.has(Number(uid))) found.set(Number(uid), name);
    }
  } catch {
    // Without the list there are numbers.
  }
  return found;
}
