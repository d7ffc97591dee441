/**
 * How a process takes a service over from the one that runs it, so that no call to it fails: a restart that nobody
 * notices. Who runs the service offers that under a name of its own, NAME.takeover, to its own user and root.
 *
 *     the new one (takeOver)                  the old one (offerTakeover)
 *     take ─────────────────────────────────▶
 *          ◀──────────────────────── yours    with the descriptors of both names: sockets and locks
 *     serves both
 *     serving ──────────────────────────────▶ leaves both
 *          ◀───────────────────────── left
 *          ◀────────────────── connections    with sockets of connections at rest, if they may go over
 *     kept n ───────────────────────────────▶ has the others back; and again, until there are no more
 *
 * Whoever dies in the middle leaves the other one with everything: until `serving` the old one goes on accepting, and
 * the new one does from `yours` on. A connection is read by neither while it is on its way, and by the new one only when
 * `kept` is with the kernel.
 */

import { dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { IpcError } from "../native/errors.ts";
import { connect } from "./connect.ts";
import type { Connection } from "./connection.ts";
import type { Peer } from "./context.ts";
import type { Descriptor } from "./descriptor.ts";
import type { Message } from "./message.ts";
import { patience } from "./numbers.ts";
import type { RunDirectoryOptions } from "./run-directory.ts";
import { takeoverEnding } from "./run-directory.ts";
import { serve } from "./serve.ts";
import type { Service } from "./service.ts";

/** Of the messages below. Raised when one that speaks the former would go wrong. */
const version = 1;

/** What is said, each a message of JSON. */
type Saying =
  | { say: "take" | "serving" | "left" | "withdrawn" | "moved" }
  /**
   * How many of the descriptors are the service's; the others are those of the offer. The kernel remembers who began to
   * listen, which may be several owners ago, so that the process says which it is.
   */
  | { say: "yours"; service: number; pid: number }
  | { say: "refused"; why: string }
  | { say: "connections" }
  | { say: "kept"; count: number };

/** So many connections go over at a time: the system bounds what is on its way. */
const batchMax = 64;
const limits = { messageBytesMax: 4096, connectionsMax: 64, descriptors: { max: batchMax } };
/** After so long connections that were not at rest are looked at again, in milliseconds. */
const restlessMs = 1;
/** How often, and after how long, a taker looks again when it came while the service changed hands. */
const movedAttempts = 100;
const movedMs = 10;
const patienceMs = 30_000;
/** Of what the other side says. */
const whyShownMax = 200;

export type TakeOverOptions = RunDirectoryOptions & {
  /** How long the one that runs it may take to answer, in milliseconds. Default 30 s. */
  timeout?: number | undefined;
  signal?: AbortSignal | undefined;
};

export type OfferOptions = RunDirectoryOptions & {
  /** What this process took the service over with: the other one is told that it serves. */
  before?: Takeover | undefined;
  /**
   * The service keeps nothing of a connection between two messages and answers each before it returns, so that
   * connections go over as well, whoever takes the service over. Default false: they go on here until they end.
   */
  stateless?: boolean | undefined;
  /** How long a taker may have the descriptors before it serves, in milliseconds. Default 30 s. */
  timeout?: number | undefined;
};

/** A service of another process, on its way to this one. */
export class Takeover implements AsyncDisposable {
  /** The process that runs it. */
  readonly pid: number;
  /** What `serve` is to be given as its `descriptor`. */
  readonly descriptors: readonly Descriptor[];
  /** @internal Those of the offer. */
  readonly offer: readonly Descriptor[];
  readonly #connection: Connection;
  #adopt: ((descriptors: readonly Descriptor[]) => number) | undefined;
  #withdrawn = false;

  /** @internal */
  constructor(
    connection: Connection,
    descriptors: readonly Descriptor[],
    { service, pid }: { service: number; pid: number },
  ) {
    this.#connection = connection;
    this.pid = pid;
    this.descriptors = descriptors.slice(0, service);
    this.offer = descriptors.slice(service);
  }

  /** Whether the one that ran it is gone, or wants it no more. */
  get over(): boolean {
    return !this.#connection.open;
  }

  /** @internal Says that this process serves; throws if the other one has gone back on it. */
  async confirm(adopt: (descriptors: readonly Descriptor[]) => number): Promise<void> {
    this.#adopt = adopt;
    try {
      const said = read(await this.#connection.request(put({ say: "serving" })));
      if (said.say === "left") return;
      this.#withdrawn = true;
    } catch (error) {
      if (!isOver(error)) throw error;
    }
    // Without a word it has died meanwhile, and everything is here.
    if (this.#withdrawn) throw withdrawn(this.pid);
  }

  /** @internal */
  onMessage(message: Message): void {
    const { say } = read(message);
    if (say === "withdrawn") this.#withdrawn = true;
    if (say !== "connections") return;
    const count = this.#adopt?.(message.descriptors) ?? 0;
    try {
      // With an empty list it goes at once, before anything is read of what has come.
      this.#connection.send(put({ say: "kept", count }), { descriptors: [] });
    } catch (error) {
      // It has just died, and so has nothing to take back: all that has come is here.
      if (!isOver(error)) throw error;
    }
  }

  /** Gives up: the one that runs it goes on, unless it was told already that this one serves. */
  async close(): Promise<void> {
    for (const descriptor of [...this.descriptors, ...this.offer]) descriptor.close();
    await this.#connection.close({ now: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

/**
 * Asks whoever runs `name` for it. Undefined if nobody offers it; rejects with EBUSY if somebody else is just taking it
 * over, and with the signal's reason. What comes back is for `serve` and then for `offerTakeover`, which tells the other one to leave; until then
 * that one goes on as ever.
 *
 * @example
 * const before = await takeOver("pong");
 * const pong = await serve("pong", handlers, { descriptor: before?.descriptors });
 * const offer = await offerTakeover(pong, { before, stateless: true });
 * await offer.taken; // Some day by another process.
 * await offer.finished;
 */
export async function takeOver(
  name: string,
  options: TakeOverOptions = {},
): Promise<Takeover | undefined> {
  const timeout = patience("timeout", options.timeout) ?? patienceMs;
  for (let attempt = 0; attempt < movedAttempts; attempt++) {
    const found = await ask(name, options, timeout);
    if (found !== "moved") return found;
    await sleep(movedMs);
    options.signal?.throwIfAborted();
  }
  throw new IpcError("EBUSY", `EBUSY: "${name}" changes hands without end; try again`, {
    service: name,
  });
}

async function ask(
  name: string,
  { rundir, shared, signal }: TakeOverOptions,
  timeout: number,
): Promise<Takeover | undefined | "moved"> {
  let takeover: Takeover | undefined;
  let connection: Connection;
  try {
    connection = await connect(name + takeoverEnding, {
      ...limits,
      rundir,
      shared,
      signal,
      message: (_, message) => takeover?.onMessage(message),
    });
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw error;
  }
  try {
    checkOwner(name, connection.peer);
    const answer = await connection.request(put({ say: "take" }), { timeout, signal });
    const said = read(answer);
    if (said.say === "yours") {
      takeover = new Takeover(connection, answer.descriptors, said);
      return takeover;
    }
    if (said.say === "moved") return "moved";
    const why = said.say === "refused" ? quoted(said.why) : "it does not say why";
    throw new IpcError("EBUSY", `EBUSY: "${name}" is not to be had: ${why}`, { service: name });
  } catch (error) {
    // Whoever it was has just gone.
    if (isOver(error)) return "moved";
    throw error;
  } finally {
    if (takeover === undefined) await connection.close({ now: true });
  }
}

/** In a directory that others use, the offer may be anybody's, and so would be what it hands out. */
function checkOwner(name: string, { uid }: Peer): void {
  if (uid === 0 || uid === process.geteuid?.()) return;
  throw new IpcError("EACCES", `EACCES: "${name}" is offered by user ${uid}, and not by your own`, {
    service: name,
  });
}

/** That a service can be taken over. */
export class Offer implements AsyncDisposable {
  readonly #service: Service;
  readonly #options: OfferOptions;
  readonly #timeout: number;
  readonly #taken = Promise.withResolvers<Peer>();
  readonly #finished = Promise.withResolvers<void>();
  #door: Service | undefined;
  /** Who has the descriptors, and does not serve yet. */
  #taker: Connection | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #left = false;
  /** What is told how many of the connections on their way were kept. */
  #kept: PromiseWithResolvers<number> | undefined;

  /** @internal */
  constructor(service: Service, options: OfferOptions) {
    this.#service = service;
    this.#options = options;
    this.#timeout = patience("timeout", options.timeout) ?? patienceMs;
  }

  /** Resolves when another process serves and this one has left, with who that is. */
  get taken(): Promise<Peer> {
    return this.#taken.promise;
  }

  /** Resolves after `taken`, when the last connection of this process has ended or gone over. */
  get finished(): Promise<void> {
    return this.#finished.promise;
  }

  /** @internal With the descriptors of an offer that another process has made, if it goes on with that. */
  async open(descriptor: readonly Descriptor[] | undefined): Promise<void> {
    this.#service.onEnding = () => void this.close();
    const { shared } = this.#options;
    // Beside the service, wherever that is.
    const rundir = this.#options.rundir ?? folderOf(this.#service.path);
    this.#door = await serve(
      this.#service.name + takeoverEnding,
      {
        message: (connection, message) => this.#hear(connection, message),
        close: (connection) => this.#ended(connection),
        // Whoever does not speak it is shown out.
        error: (connection) => void connection.close(),
      },
      { ...limits, rundir, shared, descriptor },
    );
  }

  /**
   * Offers it no more; a service that is closed is no longer offered either. A taker that has said that it serves is not
   * disturbed; one that has not yet is told that it is called off, and if the service is closed already, the name is its.
   *
   * So who ends both closes the service, and the offer goes with it. If the offer is closed first, be it in one
   * `Promise.all`, a taker that serves and has not said so yet is called off, and then nobody serves.
   */
  async close(): Promise<void> {
    clearTimeout(this.#timer);
    const taker = this.#taker;
    // Who ends without a word leaves it everything, and this one may go on.
    if (taker !== undefined && !this.#left && !this.#service.closed) {
      say(taker, { say: "withdrawn" });
    }
    await this.#door?.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** @internal The name stays with somebody else. */
  leave(): void {
    this.#door?.leave();
  }

  #hear(connection: Connection, message: Message): void {
    const said = read(message);
    if (said.say === "take") this.#give(connection);
    else if (said.say === "serving" && connection === this.#taker) this.#leave(connection);
    else if (said.say === "kept") this.#kept?.resolve(said.count);
  }

  #give(connection: Connection): void {
    if (this.#left) {
      say(connection, { say: "moved" });
    } else if (this.#taker !== undefined) {
      const { pid } = this.#taker.peer;
      say(connection, { say: "refused", why: `process ${pid} is just taking it over` });
    } else {
      this.#giveAll(connection);
    }
  }

  #giveAll(connection: Connection): void {
    const own = this.#service.copies();
    const copies = [...own, ...this.#door!.copies()];
    try {
      const yours: Saying = { say: "yours", service: own.length, pid: process.pid };
      connection.send(put(yours), { descriptors: copies });
    } finally {
      for (const copy of copies) copy.close();
    }
    this.#taker = connection;
    this.#timer = setTimeout(() => {
      say(connection, { say: "withdrawn" });
      void connection.close();
    }, this.#timeout);
  }

  #leave(connection: Connection): void {
    clearTimeout(this.#timer);
    this.#left = true;
    this.#service.leave();
    this.#door!.leave();
    say(connection, { say: "left" });
    this.#taken.resolve(connection.peer);
    void this.#finish(connection).then(this.#finished.resolve, this.#finished.reject);
  }

  #ended(connection: Connection): void {
    if (connection !== this.#taker) return;
    clearTimeout(this.#timer);
    this.#taker = undefined;
    this.#kept?.resolve(0);
    // It may have come as far as to write itself into the locks.
    if (this.#left) return;
    this.#service.reclaim();
    this.#door?.reclaim();
  }

  async #finish(taker: Connection): Promise<void> {
    // What had been accepted when it left is still handed out in this batch.
    await new Promise(setImmediate);
    const { connections } = this.#service;
    while (connections.size > 0) {
      const moved = this.#options.stateless === true && taker.open && (await this.#move(taker));
      if (moved) continue;
      const ends = [...connections].map(({ ended }) => ended);
      const mayMove = [...connections].some(({ movable }) => movable);
      const restless = this.#options.stateless === true && taker.open && mayMove;
      await Promise.race(restless ? [...ends, sleep(restlessMs)] : ends);
    }
    await taker.close();
  }

  /** Hands over what is at rest, and returns whether anything was. */
  async #move(taker: Connection): Promise<boolean> {
    const moving: Descriptor[] = [];
    for (const connection of this.#service.connections) {
      const socket = connection.detach();
      if (socket !== undefined) moving.push(socket);
      if (moving.length === batchMax) break;
    }
    if (moving.length === 0) return false;
    const kept = await this.#send(taker, moving);
    for (const [index, socket] of moving.entries()) {
      if (index < kept) socket.close();
      else this.#service.adopt(socket);
    }
    return kept > 0;
  }

  async #send(taker: Connection, sockets: readonly Descriptor[]): Promise<number> {
    this.#kept = Promise.withResolvers<number>();
    try {
      taker.send(put({ say: "connections" }), { descriptors: sockets });
    } catch (error) {
      // It is gone, or the system has no room for what is on its way: they stay here for now.
      if (error instanceof IpcError) return 0;
      throw error;
    }
    return await this.#kept.promise;
  }
}

/**
 * Lets another process take the service over (`takeOver`): it gets the socket and the name, this one stops accepting,
 * and its connections go on until they end, or go over too if they are `stateless`. Only the own user and root may ask.
 *
 * With `before`, which this process took the service over with, the other one leaves now. Rejects with ETIMEDOUT, and
 * leaves the service, if that one waited for too long and goes on by itself.
 */
export async function offerTakeover(service: Service, options: OfferOptions = {}): Promise<Offer> {
  const { before } = options;
  service.checkMovable();
  const offer = new Offer(service, options);
  const confirm = async () => {
    try {
      await before?.confirm((descriptors) => adoptAll(service, descriptors));
    } catch (error) {
      service.leave();
      offer.leave();
      throw error;
    }
  };
  try {
    await offer.open(before?.offer);
  } catch (error) {
    if (before === undefined) throw error;
    // Who ended meanwhile, or has called it off, has taken its name away; which of them it was is known only now.
    await confirm();
    await offer.open(undefined);
    return offer;
  }
  await confirm();
  return offer;
}

/** Undefined for a socket that is in none. */
function folderOf(path: string): string | undefined {
  return path.startsWith("@") ? undefined : dirname(path);
}

/** How many of them, from the first on, could be gone on with. */
function adoptAll(service: Service, descriptors: readonly Descriptor[]): number {
  for (const [index, descriptor] of descriptors.entries()) {
    try {
      service.adopt(descriptor);
    } catch (error) {
      for (const left of descriptors.slice(index)) left.close();
      if (error instanceof IpcError) return index;
      throw error;
    }
  }
  return descriptors.length;
}

function put(saying: Saying): string {
  return JSON.stringify({ version, ...saying });
}

function say(connection: Connection, saying: Saying): void {
  if (connection.open) connection.send(put(saying));
}

function read(message: Message): Saying {
  const said = parsed(message.text());
  if (said.version === version) return said as Saying;
  throw new IpcError(
    "EMALFORMED",
    `EMALFORMED: the other side does not speak version ${version} of taking over, as this one does`,
  );
}

function parsed(text: string): { version?: number } {
  try {
    return (JSON.parse(text) as { version?: number } | null) ?? {};
  } catch {
    return {};
  }
}

/** What the other side says may hold anything: it is shown as a short text of one line. */
function quoted(text: unknown): string {
  if (typeof text !== "string") return "it does not say why";
  const short = text.length > whyShownMax ? `${text.slice(0, whyShownMax)}…` : text;
  return JSON.stringify(short).replace(
    /[\u007f-\u009f\u2028\u2029]/g,
    (control) => `\\u${control.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

function isAbsent(error: unknown): boolean {
  return error instanceof IpcError && (error.code === "ENOENT" || error.code === "ECONNREFUSED");
}

function isOver(error: unknown): boolean {
  return error instanceof IpcError && (error.code === "ECONNRESET" || error.code === "ECLOSED");
}

function withdrawn(pid: number): IpcError {
  return new IpcError(
    "ETIMEDOUT",
    `ETIMEDOUT: process ${pid} has called it off: it waited for too long, or offers it no more; try again`,
  );
}
