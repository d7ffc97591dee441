/**
 * A connection of bytes goes on as one of messages, when what its ends had to say to each other first has been said, as
 * in a lookup behind its `ok`.
 */

import { connect } from "../../ipc/connect.ts";
import type { Connection } from "../../ipc/connection.ts";
import type { ConnectOptions } from "../../ipc/context-options.ts";
import type { ClientHandlers } from "../../ipc/handlers.ts";

/**
 * The same socket with messages on it. `raw` is over for its owner; what was sent on it is with the kernel, and so comes
 * first. Rejects with EBUSY if the kernel has not taken that, and ECLOSED if it has ended; then it goes on as it was.
 *
 * The other end says nothing before it has read what was sent last, and all that is done here is done before anything
 * is read again: so no byte of a message is ever read by the wrong one of the two.
 */
export async function goOnFramed(
  raw: Connection,
  options: ConnectOptions & ClientHandlers,
): Promise<Connection> {
  const [copy] = raw.copies();
  // It adopts the copy at once. Its peer is the same, and so is the name.
  const framed = connect(raw.service, { ...options, raw: false, descriptor: copy! });
  void raw.close({ now: true });
  try {
    return await framed;
  } catch (error) {
    copy!.close();
    throw error;
  }
}
