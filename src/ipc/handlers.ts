/** What the owner of a service or connection wants to be told. */

import type { IpcError } from "../native/errors.ts";
import type { Reason } from "../native/layout.ts";
import type { Connection } from "./connection.ts";
import type { Message } from "./message.ts";

/** Why and how a connection ended. */
export type End = {
  /** `closed`: by this side; `peer_closed`: by the other, in order; anything else went wrong. */
  reason: Reason;
  /** The system's error number, 0 if it had no part in it. */
  errno: number;
  /** What was wrong, in words, where the reason alone does not tell: with a seal that was broken, for one. */
  error?: IpcError | undefined;
  lost: Lost;
};

/** What did not get through. What the kernel had taken and the peer never read is not known, and not counted. */
export type Lost = {
  /** Messages that this side had taken to send, and their bytes on the wire. */
  messages: number;
  bytes: number;
  /** Requests whose answer never came. */
  requests: number;
};

type Result = void | Promise<void>;

/**
 * All are optional, and may be asynchronous. What one throws goes to `error`, or where uncaught errors go if there is
 * none; nobody else is disturbed.
 */
export type Handlers = {
  /** A connection is there. */
  open?: ((connection: Connection) => Result) | undefined;
  /** A message arrived. Its bytes are a view, good until the handler returns or first awaits; `copy()` keeps them. */
  message?: ((connection: Connection, message: Message) => Result) | undefined;
  /** `send` had said false, and may now be called again. */
  drain?: ((connection: Connection) => Result) | undefined;
  /** A connection has ended; nothing comes after. */
  close?: ((connection: Connection, end: End) => Result) | undefined;
  /** A handler threw. */
  error?: ((connection: Connection, error: unknown) => Result) | undefined;
};

/** Those of a client, which can lose its service and find it again. */
export type ClientHandlers = Handlers & {
  /** With `reconnect`: the service is gone, and is being looked for. */
  disconnected?: ((connection: Connection, end: End) => Result) | undefined;
  /** With `reconnect`: it is there again. `lost` is what did not get through. */
  reconnected?: ((connection: Connection, lost: Lost) => Result) | undefined;
};
