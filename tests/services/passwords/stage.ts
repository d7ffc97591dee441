/** The service `passwords` in a process of its own, its clients, and all processes that come of it. */

import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import type { Descriptor } from "../../../src/index.ts";
import { connect } from "../../../src/index.ts";
import { Passwords, PasswordsError } from "../../../src/services/passwords/client.ts";
import { helloBytes } from "../../../src/services/passwords/format.ts";
import { startService } from "../../kit/command.ts";
import { DaemonStage } from "../../kit/daemon-stage.ts";
import { until } from "../../kit/until.ts";

export const bytes = (text: string) => new Uint8Array(Buffer.from(text));
export const text = (value: Uint8Array) => Buffer.from(value).toString();

/** What a client waits for at most, so that a test fails where it would hang. */
const timeout = 30_000;

export class PasswordsStage extends DaemonStage {
  /** Starts it by a line of shell, in which its command is `"$@"`. Resolves when it listens. */
  async startIn(shell: string, ...words: string[]): Promise<void> {
    this.daemon = await startService(["passwords", ...words], { rundir: this.scratch.path, shell });
  }

  open(): Promise<Passwords> {
    // Where another user serves, its run directory is everybody's.
    return Passwords.open({ rundir: this.scratch.path, shared: true, timeout });
  }

  /** The two pipes of a copy: to read its answers from, and to write to. */
  async pipes(): Promise<[from: Descriptor, to: Descriptor]> {
    const connection = await connect("passwords", {
      rundir: this.scratch.path,
      descriptors: { max: 2 },
    });
    const { descriptors } = await connection.request(helloBytes, { timeout });
    await connection.close({ now: true });
    const [from, to] = descriptors;
    return [from!, to!];
  }

  /** The zygote of the service. */
  get zygote(): number {
    const [pid] = childrenOf(this.daemon.pid);
    return pid!;
  }

  /** Waits until there are so many copies, and no more. */
  async hasCopies(count: number): Promise<void> {
    await until(
      () => `there are ${count} copies; there are ${this.copies().length}`,
      () => this.copies().length === count,
    );
  }

  /** Waits until its counters say so: it learns of an end a moment after it. */
  async counts(wanted: Record<string, number>): Promise<void> {
    let counters: Record<string, number> = {};
    await until(
      () => `the counters have ${JSON.stringify(wanted)}: ${JSON.stringify(counters)}`,
      async () => {
        counters = await this.counters();
        return Object.entries(wanted).every(([name, count]) => counters[name] === count);
      },
    );
  }

  /** The processes of all copies. Those whose zygote was killed belong to nobody. */
  copies(): number[] {
    return family(this.daemon.pid).filter(
      (pid) => pid !== this.daemon.pid && pid !== this.zygote && isRunning(pid),
    );
  }
}

export async function started(...words: string[]): Promise<PasswordsStage> {
  return await new PasswordsStage().start("passwords", ...words);
}

/** What went wrong with a call, in the word that the format has for it. */
export async function statusOf(act: () => unknown): Promise<string> {
  try {
    await act();
  } catch (error) {
    if (error instanceof PasswordsError) return error.status;
    throw error;
  }
  return "done";
}

export function childrenOf(pid: number): number[] {
  try {
    return readdirSync(`/proc/${pid}/task`)
      .flatMap((task) => readFileSync(`/proc/${pid}/task/${task}/children`, "utf8").split(" "))
      .filter((found) => found !== "")
      .map(Number);
  } catch {
    // It has ended meanwhile.
    return [];
  }
}

/** The process, its children, and theirs. */
export function family(pid: number): number[] {
  return [pid, ...childrenOf(pid).flatMap(family)];
}

export function isRunning(pid: number): boolean {
  try {
    return !/^State:\s*Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}

/** All processes that run this service's module, whoever their parent is. */
export function processesIn(rundir: string): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        const environment = readFileSync(`/proc/${pid}/environ`, "utf8");
        const command = readFileSync(`/proc/${pid}/cmdline`, "utf8");
        const isOurs = environment.includes(`EARSHOT_RUNDIR=${rundir}\0`);
        return isOurs && /passwords|zygote/.test(command) && isRunning(pid);
      } catch {
        return false;
      }
    });
}

/** What a process has open, by what it is: pipes and sockets without their numbers. */
export function openOf(pid: number): string[] {
  return readdirSync(`/proc/${pid}/fd`)
    .map((number) => {
      try {
        return readlinkSync(`/proc/${pid}/fd/${number}`).replace(/:\[\d+\]$/, "");
      } catch {
        return "";
      }
    })
    .filter((what) => what !== "")
    .sort();
}
