/** The process of a clone, as its owner has it. */

import { constants as system } from "node:os";
import type { Descriptor } from "../ipc/descriptor.ts";
import { IpcError } from "../native/errors.ts";
import { signalProcess } from "../native/zygote.ts";

/**
 * How a process ended: with a code, or by a signal; neither is known of one that outlived its zygote. The code 125 is also
 * that of a clone to which the system has refused the descriptors that it needs to begin.
 */
export type Exit = { code: number | null; signal: NodeJS.Signals | null };

export type Signal = NodeJS.Signals | number;

export class CloneProcess {
  readonly pid: number;
  /** Undefined where the system has none; closed when the process has ended. */
  readonly pidfd: Descriptor | undefined;
  readonly #exited = Promise.withResolvers<Exit>();
  #exit: Exit | undefined;
  /** Where there is no pidfd. */
  readonly #kill: ((signal: number) => void) | undefined;

  constructor(pid: number, pidfd: Descriptor | undefined, kill?: (signal: number) => void) {
    this.pid = pid;
    this.pidfd = pidfd;
    this.#kill = kill;
  }

  /** Never rejects. */
  get exited(): Promise<Exit> {
    return this.#exited.promise;
  }

  get exit(): Exit | undefined {
    return this.#exit;
  }

  /** False if it has ended. */
  kill(signal: Signal): boolean {
    const number = signalNumber(signal);
    if (this.#exit !== undefined) return false;
    if (this.pidfd !== undefined && !this.pidfd.closed)
      return signalProcess(this.pidfd.number, number);
    this.#kill?.(number);
    return this.#kill !== undefined;
  }

  /** It has ended. */
  ended(exit: Exit): void {
    if (this.#exit !== undefined) return;
    this.#exit = exit;
    this.pidfd?.close();
    this.#exited.resolve(exit);
  }
}

function signalNumber(signal: Signal): number {
  const number = typeof signal === "number" ? signal : system.signals[signal];
  if (Number.isInteger(number) && number >= 0) return number;
  throw new IpcError("EINVAL", `EINVAL: ${JSON.stringify(signal)} is no signal of this system`);
}

const names = new Map<number, NodeJS.Signals>(
  Object.entries(system.signals).map(([name, number]) => [number, name as NodeJS.Signals]),
);

export function signalName(number: number): NodeJS.Signals | null {
  return names.get(number) ?? null;
}

/** Sees that a process which does not end by itself does so in time. */
export function insist(process: CloneProcess, afterMs: number): void {
  if (process.exit !== undefined) return;
  const timer = setTimeout(() => process.kill("SIGKILL"), afterMs);
  timer.unref();
  void process.exited.then(() => clearTimeout(timer));
}
