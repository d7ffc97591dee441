/** What a context, a service or a connection has done so far. */

import type { Reason } from "../native/layout.ts";
import { reasons, Statistics as StatisticsLayout } from "../native/layout.ts";
import type { Struct } from "../native/struct.ts";

export type Statistics = {
  messagesReceived: number;
  /** Messages that are with the kernel. */
  messagesSent: number;
  /** Bytes on the wire: payloads and their headers. */
  bytesReceived: number;
  bytesSent: number;
  /** Bytes taken to be sent that are not with the kernel yet. */
  queuedBytes: number;
  /** Messages that were taken to be sent, and whose connection ended first. */
  messagesLost: number;
  connectionsAccepted: number;
  connectionsMade: number;
  connectionsOpen: number;
  /** Descriptors held: of connections, services, locks, the poller and the waiting thread; external ones are not. */
  descriptors: number;
  /** How many connections ended or were refused, and what else went wrong, by reason. */
  reasons: Partial<Record<Reason, number>>;
};

export function readStatistics(record: Struct<typeof StatisticsLayout>): Statistics {
  const [offset, bytes] = StatisticsLayout.fields.reasons;
  const counts = new BigUint64Array(record.bytes.slice(offset, offset + bytes).buffer);
  const counted = reasons
    .map((reason, number) => [reason, Number(counts[number])] as const)
    .filter(([, count]) => count > 0);
  return {
    messagesReceived: record.get("messages_received"),
    messagesSent: record.get("messages_sent"),
    bytesReceived: record.get("bytes_received"),
    bytesSent: record.get("bytes_sent"),
    queuedBytes: record.get("queued_bytes"),
    messagesLost: record.get("messages_lost"),
    connectionsAccepted: record.get("connections_accepted"),
    connectionsMade: record.get("connections_made"),
    connectionsOpen: record.get("connections_open"),
    descriptors: record.get("descriptors"),
    reasons: Object.fromEntries(counted),
  };
}

/** Figures of what has done nothing. */
export function noStatistics(): Statistics {
  return {
    messagesReceived: 0,
    messagesSent: 0,
    bytesReceived: 0,
    bytesSent: 0,
    queuedBytes: 0,
    messagesLost: 0,
    connectionsAccepted: 0,
    connectionsMade: 0,
    connectionsOpen: 0,
    descriptors: 0,
    reasons: {},
  };
}

/** Those of several together. */
export function sumOf(all: Iterable<Statistics>): Statistics {
  const sum = noStatistics();
  for (const { reasons: counts, ...figures } of all) {
    for (const [name, figure] of Object.entries(figures))
      sum[name as keyof typeof figures] += figure;
    for (const [reason, count] of Object.entries(counts))
      sum.reasons[reason as Reason] = (sum.reasons[reason as Reason] ?? 0) + count;
  }
  return sum;
}
