/**
 * What goes wrong with the peers of a service, told a line each on stderr. A flood of it does not flood the terminal:
 * a second has room for so many lines, and for one more that counts the rest by reason.
 */

import { IpcError } from "../native/errors.ts";
import type { Reason } from "../native/layout.ts";
import type { Complain, Reports } from "../services/startable.ts";
import { saidOf } from "./command.ts";
import { printable, tell } from "./output.ts";

/** As many as one can read in that time. */
const linesMax = 10;
const windowMs = 1000;

/** How a connection ends when all is well. */
const orderly = new Set<Reason>(["closed", "peer_closed"]);

const explanations: Partial<Record<Reason, string>> = {
  peer_reset: "its process went away with answers unread",
  message_too_long: "it announced a message longer than allowed, or does not speak this protocol",
  truncated: "it went away in the middle of a message",
  stalled: "it stopped in the middle of a message",
  queue_limit: "it does not read, and the queue to it is full",
  not_allowed: "its user is not allowed",
  connections_limit: "there are as many connections as are allowed",
  descriptors_unasked: "it sent descriptors that nobody asked for",
  descriptor_limit: "no file descriptors are left; accepting goes on when there are some",
  out_of_memory: "there is no memory left",
};

export class Report {
  readonly #service: string;
  #lines = 0;
  #untold = new Map<string, number>();
  #window: ReturnType<typeof setTimeout> | undefined;

  constructor(service: string) {
    this.#service = service;
  }

  readonly handlers: Reports = {
    close: ({ peer }, { reason, errno, error }) => {
      if (orderly.has(reason)) return;
      this.#tell(`connection of ${who(peer)} ended: ${why(reason, errno, error)}`, reason);
    },
    trouble: (_service, { reason, errno, pid, uid, error }) => {
      const isRefusal =
        reason === "not_allowed" || reason === "connections_limit" || error !== undefined;
      const subject = isRefusal ? `refused ${who({ pid, uid })}` : "cannot accept";
      this.#tell(`${subject}: ${why(reason, errno, error)}`, reason);
    },
    error: (connection, error) => {
      // A message that came before its connection was closed is not answered any more.
      if (!connection.open) return;
      const text = error instanceof IpcError ? saidOf(error) : String(error);
      this.#tell(`could not answer ${who(connection.peer)}, and closed: ${text}`, "unanswered");
      void connection.close();
    },
  };

  readonly complain: Complain = (who, what, kind) => this.#tell(`${who}: ${what}`, kind);

  #tell(text: string, reason: string): void {
    if (this.#lines >= linesMax) {
      this.#untold.set(reason, (this.#untold.get(reason) ?? 0) + 1);
      return;
    }
    this.#lines += 1;
    this.#print(text);
    this.#window ??= setTimeout(() => this.close(), windowMs);
    // A report is no reason to go on.
    this.#window.unref();
  }

  /** Tells the count of what was not told. */
  close(): void {
    clearTimeout(this.#window);
    this.#window = undefined;
    this.#lines = 0;
    if (this.#untold.size === 0) return;
    const counts = [...this.#untold].map(([reason, count]) => `${count} ${reason}`);
    this.#untold.clear();
    this.#print(`and more of the same: ${counts.join(", ")}`);
  }

  #print(text: string): void {
    tell(2, `${this.#service}: ${printable(text)}\n`);
  }
}

function who({ pid, uid }: { pid: number; uid: number }): string {
  return pid === 0 ? `a process of user ${uid}` : `process ${pid} (user ${uid})`;
}

function why(reason: Reason, errno: number, error?: IpcError): string {
  if (error !== undefined) return `${saidOf(error)} (${reason})`;
  const text = explanations[reason];
  if (text !== undefined) return `${text} (${reason})`;
  return errno === 0 ? reason : `${reason}, errno ${errno}`;
}
