/** `connect`: find a service by name, and find it again if asked to. */

import { setTimeout as sleep } from "node:timers/promises";
import { IpcError } from "../native/errors.ts";
import type { Carrier, Channel } from "./channel.ts";
import { Connection } from "./connection.ts";
import { busy, busyRetryMs } from "./context.ts";
import type { ConnectOptions as NativeOptions } from "./context-options.ts";
import { Deadline } from "./deadline.ts";
import type { Descriptor } from "./descriptor.ts";
import { dial } from "./dial.ts";
import { isElsewhere, lookUpTimeoutMs } from "./elsewhere.ts";
import type { ClientHandlers, End } from "./handlers.ts";
import type { InternetAddress } from "./internet-address.ts";
import { fullLimits } from "./limits.ts";
import { lookUp } from "./look-up.ts";
import { loop } from "./loop.ts";
import { NativeChannel } from "./native-channel.ts";
import { patience, textOf, timerMsMax, within } from "./numbers.ts";
import type { Caller, ClientSeal } from "./seal.ts";
import { checkSealable, seals } from "./seal.ts";
import type { RingOption } from "./transport.ts";
import { isInMemory, memory } from "./transport.ts";

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
    /**
     * What the messages go through: `"unix"`, a socket; or `"memory"`, memory that both sides share, far faster, where the
     * service offers it (`memory: true` of `serve`). Default: memory if it is offered and can be had, else a socket.
     */
    transport?: "unix" | "memory" | undefined;
    /** How large the rings in shared memory are to be; the service may give less. Default 1 MiB each. */
    ring?: RingOption | undefined;
    /** Makes a TCP connection there instead of a local one to its name. `timeout` bounds how long that may take. */
    address?: InternetAddress | undefined;
    /**
     * Seals what is sent, both ways, from end to end: nobody in between sees or changes anything, be it a daemon or
     * another machine. The service has to be served with a seal as well, and each end has to know the other's public
     * key. `timeout` bounds how long it may take to find the service and to agree, together; without one, 5 s are for
     * finding it (35 s where ipcd is asked), of which no more than 5 s are for agreeing.
     */
    seal?: ClientSeal | undefined;
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
 * Connects to the service `name`. Rejects with ENOENT if nobody serves it, ECONNREFUSED if its owner is gone; with a seal
 * also if the service has another key or does not allow this one, with an error that says what was wrong.
 *
 * @example
 * const pong = await connect("pong");
 * console.log((await pong.request("hello")).text());
 * await pong.close();
 */
export async function connect(name: string, options: ConnectOptions = {}): Promise<Connection> {
  const connection = unattached(name, options);
  const how = persistence(options.reconnect);
  const { signal } = options;
  const channel = await reach(name, options);
  if (signal?.aborted === true) {
    channel.close(true);
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
  connection.attach(channel);
  connection.opened();
  return connection;
}

/** @internal All of a connection but its socket, which `attachSocket` brings: for a process that is forked between the two. */
export function unattached(name: string, options: ConnectOptions): Connection {
  return new Connection(name, options, fullLimits(options));
}

/**
 * @internal Has it go on with a socket that was made elsewhere, in the open; nobody is told yet that it is there (`opened`),
 * so that what is sent first is not what a handler sends.
 */
export function attachSocket(
  connection: Connection,
  descriptor: number | Descriptor,
  options: ConnectOptions,
): void {
  connection.attach(adopt(descriptor, options));
}

/** Where the kernel makes it by itself: it has no room, or somebody is slow to agree. */
const timeoutMs = 5000;
/** A few times what a handshake takes, so that others get through; more or less, for not all are to come back at once. */
const crowdedRetryMs = 20;

/** All that it takes together, from now on. */
function deadlineOf(name: string, options: ConnectOptions): Deadline {
  const { address, descriptor, timeout } = options;
  const isHere = address !== undefined || descriptor !== undefined || !isElsewhere(name, options);
  return new Deadline(timeout ?? (isHere ? timeoutMs : lookUpTimeoutMs));
}

async function reach(name: string, options: ConnectOptions): Promise<Channel> {
  textOf("name", name);
  checkSealable(name, options);
  const deadline = deadlineOf(name, options);
  const caller = await callerOf(name, options);
  while (true) {
    try {
      return await reachOnce(name, options, caller, deadline);
    } catch (error) {
      const pause = crowdedRetryMs * (0.5 + Math.random());
      if (!isCrowded(error, options) || deadline.left <= pause) throw error;
      await sleep(pause);
      options.signal?.throwIfAborted();
    }
  }
}

/** Whether it is a sealed service where too many have come who have not shown who they are. */
function isCrowded(error: unknown, { seal, descriptor }: ConnectOptions): boolean {
  const isBusy = error instanceof IpcError && error.code === "EBUSY";
  // What it was to go on with is used up.
  return isBusy && seal !== undefined && descriptor === undefined;
}

async function reachOnce(
  name: string,
  options: ConnectOptions,
  caller: Caller | undefined,
  deadline: Deadline,
): Promise<Channel> {
  // Memory sockets seal by themselves.
  if (asksForMemory(name, options)) return await (await memory()).reach(name, options, deadline);
  const isHere = isFoundHere(name, options) && options.descriptor === undefined;
  const found = isHere ? await findInMemory(name, options, deadline) : undefined;
  if (found !== undefined) return found;
  return await through(caller, options, deadline, (given) => reachSocket(name, given, deadline));
}

/** Undefined where nothing is to be sealed. */
async function callerOf(name: string, options: ConnectOptions): Promise<Caller | undefined> {
  const { seal } = options;
  return seal === undefined ? undefined : (await seals()).call(name, options, seal);
}

/** Sealed, if that is asked for, whatever the messages go through. */
async function through<Found extends Carrier | undefined>(
  caller: Caller | undefined,
  options: ConnectOptions,
  deadline: Deadline,
  way: (options: ConnectOptions) => Promise<Found> | Found,
): Promise<Channel | Found> {
  if (caller === undefined) return await way(options);
  const channel = await way({ ...options, ...caller.limits });
  return channel === undefined ? channel : await caller.meet(channel, deadline);
}

async function reachSocket(
  name: string,
  options: ConnectOptions,
  deadline: Deadline,
): Promise<Carrier> {
  const { address, descriptor } = options;
  if (descriptor !== undefined) return adopt(descriptor, options);
  if (address !== undefined) return new NativeChannel(await dial(name, address, options, deadline));
  const isThere = isElsewhere(name, options);
  return isThere ? await lead(name, options, deadline) : await find(name, options, deadline);
}

/** Whether its name is looked up in the run directory. */
function isFoundHere(name: string, options: ConnectOptions): boolean {
  return options.address === undefined && !isElsewhere(name, options);
}

/** Throws EINVAL where it can be had by a socket alone. */
function asksForMemory(name: string, options: ConnectOptions): boolean {
  const { transport } = options;
  if (transport === undefined || transport === "unix") return false;
  const fail = (why: string): never => {
    throw new IpcError("EINVAL", `EINVAL: ${why}`, { service: name });
  };
  if (transport !== "memory")
    fail(`transport is "unix" or "memory", not ${JSON.stringify(transport)}`);
  for (const other of ["descriptor", "address", "raw"] as const)
    if (options[other] !== undefined && options[other] !== false)
      fail(`${other} and transport: "memory" do not go together; leave one out`);
  if (isElsewhere(name, options))
    fail(`"${name}" is elsewhere (IPC_NETWORK), where no memory leads; leave transport out`);
  return true;
}

/** Undefined where it is not offered, or not to be had at once. */
async function findInMemory(
  name: string,
  options: ConnectOptions,
  deadline: Deadline,
): Promise<Channel | undefined> {
  if (options.transport === "unix" || options.raw === true) return undefined;
  if (!isInMemory(name, options)) return undefined;
  try {
    // What is sealed has to be agreed on first, which takes more than a look; and the socket is to have its time as well.
    const patience = new Deadline(options.seal === undefined ? 0 : deadline.left / 2);
    return await (await memory()).reach(name, options, patience);
  } catch {
    // Whatever is wrong with it, the socket is there as well, and says what is wrong with both.
    options.signal?.throwIfAborted();
    return undefined;
  }
}

function adopt(descriptor: number | Descriptor, options: ConnectOptions): Carrier {
  return new NativeChannel(loop().context.adoptAs("connection", descriptor, options));
}

/** What ipcd leads to. */
async function lead(name: string, options: ConnectOptions, deadline: Deadline): Promise<Carrier> {
  using found = await lookUp(connect, name, options, deadline);
  return adopt(found, options);
}

/** Waits while the service has no room for another connection. */
async function find(name: string, options: ConnectOptions, deadline: Deadline): Promise<Carrier> {
  while (true) {
    options.signal?.throwIfAborted();
    const found = findNow(name, options);
    if (found !== undefined) return found;
    if (deadline.left === 0) throw busy(name);
    await sleep(busyRetryMs);
  }
}

/** Undefined while the service has no room for another connection. */
function findNow(name: string, options: ConnectOptions): Carrier | undefined {
  const handle = loop().context.tryConnect(name, options);
  return handle === undefined ? undefined : new NativeChannel(handle);
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
    const channel = await tryAgain(connection.service, { ...options, signal: over });
    if (channel !== undefined && !connection.open) {
      channel.close(true);
    } else if (channel !== undefined) {
      connection.attach(channel);
      connection.reconnected(end.lost);
      return;
    }
    pause = Math.min(pause * 2, how.most);
  }
  connection.finish(end);
}

/** Whatever is wrong now may be right the next time. */
async function tryAgain(name: string, options: ConnectOptions): Promise<Channel | undefined> {
  try {
    if (options.transport !== "memory" && isFoundHere(name, options)) {
      const deadline = deadlineOf(name, options);
      const found = await findInMemory(name, options, deadline);
      if (found !== undefined) return found;
      const caller = await callerOf(name, options);
      return await through(caller, options, deadline, (given) => findNow(name, given));
    }
    // What it went on with is used up.
    return await reach(name, { ...options, descriptor: undefined });
  } catch {
    return undefined;
  }
}
