/** What websocketd counts. */

import { Counters } from "../daemon/counters.ts";

const names = [
  /** Remotes that were let in, and how many are here now. */
  "accepted",
  "open",
  /** Requests that were not let in, by their status. */
  "refused400",
  "refused403",
  "refused404",
  "refused405",
  "refused426",
  "refused503",
  "pages",
  /** From remotes to services, and back. */
  "messagesIn",
  "bytesIn",
  "messagesOut",
  "bytesOut",
  /** Messages that went as binary to remotes that had asked for text, since they are no UTF-8. */
  "notText",
  /** How often the one waited for the other. */
  "remotePauses",
  "servicePauses",
  /** Remotes that were closed, and why. */
  "violations",
  "unanswered",
  "idle",
  "serviceGone",
  "lost",
] as const;

export type Tally = Counters<(typeof names)[number]>;

export function newTally(): Tally {
  return new Counters(names);
}
