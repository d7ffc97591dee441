/** Where clones come from: forks of a zygote, or processes of a pool. */

import type { Descriptor } from "../ipc/descriptor.ts";
import type { CloneProcess } from "./clone-process.ts";
import type { Mode } from "./settings.ts";

/** A process that waits to be told what it is for. */
export type Blank = {
  /** The owner's end of its connection. */
  readonly end: Descriptor;
  /** It has waited, and may have ended meanwhile without anybody having noticed yet: it is to say that it is there. */
  readonly ahead: boolean;
  /** Rejects if it could not be made; what is sent to it before is not lost. */
  readonly process: Promise<CloneProcess>;
};

export interface Source {
  readonly mode: Mode;
  readonly restarts: number;
  /** How many wait, ready to be told. */
  readonly waiting: number;
  /** Rejects with why there will be none any more. */
  take(): Promise<Blank>;
  /** Has as many wait as were asked for. */
  fill(): void;
  close(): Promise<void>;
}

/** The first of those that wait which has not ended meanwhile; that it has may not have been heard yet. */
export async function takeLiving(waiting: Blank[]): Promise<Blank | undefined> {
  for (let blank = waiting.shift(); blank !== undefined; blank = waiting.shift()) {
    if ((await blank.process).kill(0)) return blank;
    blank.end.close();
  }
  return undefined;
}
