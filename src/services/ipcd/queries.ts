/**
 * Answers statements about the ledger, one after the other, each in a process of its own (`query-process.ts`) that
 * gets a copy, so that none is in the way of a lookup, however long it takes or whatever it does.
 */

import { join } from "node:path";
import { timerMsMax } from "../../ipc/numbers.ts";
import type { QueryTask } from "./query-answer.ts";
import { refusal } from "./query-answer.ts";
import { statementBytesMax, statementFault } from "./statement.ts";

/** Rows of an answer, and bytes of their JSON: what a terminal may show and a message well hold. */
export const rowsMax = 10_000;
export const rowsBytesMax = 4 * 1024 * 1024;
/** The columns, and what is around the rows. */
export const answerBytesMax = 2 * rowsBytesMax;
export const queryTimeoutMs = 5000;
/** That wait while one is answered; more are refused. */
export const waitingMax = 16;
/** What the process may have of memory, as far as the system bounds it. Bun itself takes 270 MiB by this measure. */
const memoryKib = 1024 * 1024;

const program = join(import.meta.dir, "query-process.ts");
/** It writes no file, and whatever becomes of ipcd, it has an end: by its CPU time if by nothing else. */
const bounded = (seconds: number) =>
  `ulimit -t ${seconds}; ulimit -d ${memoryKib}; ulimit -f 0; exec "$@"`;

export class Queries {
  readonly #copy: () => Uint8Array;
  readonly #timeoutMs: number;
  readonly #over = new AbortController();
  #last: Promise<unknown> = Promise.resolve();
  #waiting = 0;

  /** `copy` gives the bytes of the database as it is. */
  constructor(copy: () => Uint8Array, timeoutMs = queryTimeoutMs) {
    this.#copy = copy;
    this.#timeoutMs = Math.min(timeoutMs, timerMsMax);
  }

  /** Resolves with a `QueryAnswer` or `QueryRefusal` as JSON, in the order of asking; never rejects. */
  ask(statement: string, signal: AbortSignal): Promise<string> {
    const fault =
      statement.length > statementBytesMax
        ? `a statement is no longer than ${statementBytesMax}`
        : statementFault(statement);
    // In its turn, since answers come in order.
    const isCrowded = fault === undefined && this.#waiting >= waitingMax;
    const text = isCrowded ? `${waitingMax} others wait; try again` : fault;
    const answer = text === undefined ? () => this.#run(statement, signal) : () => deny(text);
    this.#waiting += 1;
    const turn = this.#last.then(answer).catch((error: unknown) => deny(String(error)));
    this.#last = turn.then(() => {
      this.#waiting -= 1;
    });
    return turn;
  }

  /** Ends what runs, and resolves when it has ended. */
  async close(): Promise<void> {
    this.#over.abort();
    await this.#last;
  }

  async #run(statement: string, signal: AbortSignal): Promise<string> {
    const over = AbortSignal.any([signal, this.#over.signal]);
    if (over.aborted) return deny("nobody waits for it any more");
    const task: QueryTask = { statement, rowsMax, rowsBytesMax };
    const child = Bun.spawn({
      cmd: [
        ...["/bin/sh", "-c", bounded(Math.ceil(this.#timeoutMs / 1000) + 1), "sh"],
        ...[process.execPath, program],
      ],
      // Nothing of what is ipcd's is any of its business, settings in ipcd's folder included.
      env: {},
      cwd: import.meta.dir,
      stdin: Buffer.concat([Buffer.from(`${JSON.stringify(task)}\n`), this.#copy()]),
      stdout: "pipe",
      stderr: "ignore",
    });
    let isLate = false;
    const kill = () => child.kill("SIGKILL");
    const timer = setTimeout(() => {
      isLate = true;
      kill();
    }, this.#timeoutMs);
    over.addEventListener("abort", kill);
    try {
      const [text, code] = await Promise.all([child.stdout.text(), child.exited]);
      if (code === 0) return text;
      return deny(
        isLate
          ? `it took longer than ${this.#timeoutMs} ms; narrow it down, or give ipcd another --query-timeout`
          : `the process that was to answer has ended (${child.signalCode ?? code}); it may have needed too much memory`,
      );
    } finally {
      clearTimeout(timer);
      over.removeEventListener("abort", kill);
    }
  }
}

function deny(error: string): string {
  return JSON.stringify(refusal(error));
}
