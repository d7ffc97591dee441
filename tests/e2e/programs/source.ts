/**
 * Sends every message back, as pong does; and to all whose message was `subscribe` as many numbered messages as it is
 * asked to, with or without heed of what `send` says.
 */

import type { Connection } from "../../../src/index.ts";
import { IpcError } from "../../../src/index.ts";
import { numbered } from "../numbered.ts";
import { play } from "./subject.ts";

export type Pour = {
  count: number;
  /** Of each message. */
  bytes: number;
  /** Whether to stop at false, and to go on when the drain handler is called. */
  heeding: boolean;
};

/** What became of the messages to one subscriber. */
export type Poured = {
  taken: number;
  refused: number;
  /** How often `send` returned false. */
  fulls: number;
  drains: number;
  /** Bytes that were queued at most. */
  queuedBytes: number;
};

const subscribers = new Map<Connection, Poured>();
let order: Pour = { count: 0, bytes: 0, heeding: true };

/** Returns whether there is room for more. */
function sendNext(connection: Connection, poured: Poured): boolean {
  try {
    const isRoom = connection.send(numbered(poured.taken, order.bytes));
    poured.taken += 1;
    poured.queuedBytes = Math.max(poured.queuedBytes, connection.queuedBytes);
    if (!isRoom) poured.fulls += 1;
    return isRoom;
  } catch (error) {
    // ENOBUFS: it was refused; ECLOSED: it was one too many, and there is nobody to send to any more.
    if (!(error instanceof IpcError)) throw error;
    if (error.code === "ENOBUFS") poured.refused += 1;
    else if (error.code !== "ECLOSED") throw error;
    return false;
  }
}

function sendWhileThereIsRoom(connection: Connection, poured: Poured): void {
  while (poured.taken < order.count && sendNext(connection, poured));
}

/** Queues the first message for everybody, then the second, and so on. */
function sendRegardless(): void {
  for (let number = 0; number < order.count; number++) {
    for (const [connection, poured] of subscribers) {
      if (connection.open) sendNext(connection, poured);
    }
  }
}

await play({
  message(connection, message) {
    if (message.text() === "subscribe") {
      subscribers.set(connection, { taken: 0, refused: 0, fulls: 0, drains: 0, queuedBytes: 0 });
    }
    connection.send(message.bytes);
  },
  drain(connection) {
    const poured = subscribers.get(connection)!;
    poured.drains += 1;
    if (order.heeding) sendWhileThereIsRoom(connection, poured);
  },
  commands: {
    pour(given: Pour) {
      order = given;
      if (!order.heeding) sendRegardless();
      else for (const [connection, poured] of subscribers) sendWhileThereIsRoom(connection, poured);
    },
    poured: () => [...subscribers.values()],
  },
});
