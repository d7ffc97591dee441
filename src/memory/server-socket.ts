/** A service that is reached through shared memory. */

import { closeSync } from "node:fs";
import type { KeyPair } from "../crypto/key-pair.ts";
import { answer, checkProof } from "../crypto/meeting.ts";
import { parsePublicKey } from "../crypto/public-key.ts";
import type { Connection } from "../ipc/connection.ts";
import type { Allow, ServiceOptions } from "../ipc/context.ts";
import type { End } from "../ipc/handlers.ts";
import type { FullLimits } from "../ipc/limits.ts";
import { throwLater } from "../ipc/loop.ts";
import type { Message } from "../ipc/message.ts";
import { patience } from "../ipc/numbers.ts";
import { memoryEnding } from "../ipc/run-directory.ts";
import { serve } from "../ipc/serve.ts";
import type { Service, Trouble } from "../ipc/service.ts";
import type { Statistics } from "../ipc/statistics.ts";
import type { RingOption } from "../ipc/transport.ts";
import { IpcError } from "../native/errors.ts";
import { constants } from "../native/layout.ts";
import type { Seal } from "../native/seal.ts";
import { Segment } from "../native/shared-memory.ts";
import {
  about,
  formatRefusal,
  formatWelcome,
  type Hello,
  helloBytesMax,
  parseHello,
  queueBytesMax,
  type Refusal,
  type RingSizes,
} from "./hello.ts";
import { closeRings, MemorySocket, type Rings } from "./memory-socket.ts";
import { ringSizes, type SocketOptions, socketSettings, spinNs } from "./options.ts";

export type ServerOptions = Pick<
  ServiceOptions,
  "rundir" | "shared" | "mode" | "backlog" | "connectionsMax"
> &
  SocketOptions & {
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
    keys?: KeyPair | undefined;
    allow?: readonly string[] | undefined;
  };

/** A client that was told what it asked for, and has still to prove who it is. */
type Welcomed = { rings: Rings; seal: Seal };

/** The server's end of one connection. */
export class ServerConnection extends MemorySocket {
  readonly #server: ServerSocket;
  readonly #name: string;

  /** @internal */
  constructor(server: ServerSocket, name: string) {
    super();
    this.#server = server;
    this.#name = name;
  }

  override get service(): string {
    return this.#name;
  }

  /** @internal Its server hears from now on. */
  override listen(): void {
    super.listen();
  }

  protected override get hears(): boolean {
    return this.#server.onData !== undefined;
  }

  protected override tellData(bytes: Uint8Array): void | Promise<void> {
    return this.#server.onData?.(this, bytes);
  }

  protected override tellDrain(): void | Promise<void> {
    return this.#server.onDrain?.(this);
  }

  protected override tellError(error: unknown): boolean {
    this.#server.onError?.(this, error);
    return this.#server.onError !== undefined;
  }

  protected override tellClose(end: End): void | Promise<void> {
    this.#server.gone(this);
    return this.#server.onClose?.(this, end);
  }
}

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
  readonly #welcomed = new Map<Connection, Welcomed>();
  readonly #waiting = new Map<Connection, ReturnType<typeof setTimeout> | undefined>();
  #service: Service | undefined;
  #name = "";
  #most: RingSizes = ringSizes();
  #settings = socketSettings({});
  #onData: DataHandler | undefined;
  #helloMs: number | undefined;
  #keys: KeyPair | undefined;
  #allowed: ReadonlySet<string> = new Set();
  readonly #limits: FullLimits | undefined;
  #refusals: Statistics["reasons"] = {};
  /** @internal Told of those whom the kernel's word was enough to refuse, instead of `onError`. */
  onTrouble: ((trouble: Trouble) => void) | undefined;

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
    for (const socket of this.#sockets) socket.listen();
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

  /** Serves `name` through memory, from now on. Throws EADDRINUSE, with the owner's process, if somebody does already. */
  async listen(name: string, options: ServerOptions = {}): Promise<void> {
    if (this.#service !== undefined) {
      throw new IpcError("EINVAL", `EINVAL: the server listens as "${this.#name}" already`);
    }
    const { ring, helloTimeout, messageBytesMax, spin, keys, allow, users, ...rest } = options;
    this.#allowed = allowedOf(keys, allow);
    this.#keys = keys;
    this.#most = ringSizes(ring);
    const limits = this.#limits;
    this.#settings =
      limits === undefined
        ? socketSettings({ messageBytesMax, spin })
        : { ...limits, spin: spinNs };
    this.#helloMs = patience("helloTimeout", helloTimeout ?? 5000);
    this.#service = await serve(
      name + memoryEnding,
      {
        open: (link) => this.#await(link),
        message: (link, message) => this.#heard(link, message),
        close: (link, end) => this.#left(link, end),
        trouble: (_, trouble) => this.#trouble(trouble),
      },
      {
        ...rest,
        allow: users,
        drainTimeout: limits?.drainTimeout,
        messageBytesMax: helloBytesMax,
        queueBytesMax: queueBytesMax(this.#settings.descriptorsHeld),
        descriptors: { max: limits === undefined ? 1 : constants.descriptors_max },
      },
    );
    this.#name = name;
  }

  /** @internal Gives up the name. Those that are connected go on; those who have still to come to an agreement do not. */
  stop(): void {
    this.#refusals = this.refusals;
    this.#service?.stop();
    this.#service = undefined;
    for (const link of this.#waiting.keys()) {
      this.#forget(link);
      void link.close({ now: true });
    }
  }

  /** @internal Those who were refused before they could say anything, by reason. */
  get refusals(): Statistics["reasons"] {
    return this.#service?.statistics().reasons ?? this.#refusals;
  }

  /** Stops accepting, and closes all sockets. What was written to them can still be read. Resolves when all have ended. */
  async close(): Promise<void> {
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

  // ---- from the Unix connections ----

  #await(link: Connection): void {
    const expire = () => this.#refuse(link, { code: "EPROTO", message: "no hello came in time" });
    this.#waiting.set(
      link,
      this.#helloMs === undefined ? undefined : setTimeout(expire, this.#helloMs),
    );
  }

  #heard(link: Connection, message: Message): void {
    const socket = this.#begun.get(link);
    const welcomed = this.#welcomed.get(link);
    if (socket !== undefined) socket.heard(message);
    else if (welcomed !== undefined) this.#prove(link, welcomed, message);
    else if (this.#waiting.has(link)) this.#welcome(link, message);
  }

  #prove(link: Connection, { rings, seal }: Welcomed, message: Message): void {
    try {
      checkProof(seal, message.bytes);
    } catch (error) {
      this.#refuse(link, { code: "EKEY", message: "it could not prove its public key" }, error);
      return;
    }
    this.#welcomed.delete(link);
    this.#begin(link, rings, seal);
  }

  #welcome(link: Connection, message: Message): void {
    let hello: Hello;
    try {
      hello = parseHello(message.bytes);
    } catch (error) {
      this.#refuse(link, { code: "EPROTO", message: (error as Error).message });
      return;
    }
    try {
      this.#let(link, hello.rings, this.#sealed(hello));
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error);
      this.#refuse(link, { code: "EKEY", message: text }, error);
    }
  }

  /** What is said to whoever wants a seal. Throws an Error that says why he is not let in. */
  #sealed({ rings, seal }: Hello) {
    const keys = this.#keys;
    if (keys !== undefined && seal !== undefined) {
      return answer(keys, this.#allowed, seal, about(this.#name, rings));
    }
    if (keys !== undefined) throw new Error("it is sealed here; connect with keys, and peer");
    if (seal !== undefined) throw new Error("it is not sealed here; connect without keys");
    return undefined;
  }

  #let(
    link: Connection,
    asked: RingSizes,
    sealed: { message: string; seal: Seal } | undefined,
  ): void {
    const rings = {
      up: Math.min(asked.up, this.#most.up),
      down: Math.min(asked.down, this.#most.down),
    };
    const made: number[] = [];
    let mapped: Segment[] = [];
    try {
      made.push(Segment.create(rings.up), Segment.create(rings.down));
      mapped = [new Segment(made[0]!, rings.up)];
      mapped.push(new Segment(made[1]!, rings.down));
      link.send(formatWelcome({ rings, seal: sealed?.message }), { descriptors: made });
    } catch (error) {
      for (const segment of mapped) segment.close();
      sealed?.seal.close();
      this.#refuse(
        link,
        { code: "EMFILE", message: "there is no room for another connection" },
        error,
      );
      return;
    } finally {
      for (const descriptor of made) closeSync(descriptor);
    }
    const both = { in: mapped[0]!, out: mapped[1]! };
    if (sealed === undefined) this.#begin(link, both);
    // What somebody has recorded could be said again, but not proved.
    else this.#welcomed.set(link, { rings: both, seal: sealed.seal });
  }

  #begin(link: Connection, rings: Rings, seal?: Seal): void {
    this.#forget(link);
    const socket = new ServerConnection(this, this.#name);
    this.#begun.set(link, socket);
    this.#sockets.add(socket);
    socket.begin(link, rings, this.#settings, seal);
    this.#call(() => this.onConnection?.(socket), socket);
  }

  #refuse(link: Connection, refusal: Refusal, cause?: unknown): void {
    this.#forget(link);
    if (link.open) link.send(formatRefusal(refusal));
    void link.close();
    this.#tell(
      undefined,
      new IpcError(
        "EMALFORMED",
        `EMALFORMED: a client of "${this.#name}" was refused: ${refusal.message}`,
        { service: this.#name, cause },
      ),
    );
  }

  #forget(link: Connection): void {
    clearTimeout(this.#waiting.get(link));
    this.#waiting.delete(link);
    const welcomed = this.#welcomed.get(link);
    if (welcomed === undefined) return;
    this.#welcomed.delete(link);
    closeRings(welcomed.rings);
    welcomed.seal.close();
  }

  #left(link: Connection, end: End): void {
    this.#forget(link);
    this.#begun.get(link)?.left(end);
  }

  #trouble(trouble: Trouble): void {
    if (this.onTrouble !== undefined) {
      this.onTrouble(trouble);
      return;
    }
    const { reason, uid, pid } = trouble;
    this.#tell(
      undefined,
      new IpcError(
        "EMALFORMED",
        `EMALFORMED: a client of "${this.#name}" was refused: ${reason} (user ${uid}, process ${pid})`,
        { service: this.#name },
      ),
    );
  }

  #call(handler: () => void | Promise<void>, socket: ServerConnection): void {
    try {
      const result = handler();
      if (result instanceof Promise) result.catch((error: unknown) => this.#threw(socket, error));
    } catch (error) {
      this.#threw(socket, error);
    }
  }

  #threw(socket: ServerConnection, error: unknown): void {
    if (this.onError === undefined) throwLater(error);
    else this.#tell(socket, error);
  }

  #tell(socket: ServerConnection | undefined, error: unknown): void {
    try {
      this.onError?.(socket, error);
    } catch (second) {
      throwLater(second);
    }
  }
}

/** Those who may connect. Throws EINVAL for half of what a seal takes, and EKEY for what is no public key. */
function allowedOf(keys: KeyPair | undefined, allow: readonly string[] | undefined): Set<string> {
  if (keys === undefined && allow === undefined) return new Set();
  if (keys === undefined || allow === undefined || allow.length === 0) {
    throw new IpcError(
      "EINVAL",
      "EINVAL: what is sealed takes both: keys, which are this end's, and allow, the public keys of those who may connect",
    );
  }
  for (const key of allow) parsePublicKey(key);
  return new Set(allow);
}
