/** A name that this process serves on Bun's event loop. */

import { IpcError } from "../native/errors.ts";
import { EventType } from "../native/layout.ts";
import type { Channel } from "./channel.ts";
import { Connection } from "./connection.ts";
import type { Context } from "./context.ts";
import type { ServiceOptions } from "./context-options.ts";
import type { Descriptor } from "./descriptor.ts";
import { numberOf } from "./descriptor.ts";
import type { Event } from "./event.ts";
import type { Handlers } from "./handlers.ts";
import type { InternetAddress } from "./internet-address.ts";
import type { FullLimits } from "./limits.ts";
import { fullLimits } from "./limits.ts";
import { inherit } from "./listener.ts";
import { loop, throwLater } from "./loop.ts";
import { NativeChannel } from "./native-channel.ts";
import type { Guard, ServiceSeal } from "./seal.ts";
import type { Statistics } from "./statistics.ts";
import { noStatistics, sumOf } from "./statistics.ts";
import type { Offer, Offerer, RingOption, Transport } from "./transport.ts";

/** Something that went wrong and ended no connection: a refused peer, or no descriptors to accept with. */
export type Trouble = {
  reason: Event["reason"];
  /** The system's error number, 0 if it had no part in it. */
  errno: number;
  /** The refused peer. */
  uid: number;
  pid: number;
  /** What was wrong, in words, where the reason alone does not tell: with one who is not let into a sealed service. */
  error?: IpcError | undefined;
};

export type ServeHandlers = Handlers & {
  /** A peer was refused, or accepting pauses; counted in the statistics too. */
  trouble?: ((service: Service, trouble: Trouble) => void | Promise<void>) | undefined;
};

export type ServeOptions = ServiceOptions & {
  signal?: AbortSignal | undefined;
  /**
   * Offers shared memory as well, through which local clients are reached far faster: at NAME.memory, with the same
   * handlers, limits and `allow`. `ring` is how large the rings may be that a client asks for: powers of two from
   * 64 KiB to 1 GiB, by default 1 MiB. Default false.
   */
  memory?: boolean | { ring?: RingOption | undefined } | undefined;
  /**
   * What to accept from, instead of a socket of its own: one that listens already, whose name somebody else looks
   * after; or the copies of another process's service (`service.copies()`), whose name goes over to this one. They are
   * taken over.
   */
  descriptor?: number | Descriptor | readonly Descriptor[] | undefined;
  /**
   * Accepts TCP connections there, from anybody, instead of local ones under its name; port 0 takes one that is free,
   * and `address` of the service tells which.
   */
  address?: InternetAddress | undefined;
  /**
   * Seals what is sent, both ways, from end to end: nobody in between sees or changes anything, be it a daemon or another
   * machine. Only who has the secret key to one of `allow` can connect, and nobody can without a seal.
   */
  seal?: ServiceSeal | undefined;
};

export class Service implements AsyncDisposable {
  readonly name: string;
  /** The socket. */
  readonly path: string;
  readonly #handlers: ServeHandlers;
  readonly #limits: FullLimits;
  readonly #options: ServeOptions;
  readonly #connections = new Set<Connection>();
  #handle: number;
  #closed: Promise<void> | undefined;
  #statistics: Statistics | undefined;
  /** Shared memory, if it is offered; and how many were turned away because of those who came by it. */
  #offer: Offer | undefined;
  #turnedAway = 0;
  /** Who lets in those that come by its socket, if it is sealed. */
  readonly #guard: Guard | undefined;
  readonly #offerer: Offerer = {
    isFull: () => this.#isFull,
    accept: (channel) => this.#addOrNot(channel),
    trouble: (trouble) => this.#tell(trouble),
  };
  /** @internal Told when it gives up its name. */
  onClosed: (() => void) | undefined;
  /** @internal The same for whoever offers it to others, when it was not left to one. */
  onEnding: (() => void) | undefined;

  /** @internal */
  constructor(name: string, handlers: ServeHandlers, options: ServeOptions, guard?: Guard) {
    const { context } = loop();
    this.name = name;
    this.path = adoptedPath(options) ?? context.path(name, options.rundir);
    this.#handlers = handlers;
    this.#limits = fullLimits(options);
    this.#options = options;
    this.#guard = guard;
    this.#handle = listening(context, name, { ...options, ...guard?.limits });
    loop().add(this.#handle, this);
  }

  /** @internal Whether it accepts no more. */
  get closed(): boolean {
    return this.#handle === 0;
  }

  /** Those that are open. */
  get connections(): ReadonlySet<Connection> {
    return this.#connections;
  }

  /** What the service and all its connections have done; the last figures once it is closed. */
  statistics(): Statistics {
    if (this.#handle !== 0)
      this.#statistics = this.#figures(loop().context.statistics(this.#handle));
    return this.#statistics!;
  }

  #figures(native: Statistics): Statistics {
    const own = this.#guard?.statistics(native) ?? native;
    if (this.#offer === undefined) return own;
    const turnedAway = { ...noStatistics(), reasons: { connections_limit: this.#turnedAway } };
    const all = [own, this.#offer.statistics()];
    return sumOf(this.#turnedAway === 0 ? all : [...all, turnedAway]);
  }

  /** Where it listens, if that is over TCP. Throws ENOTSUP otherwise, and ECLOSED once it was closed. */
  get address(): InternetAddress {
    return loop().context.address(this.#handle);
  }

  /** Copies of its socket and of its lock, with which another process goes on: see `descriptor` of `serve`. */
  copies(): Descriptor[] {
    this.checkMovable();
    return loop().context.copies(this.#handle);
  }

  /** Stops accepting and leaves the name to whoever has its copies. The connections go on. */
  leave(): void {
    this.#end({ leave: true });
  }

  /**
   * Goes on with a connection of another process (`connection.copies()`), which ends its own then, as if it had come
   * here. Its descriptor is taken over. It is not counted against `connectionsMax`.
   */
  adopt(descriptor: number | Descriptor): Connection {
    if (this.#guard !== undefined)
      throw this.#isSealed("go on with a connection of another process");
    const { context } = loop();
    const handle = context.adoptAs("connection", descriptor, this.#options);
    return this.#add(new NativeChannel(handle));
  }

  /** @internal Throws EINVAL if no other process can go on with it. */
  checkMovable(): void {
    if (this.#guard !== undefined) throw this.#isSealed("be given to another process");
  }

  #isSealed(what: string): IpcError {
    return new IpcError(
      "EINVAL",
      `EINVAL: "${this.name}" is sealed, and cannot ${what}, where the keys of a connection do not go along; stop it ` +
        "there, then serve it here",
      { service: this.name },
    );
  }

  /** @internal Writes itself into its lock again, after another process that had copies went without leaving. */
  reclaim(): void {
    if (this.#handle === 0) return;
    const { context } = loop();
    const copies = context.copies(this.#handle);
    try {
      // Only a lock has a place to write to.
      if (copies.length < 2) return;
      const again = context.takeOver(this.name, copies, this.#options);
      context.closeHandle(again, { leave: true });
    } finally {
      for (const copy of copies) copy.close();
    }
  }

  /** @internal Offers shared memory beside its socket. */
  async offer(transport: Transport): Promise<void> {
    const offer = await transport.offer(this.name, this.#options, this.#offerer);
    // It may have been closed meanwhile.
    if (this.#handle === 0) offer.stop();
    else this.#offer = offer;
  }

  /** @internal Gives up the name, and closes no connection. */
  stop(): void {
    this.#end();
  }

  #end(how: { leave?: boolean } = {}): void {
    if (this.#handle === 0) return;
    this.statistics();
    this.#offer?.stop();
    if (how.leave !== true) this.#guard?.stop();
    // Whoever was accepted before it left is served.
    if (how.leave === true) loop().removeAfterBatch(this.#handle);
    else loop().remove(this.#handle);
    loop().context.closeHandle(this.#handle, how);
    this.#handle = 0;
    this.onClosed?.();
    if (how.leave !== true) this.onEnding?.();
  }

  /**
   * Gives up the name and removes the socket, then closes the connections: after sending what was taken, or at once
   * with `now`. Resolves when all have ended.
   */
  close(options: { now?: boolean } = {}): Promise<void> {
    this.#end();
    this.#guard?.stop();
    const open = [...this.#connections].map((connection) => connection.close(options));
    this.#closed = Promise.all(open).then(() => undefined);
    return this.#closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** @internal */
  onSent(): void {
    // Nothing is ever sent to a service's own handle.
  }

  /** @internal */
  onEvent(event: Event): void {
    if (event.type === EventType.Connection) this.#accept(event);
    else if (event.type === EventType.Error) {
      const { reason, errno, uid, pid } = event;
      this.#tell({ reason, errno, uid, pid });
    }
  }

  #tell(trouble: Trouble): void {
    try {
      const result = this.#handlers.trouble?.(this, trouble);
      if (result instanceof Promise) result.catch(throwLater);
    } catch (error) {
      throwLater(error);
    }
  }

  #accept({ connection, uid, gid, pid }: Event): void {
    const channel = new NativeChannel(connection, { uid, gid, pid });
    if (this.#guard === undefined) this.#addOrNot(channel);
    else this.#guard.admit(channel, this.#offerer);
  }

  /** Natively only those are counted that came by its socket. */
  #addOrNot(channel: Channel): void {
    if (this.#offer === undefined || !this.#isFull) {
      this.#add(channel);
      return;
    }
    channel.close(true);
    this.#turnedAway += 1;
    const { uid, pid } = channel.peer;
    this.#tell({ reason: "connections_limit", errno: 0, uid, pid });
  }

  get #isFull(): boolean {
    return this.#connections.size >= this.#limits.connectionsMax;
  }

  #add(channel: Channel): Connection {
    const connection = new Connection(this.name, this.#handlers, this.#limits);
    this.#connections.add(connection);
    connection.onEnded = () => this.#connections.delete(connection);
    connection.attach(channel);
    connection.opened();
    return connection;
  }
}

function listening(context: Context, name: string, options: ServeOptions): number {
  const { address, descriptor } = options;
  if (address !== undefined) return context.listen(address, options);
  if (descriptor === undefined) return context.serve(name, options);
  if (typeof descriptor === "number" || !("length" in descriptor)) {
    return context.adoptAs("service", descriptor, options);
  }
  // One that has no lock has a name that somebody else looks after.
  if (descriptor.length === 1) return context.adoptAs("service", descriptor[0]!, options);
  return context.takeOver(name, descriptor, options);
}

/** Where a socket without a lock is found, since whoever bound it may have done so anywhere. */
function adoptedPath({ descriptor }: ServeOptions): string | undefined {
  const [single, lock] = [descriptor ?? []].flat() as (number | Descriptor)[];
  if (single === undefined || lock !== undefined) return undefined;
  try {
    return inherit(numberOf(single)) || undefined;
  } catch {
    // One of another family has no path; and what is wrong with it is told by whoever goes on with it.
    return undefined;
  }
}
