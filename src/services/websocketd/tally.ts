/**
 * What websocketd counts. One that listens tells two figures of this moment as well: `open`, and `bytes_held`, which is
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
  "refused_400",
  "refused_403",
  "refused_404",
  "refused_405",
  "refused_426",
  "refused_503",
  "pages",
  /** From remotes to services, and back. */
  "messages_in",
  "bytes_in",
  "messages_out",
  "bytes_out",
  /** Messages that went as binary to remotes that had asked for text, since they are no UTF-8. */
  "not_text",
  /** How often the one waited for the other. */
  "remote_pauses",
  "service_pauses",
  /** How often a remote had to wait for the others, since it had said so much. */
  "remote_turns",
  /** Remotes that were closed, and why. */
  "violations",
  "unanswered",
  "over_held",
  "idle",
  "service_gone",
  "lost",
  /** What clients were led to, `…In` from them and `…Out` to them: the rest of it is counted as lookups. */
  "outward_messages_in",
  "outward_bytes_in",
  "outward_messages_out",
  "outward_bytes_out",
  /** How often the one waited for the other. */
  "outward_remote_pauses",
  "outward_client_pauses",
  /** How often one had to wait for the others. */
  "outward_remote_turns",
  /** How they ended: the client closed, or broke off; the remote closed, or with a complaint, or was lost. */
  "outward_client_closed",
  "outward_client_failed",
  "outward_remote_closed",
  "outward_remote_failed",
  "outward_remote_lost",
  /** The daemon ended it: a message was too long, a ping was not answered. */
  "outward_too_long",
  "outward_unanswered",
] as const;

export type Tally = Counters<(typeof names)[number] | LookupCount>;

export function newTally(): Tally {
  return new Counters([...names, ...lookupCounts]);
}
