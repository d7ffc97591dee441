/**
 * What websocketd counts. One that listens tells two figures of this moment as well: `open`, and `bytesHeld`, which is
 * what waits for its remotes and their services together, as `--held-max` has it.
 */

import { Counters } from "../daemon/counters.ts";
import type { LookupCount } from "../daemon/lookups.ts";
import { lookupCounts } from "../daemon/lookups.ts";

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
  /** How often a remote had to wait for the others, since it had said so much. */
  "remoteTurns",
  /** Remotes that were closed, and why. */
  "violations",
  "unanswered",
  "overHeld",
  "idle",
  "serviceGone",
  "lost",
  /** What clients were led to, `…In` from them and `…Out` to them: the rest of it is counted as lookups. */
  "outwardMessagesIn",
  "outwardBytesIn",
  "outwardMessagesOut",
  "outwardBytesOut",
  /** How often the one waited for the other. */
  "outwardRemotePauses",
  "outwardClientPauses",
  /** How they ended: the client closed, or broke off; the remote closed, or with a complaint, or was lost. */
  "outwardClientClosed",
  "outwardClientFailed",
  "outwardRemoteClosed",
  "outwardRemoteFailed",
  "outwardRemoteLost",
  /** The daemon ended it: a message was too long, a ping was not answered. */
  "outwardTooLong",
  "outwardUnanswered",
] as const;

export type Tally = Counters<(typeof names)[number] | LookupCount>;

export function newTally(): Tally {
  return new Counters([...names, ...lookupCounts]);
}
