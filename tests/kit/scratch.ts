/** A directory of its own for each test, gone when the test is over. */

import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";

const open = new Set<string>();

export class Scratch implements Disposable {
  /** Short, so that a name fits behind it wherever the tests run. */
  readonly path = mkdtempSync("/tmp/earshot-test-");

  constructor() {
    open.add(this.path);
  }

  /** What is called `ending` in here. */
  join(ending: string): string {
    return join(this.path, ending);
  }

  /** What lies in here, or in a directory below. */
  entries(below = ""): string[] {
    return readdirSync(this.join(below)).sort();
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
    open.delete(this.path);
  }
}

/** Those that nobody has disposed of. */
export function scratchesLeft(): string[] {
  return [...open];
}
