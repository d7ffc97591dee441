/** One temporary directory for every socket of a run, removed with it. */

import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

let directory: string | null = null;
let made = 0;

/** A path called `name` in a new directory of its own, fit to be a run directory. */
export function scratchPath(name: string): string {
  directory ??= mkdtempSync(join(tmpdir(), "earshot-bench-"));
  made += 1;
  const own = join(directory, String(made));
  mkdirSync(own, { mode: 0o700 });
  return join(own, name);
}

export function removeScratch(): void {
  if (directory !== null) rmSync(directory, { recursive: true, force: true });
  directory = null;
}
