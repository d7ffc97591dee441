/** A row whose bridge is asked how much of the processor it took for the bytes that it carried. */

import { readFileSync } from "node:fs";
import type { PairRow } from "../pair.ts";
import type { Kind, Plan, Round, Row, Seat } from "../row.ts";

const ticksPerSecond = 100; // what Linux counts in for programs, on every machine (USER_HZ)

export class MeteredRow implements Row {
  readonly id: string;
  readonly kind: Kind;
  readonly #pair: PairRow;
  /** By placement: since the rows were started there. */
  readonly #used = new Map<string, { seconds: number; bytes: number }>();
  #placement = "";

  constructor(pair: PairRow) {
    this.id = pair.id;
    this.kind = pair.kind;
    this.#pair = pair;
  }

  async start(seat: Seat): Promise<void> {
    await this.#pair.start(seat);
    this.#placement = seat.placement;
  }

  async round(plan: Plan): Promise<Round> {
    const before = this.#seconds();
    const round = await this.#pair.round(plan);
    const after = this.#seconds();
    if (before !== null && after !== null) {
      const used = this.#used.get(this.#placement) ?? { seconds: 0, bytes: 0 };
      used.seconds += after - before;
      used.bytes += round.count * plan.bytes;
      this.#used.set(this.#placement, used);
    }
    return round;
  }

  stop(): Promise<void> {
    return this.#pair.stop();
  }

  /** Milliseconds of the processor for each gigabyte; null where the system does not tell. */
  costAt(placement: string): number | null {
    const used = this.#used.get(placement);
    return used === undefined ? null : Math.round((used.seconds / used.bytes) * 1e12);
  }

  /** The bridge's own time and the kernel's for it, all threads together. */
  #seconds(): number | null {
    const pid = this.#pair.bridgePid;
    if (pid === null) return null;
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
      // Behind the name, which may have blanks in it; user and system time are fields 14 and 15.
      const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond;
    } catch {
      return null;
    }
  }
}
