/** What a channel that sealed messages go over has to be made with, and may carry once it is agreed on how to seal. */

import type { FullLimits, Limits } from "../ipc/limits.ts";
import { constants } from "../native/layout.ts";
import { tagBytes } from "../native/seal.ts";
import { helloBytesMax, strangerBytesMax } from "./hello.ts";

/** No more fits into the numbers of the limits. */
const unboundedBytes = 2 ** 40;
const unboundedConnections = 2 ** 31 - 1;

/** How long the messages of the channel beneath may be once it is agreed on how to seal. */
export function recordBytesMax({ messageBytesMax }: FullLimits): number {
  const longest = Math.max(messageBytesMax + tagBytes, helloBytesMax);
  return Math.min(longest, constants.message_bytes_limit);
}

/**
 * What the channel beneath has to be made with, until then. Its queue is bounded here: a record that it refused would be
 * missing at the other end. And so are those who come: strangers take no place of those who are known.
 */
export function strangerLimits({ queueBytesHigh, ...limits }: FullLimits): Limits {
  return {
    messageBytesMax: strangerBytesMax,
    connectionsMax: unboundedConnections,
    queueBytesHigh,
    queueBytesMax: unboundedBytes,
    queuePolicy: "close",
    stallTimeout: limits.stallTimeout,
    drainTimeout: limits.drainTimeout,
    descriptors: undefined,
  };
}
