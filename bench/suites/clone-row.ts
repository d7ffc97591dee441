/** Rows of processes: each trip begins with none, and ends with the first answer of one that is warm. */

import { join } from "node:path";
import type { Clone } from "../../src/zygote/index.ts";
import { Zygote } from "../../src/zygote/index.ts";
import type { Kind, Plan, Round, Row } from "../row.ts";

const folder = join(import.meta.dir, "..", "rows");
const key = "key 77";
const answer = "77";

abstract class TripRow implements Row {
  abstract readonly id: string;
  abstract readonly kind: Kind;

  abstract start(): Promise<void>;
  abstract stop(): Promise<void>;
  /** One trip, and what comes after it. Returns nanoseconds of the first alone. */
  protected abstract trip(): Promise<number>;

  async round({ milliseconds }: Plan): Promise<Round> {
    const until = Bun.nanoseconds() + milliseconds * 1e6;
    const samples: number[] = [];
    do samples.push(await this.trip());
    while (Bun.nanoseconds() < until);
    const nanoseconds = samples.reduce((sum, sample) => sum + sample, 0);
    return { nanoseconds, count: samples.length, samples };
  }
}

export class CloneRow extends TripRow {
  readonly id: string;
  readonly kind = "earshot";
  readonly #standby: number;
  #zygote: Zygote | undefined;

  constructor(id: string, standby = 0) {
    super();
    this.id = id;
    this.#standby = standby;
  }

  get zygote(): Zygote {
    return this.#zygote!;
  }

  async start(): Promise<void> {
    const module = join(folder, "warm-state.ts");
    this.#zygote = await Zygote.start({ module, mode: "fork", standby: this.#standby });
  }

  protected async trip(): Promise<number> {
    if (this.#standby > 0) await this.#settled();
    const begin = Bun.nanoseconds();
    const clone = await this.zygote.clone();
    await ask(clone);
    const nanoseconds = Bun.nanoseconds() - begin;
    await clone.close();
    return nanoseconds;
  }

  /** All that are made ahead are there, and have come to rest. */
  async #settled(): Promise<void> {
    while (this.zygote.statistics.standby < this.#standby) await Bun.sleep(1);
    await Bun.sleep(settleMilliseconds);
  }

  async stop(): Promise<void> {
    await this.#zygote?.close();
  }
}

const settleMilliseconds = 10;

/** Clones that are made, asked once, and ended, a few at a time: how many a second. */
export class ChurnRow extends CloneRow {
  override async round({ milliseconds }: Plan): Promise<Round> {
    const begin = Bun.nanoseconds();
    let count = 0;
    const worker = async () => {
      while (Bun.nanoseconds() - begin < milliseconds * 1e6) {
        await this.trip();
        count += 1;
      }
    };
    await Promise.all(Array.from({ length: atOnce }, worker));
    return { nanoseconds: Bun.nanoseconds() - begin, count, samples: [] };
  }
}

const atOnce = 4;

export class SpawnRow extends TripRow {
  readonly id = "spawn-warm";
  readonly kind = "peer";

  start(): Promise<void> {
    return Promise.resolve();
  }

  protected async trip(): Promise<number> {
    const begin = Bun.nanoseconds();
    const cmd = [process.execPath, join(folder, "spawn-warm.ts")];
    const program = Bun.spawn({ cmd, stdin: "pipe", stdout: "pipe" });
    void program.stdin.write(`${key}\n`);
    void program.stdin.flush();
    const reader = program.stdout.getReader();
    const { value } = await reader.read();
    const nanoseconds = Bun.nanoseconds() - begin;
    check(new TextDecoder().decode(value).trim());
    void program.stdin.end();
    await program.exited;
    return nanoseconds;
  }

  stop(): Promise<void> {
    return Promise.resolve();
  }
}

export async function ask(clone: Clone): Promise<void> {
  check((await clone.connection.request(key)).text());
}

function check(text: string): void {
  if (text !== answer) throw new Error(`a process answered "${text}" instead of "${answer}"`);
}
