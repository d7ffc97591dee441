/** `connect`: find a service by name, and find it again if asked to. */

import { setTimeout as sleep } from "node:timers/promises";
import { Connection } from "./connection.ts";
import type { ConnectOptions as NativeOptions } from "./context.ts";
import { busy, busyRetryMs } from "./context.ts";
import type { Descriptor } from "./descriptor.ts";
import { dial } from "./dial.ts";
import { isElsewhere } from "./elsewhere.ts";
import type { ClientHandlers, End } from "./handlers.ts";
import type { InternetAddress } from "./internet-address.ts";
import { fullLimits } from "./limits.ts";
import { lookUp } from "./look-up.ts";
import { loop } from "./loop.ts";
import { patience, timerMsMax, within } from "./numbers.ts";

/** How a service that is gone is looked for. Times in milliseconds. */
export type Reconnect = {
  /** Before the first look, and doubled after each. Default 10. */
  first?: number | undefined;
  /** The longest time between two. Default 2000. */
  most?: number | undefined;
  /** After so many the connection ends. Default: never. */
  attempts?: number | undefined;
};

export type ConnectOptions = NativeOptions &
  ClientHandlers & {
    signal?: AbortSignal | undefined;
    /**
     * Look for the service again when it is gone. Messages sent meanwhile are kept, up to `queueBytesMax`; requests
     * that were waiting are rejected, and `reconnected` is told what was lost.
     */
    reconnect?: boolean | Reconnect | undefined;
    /** Goes on with a connection that was made elsewhere, and takes it over, instead of making one. */
    descriptor?: number | Descriptor | undefined;
    /** Makes a TCP connection there instead of a local one to its name. `timeout` bounds how long that may take. */
    address?: InternetAddress | undefined;
  };

type Persistence = { first: number; most: number; attempts: number };

/** Undefined if the service is not to be looked for again. */
function persistence(reconnect: boolean | Reconnect = false): Persistence | undefined {
  if (reconnect === false) return undefined;
  const given = reconnect === true ? {} : reconnect;
  return {
    first: patience("reconnect.first", given.first ?? 10) ?? timerMsMax,
    most: patience("reconnect.most", given.most ?? 2000) ?? timerMsMax,
    attempts: within("reconnect.attempts", given.attempts ?? Infinity, 0, Infinity),
  };
}

/**
 * Connects to the service `name`. Rejects with ENOENT if nobody serves it, ECONNREFUSED if its owner is gone.
 *
 * @example
 * const pong = await connect("pong");
 * console.log((await pong.request("hello")).text());
 * await pong.close();
 */
export async function connect(name: string, options: ConnectOptions = {}): Promise<Connection> {
  const connection = new Connection(name, options, fullLimits(options));
  const how = persistence(options.reconnect);
  const { signal } = options;
  const handle = await reach(name, options);
  if (signal?.aborted === true) {
    loop().turnAway(handle);
    throw signal.reason;
  }
  const over = new AbortController();
  if (how !== undefined) {
    connection.onLost = (end) => {
      void findAgain(connection, options, how, end, over.signal);
      return true;
    };
  }
  const abort = () => void connection.close();
  signal?.addEventListener("abort", abort);
  connection.onEnded = () => {
    signal?.removeEventListener("abort", abort);
    over.abort();
  };
  connection.attach(handle, loop().context.peer(handle));
  connection.opened();
  return connection;
}

function reach(name: string, options: ConnectOptions): Promise<number> {
  const { address, descriptor } = options;
  if (descriptor !== undefined) return Promise.resolve(adopt(descriptor, options));
  if (address !== undefined) return dial(name, address, options);
  return isElsewhere(name, options) ? lead(name, options) : find(name, options);
}

function adopt(descriptor: number | Descriptor, options: ConnectOptions): number {
  return loop().context.adoptAs("connection", descriptor, options);
}

/** A handle of what ipcd leads to. */
async function lead(name: string, options: ConnectOptions): Promise<number> {
  using found = await lookUp(connect, name, options);
  return adopt(found, options);
}

/** A handle; waits while the service has no room for another connection. */
async function find(name: string, options: ConnectOptions): Promise<number> {
  const until = performance.now() + (patience("timeout", options.timeout ?? 5000) ?? Infinity);
  while (true) {
    options.signal?.throwIfAborted();
    const handle = loop().context.tryConnect(name, options);
    if (handle !== undefined) return handle;
    if (performance.now() >= until) throw busy(name);
    await sleep(busyRetryMs);
  }
}

/** Looks for the service, less and less often, until it is there, the connection was closed, or it is given up. */
async function findAgain(
  connection: Connection,
  options: ConnectOptions,
  how: Persistence,
  end: End,
  over: AbortSignal,
): Promise<void> {
  let pause = how.first;
  for (let attempt = 0; attempt < how.attempts; attempt++) {
    // Not all clients of a service that comes back are to come in the same moment.
    // A pause that nobody waits for any more is not to hold the process.
    await sleep(pause * (0.5 + Math.random() / 2), undefined, { signal: over }).catch(
      () => undefined,
    );
    if (!connection.open) return;
    const handle = await tryAgain(connection.service, { ...options, signal: over });
    if (handle !== undefined && !connection.open) {
      loop().turnAway(handle);
    } else if (handle !== undefined) {
      connection.attach(handle, loop().context.peer(handle));
      connection.reconnected(end.lost);
      return;
    }
    pause = Math.min(pause * 2, how.most);
  }
  connection.finish(end);
}

/** Whatever is wrong now may be right the next time. */
async function tryAgain(name: string, options: ConnectOptions): Promise<number | undefined> {
  try {
    const isHere = options.address === undefined && !isElsewhere(name, options);
    if (isHere) return loop().context.tryConnect(name, options);
    // What it went on with is used up.
    return await reach(name, { ...options, descriptor: undefined });
  } catch {
    return undefined;
  }
}
