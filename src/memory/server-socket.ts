/** A service that is reached through shared memory. */

import { keysOf } from "../crypto/key-pair.ts";
import type { Agreed } from "../crypto/meeting.ts";
import { parsePublicKey } from "../crypto/public-key.ts";
import type { Connection } from "../ipc/connection.ts";
import type { Peer } from "../ipc/context.ts";
import type { Allow, ServiceOptions } from "../ipc/context-options.ts";
import type { End } from "../ipc/handlers.ts";
import type { FullLimits } from "../ipc/limits.ts";
import { patience, textOf } from "../ipc/numbers.ts";
import { memoryEnding } from "../ipc/run-directory.ts";
import type { OwnKeys } from "../ipc/seal.ts";
import { serve } from "../ipc/serve.ts";
import type { Service, Trouble } from "../ipc/service.ts";
import type { Statistics } from "../ipc/statistics.ts";
import type { RingOption } from "../ipc/transport.ts";
import { IpcError } from "../native/errors.ts";
import { constants, type Reason } from "../native/layout.ts";
import { call, tell } from "./calling.ts";
import { Door } from "./door.ts";
import { helloBytesMax, queueBytesMax, type Refusal } from "./hello.ts";
import { ringSizes, type SocketOptions, socketSettings, spinNs } from "./options.ts";
import { ServerConnection } from "./server-connection.ts";
import type { Rings } from "./traffic.ts";

export type ServerOptions = Pick<ServiceOptions, "rundir" | "shared" | "mode" | "backlog"> &
  SocketOptions & {
    /**
     * Clients at once; more are refused. With `keys` only those count who have shown who they are. Default 8192, which is
     * also the most there can be.
     */
    connectionsMax?: number | undefined;
    /** The largest rings that a client may ask for, in bytes: powers of two from 64 KiB to 1 GiB. Default 1 MiB. */
    ring?: RingOption | undefined;
    /** How long a client may take to say what it wants, in milliseconds. Default 5 s. */
    helloTimeout?: number | undefined;
    /** Who may connect by what the kernel says of him, before his first byte is read. Default: the own user and root. */
    users?: Allow | undefined;
    /**
     * Seals what is written, both ways: this end's keys, and the public keys of those who may connect. Nobody else can,
     * and nobody can without.
     */
    keys?: OwnKeys | undefined;
    allow?: readonly string[] | undefined;
  };

/**
 * Connections of one server. Each is four mappings, of which Linux lets a process have 65,530 (vm.max_map_count), for all
 * that it does.
 */
export const connectionsMost = 8192;

/** He came, and left again. */
const orderly: ReadonlySet<Reason> = new Set(["closed", "peer_closed", "peer_reset"]);

type DataHandler = (socket: ServerConnection, bytes: Uint8Array) => void | Promise<void>;

/**
 * @example
 * const server = new ServerSocket();
 * server.onData = (socket, bytes) => socket.write(bytes);
 * await server.listen("pong");
 */
export class ServerSocket implements AsyncDisposable {
  /** A client is there. */
  onConnection: ((socket: ServerConnection) => void | Promise<void>) | undefined;
  /** There is room again, after a `write` or `reserve` that had none. */
  onDrain: ((socket: ServerConnection) => void | Promise<void>) | undefined;
  /** A handler threw, a client broke the rules, or one was refused: then without a socket. */
  onError: ((socket: ServerConnection | undefined, error: unknown) => void) | undefined;
  /** A client has gone; nothing comes after. */
  onClose: ((socket: ServerConnection, end: End) => void | Promise<void>) | undefined;
  readonly #sockets = new Set<ServerConnection>();
  readonly #begun = new WeakMap<Connection, ServerConnection>();
  #service: Service | undefined;
  /** While `listen` is under way. */
  #starting: { readonly name: string; readonly end: AbortController } | undefined;
  #name = "";
  #settings = socketSettings({});
  #connectionsMax = connectionsMost;
  #onData: DataHandler | undefined;
  #door: Door | undefined;
  readonly #limits: FullLimits | undefined;
  #refusals: Statistics["reasons"] = {};
  /** @internal Told of those whom the kernel's word was enough to refuse, instead of `onError`. */
  onTrouble: ((trouble: Trouble) => void) | undefined;

  /** @internal Told of those whom their hello, or its lack, was enough to refuse, beside `onError`. */
  onRefusal: ((peer: Peer, reason: Reason, refusal: Refusal) => void) | undefined;

  /** @internal Told of those who broke the rules before they were let in, instead of `onError`. */
  onStray: ((peer: Peer, end: End) => void) | undefined;

  /** @internal With limits, its sockets are those of connections that have them. */
  constructor(limits?: FullLimits) {
    this.#limits = limits;
  }

  /**
   * A message came. Its bytes lie in the ring, and are good until this returns or first awaits; `hold` keeps them. What
   * comes while it is not set waits for it, or for `read`.
   */
  get onData(): DataHandler | undefined {
    return this.#onData;
  }

  set onData(handler: DataHandler | undefined) {
    this.#onData = handler;
    for (const socket of this.#sockets) socket.side.listen();
  }

  /** Those that are connected. */
  get sockets(): ReadonlySet<ServerConnection> {
    return this.#sockets;
  }

  /** Where it is found. Throws ECLOSED before `listen`. */
  get path(): string {
    if (this.#service !== undefined) return this.#service.path;
    throw new IpcError("ECLOSED", "ECLOSED: the server does not listen");
  }

  /**
   * Serves `name` through memory, from now on. Throws EADDRINUSE, with the owner's process, if somebody does already, and
   * ECLOSED if the server was closed meanwhile. It can be called again then, or once the server is closed.
   */
  async listen(name: string, options: ServerOptions = {}): Promise<void> {
    if (this.#service !== undefined) {
      throw new IpcError("EINVAL", `EINVAL: the server listens as "${this.#name}" already`);
    }
    if (this.#starting !== undefined) {
      const text = `EINVAL: the server is about to listen as "${this.#starting.name}" already`;
      throw new IpcError("EINVAL", text);
    }
    textOf("name", name);
    const { ring, helloTimeout, messageBytesMax, spin, keys, allow, users, ...rest } = options;
    this.#connectionsMax = Math.min(rest.connectionsMax ?? connectionsMost, connectionsMost);
    const door = new Door(name, this, {
      most: ringSizes(ring),
      helloMs: patience("helloTimeout", helloTimeout ?? 5000),
      keys: keys === undefined ? undefined : keysOf(keys),
      allowed: allowedOf(keys, allow),
    });
    const limits = this.#limits;
    this.#settings =
      limits === undefined
        ? socketSettings({ messageBytesMax, spin })
        : { ...limits, spin: spinNs };
    const starting = { name, end: new AbortController() };
    const { signal } = starting.end;
    this.#starting = starting;
    try {
      const service = await this.#serve(name, door, { ...rest, users, signal }, keys !== undefined);
      // Closed as it was made, it has given up its name already.
      signal.throwIfAborted();
      this.#service = service;
      this.#name = name;
      this.#door = door;
    } finally {
      if (this.#starting === starting) this.#starting = undefined;
    }
  }

  #serve(
    name: string,
    door: Door,
    { users, ...rest }: Omit<ServerOptions, "ring"> & { signal: AbortSignal },
    isSealed: boolean,
  ): Promise<Service> {
    const limits = this.#limits;
    return serve(
      name + memoryEnding,
      {
        open: (link) => door.await(link),
        message: (link, message) => {
          const socket = this.#begun.get(link);
          if (socket === undefined) door.heard(link, message);
          else socket.side.heard(message);
        },
        close: (link, end) => {
          if (door.forget(link)) this.#strayed(link.peer, end);
          this.#begun.get(link)?.side.left(end);
        },
        trouble: (_, trouble) => this.#trouble(trouble),
      },
      {
        ...rest,
        // Where it is sealed, the door sees to those who have still to show who they are, and to the rest.
        connectionsMax: isSealed ? undefined : this.#connectionsMax,
        allow: users,
        drainTimeout: limits?.drainTimeout,
        messageBytesMax: helloBytesMax,
        queueBytesMax: queueBytesMax(this.#settings.descriptorsHeld),
        descriptors: { max: limits === undefined ? 1 : constants.descriptors_max },
      },
    );
  }

  /** Has a `listen` that is under way reject, and leave nothing behind. */
  #giveUp(): void {
    if (this.#starting === undefined) return;
    const { name, end } = this.#starting;
    this.#starting = undefined;
    const text = `ECLOSED: the server was closed before it listened as "${name}"`;
    end.abort(new IpcError("ECLOSED", text, { service: name }));
  }

  /** @internal Gives up the name. Those that are connected go on; those who have still to come to an agreement do not. */
  stop(): void {
    this.#giveUp();
    this.#refusals = this.refusals;
    this.#service?.stop();
    this.#service = undefined;
    this.#door?.close();
  }

  /** @internal Those who were refused before they could say anything, by reason. */
  get refusals(): Statistics["reasons"] {
    return this.#service?.statistics().reasons ?? this.#refusals;
  }

  /** Stops accepting, and closes all sockets. What was written to them can still be read. Resolves when all have ended. */
  async close(): Promise<void> {
    this.#giveUp();
    const service = this.#service;
    this.#service = undefined;
    await Promise.all([...[...this.#sockets].map((socket) => socket.close()), service?.close()]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** @internal */
  gone(socket: ServerConnection): void {
    this.#sockets.delete(socket);
  }

  // ---- from the door ----

  /** @internal */
  get full(): boolean {
    return this.#sockets.size >= this.#connectionsMax;
  }

  /** @internal A client is let in. */
  enter(link: Connection, rings: Rings, agreed: Agreed | undefined): void {
    const socket = new ServerConnection(this, this.#name);
    this.#begun.set(link, socket);
    this.#sockets.add(socket);
    socket.side.begin(link, rings, this.#settings, agreed);
    call(
      () => this.onConnection?.(socket),
      (error) => this.#tell(socket, error, true),
    );
  }

  /** @internal One is not. */
  refused(peer: Peer, reason: Reason, refusal: Refusal, cause?: unknown): void {
    this.onRefusal?.(peer, reason, refusal);
    this.#tellRefused(refusal.message, cause);
  }

  #tellRefused(why: string, cause?: unknown): void {
    const text = `EMALFORMED: a client of "${this.#name}" was refused: ${why}`;
    this.#tell(undefined, new IpcError("EMALFORMED", text, { service: this.#name, cause }));
  }

  #trouble(trouble: Trouble): void {
    if (this.onTrouble !== undefined) {
      this.onTrouble(trouble);
      return;
    }
    this.#tellTurnedAway(trouble.reason, trouble);
  }

  /** He ended without being let in, or refused. */
  #strayed(peer: Peer, end: End): void {
    if (orderly.has(end.reason)) return;
    if (this.onStray !== undefined) this.onStray(peer, end);
    else this.#tellTurnedAway(end.reason, peer);
  }

  #tellTurnedAway(reason: Reason, { uid, pid }: Pick<Peer, "uid" | "pid">): void {
    this.#tellRefused(`${reason} (user ${uid}, process ${pid})`);
  }

  #tell(socket: ServerConnection | undefined, error: unknown, isOurs = false): void {
    const handler = () => {
      this.onError?.(socket, error);
      return this.onError !== undefined;
    };
    tell(handler, error, isOurs);
  }
}

/** Those who may connect. Throws EINVAL for half of what a seal takes, and EKEY for what is no public key. */
function allowedOf(keys: OwnKeys | undefined, allow: readonly string[] | undefined): Set<string> {
  if (keys === undefined && allow === undefined) return new Set();
  if (keys === undefined || allow === undefined || allow.length === 0) {
    throw new IpcError(
      "EINVAL",
      "EINVAL: what is sealed takes both: keys, which are this end's, and allow, the public keys of those who may connect",
    );
  }
  for (const key of allow) parsePublicKey(String(key));
  return new Set(allow);
}
