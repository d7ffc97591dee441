/**
 * A row whose server holds idle connections beside the one that is measured, by a Context with
 * epoll.
 */

import { readdirSync, readFileSync } from "node:fs";
import { Child } from "../child.ts";
import { program } from "../native.ts";
import type { PairRow } from "../pair.ts";
import type { Plan, Round, Row, Seat } from "../row.ts";
import { bunRow } from "./programs.ts";

const settleMilliseconds = 20;
const acceptMillisecondsMax = 20_000;
const settlePlan: Plan = { bytes: 64, milliseconds: 100 };

export class IdleRow implements Row {
  readonly id: string;
  readonly kind = "earshot";
  readonly #idle: number;
  readonly #pair: PairRow;
  #holder: Child | null = null;
  /** Private memory of the serving process for each idle connection, once started. */
  bytesPerConnection: number | null = null;

  /** `spin` as the program takes it: nanoseconds, or `default`. */
  constructor(id: string, idle: number, spin: string) {
    this.id = id;
    this.#idle = idle;
    this.#pair = bunRow(id, "earshot", "unix-sync.ts", spin, "epoll");
  }

  async start(seat: Seat): Promise<void> {
    await this.#pair.start(seat);
    if (this.#idle === 0) return;
    // What the first messages make a program grow by is none of the connections' doing.
    await this.#pair.round(settlePlan);
    const before = this.#privateBytes();
    const command = [program("hold"), this.#pair.path, String(this.#idle)];
    this.#holder = new Child(`${this.id} (holder)`, command, seat.driver);
    await this.#holder.ready();
    await this.#accepted();
    const after = this.#privateBytes();
    if (before !== null && after !== null) {
      this.bytesPerConnection = Math.round((after - before) / this.#idle);
    }
  }

  round(plan: Plan): Promise<Round> {
    return this.#pair.round(plan);
  }

  async stop(): Promise<void> {
    await this.#holder?.stop();
    await this.#pair.stop();
  }

  /** A holder is connected before the server has accepted it. */
  async #accepted(): Promise<void> {
    const until = performance.now() + acceptMillisecondsMax;
    while (this.#descriptors() <= this.#idle) {
      if (performance.now() > until) throw new Error(`${this.id}: not all were accepted`);
      await Bun.sleep(settleMilliseconds);
    }
    await this.#pair.round(settlePlan);
  }

  #descriptors(): number {
    const path = `/proc/${this.#pair.serverPid}/fd`;
    try {
      return readdirSync(path).length;
    } catch {
      return Number.POSITIVE_INFINITY; // no such list on this system: the round below will wait
    }
  }

  /** Memory that is the serving process's alone; the kernel's is not in it. */
  #privateBytes(): number | null {
    try {
      const rollup = readFileSync(`/proc/${this.#pair.serverPid}/smaps_rollup`, "utf8");
      const kibibytes = rollup.match(/^Private_Dirty:\s+(\d+) kB$/m)?.[1];
      return kibibytes === undefined ? null : Number(kibibytes) * 1024;
    } catch {
      return null;
    }
  }
}
