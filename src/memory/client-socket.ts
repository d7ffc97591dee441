/** A client of a service that is reached through shared memory. */

import { keysOf } from "../crypto/key-pair.ts";
import { Asking } from "../crypto/meeting.ts";
import { connect as reach } from "../ipc/connect.ts";
import type { Connection } from "../ipc/connection.ts";
import type { ConnectOptions as IpcOptions } from "../ipc/context-options.ts";
import { Deadline } from "../ipc/deadline.ts";
import type { Descriptor } from "../ipc/descriptor.ts";
import type { End } from "../ipc/handlers.ts";
import type { FullLimits } from "../ipc/limits.ts";
import type { Message } from "../ipc/message.ts";
import { textOf } from "../ipc/numbers.ts";
import { memoryEnding } from "../ipc/run-directory.ts";
import type { OwnKeys } from "../ipc/seal.ts";
import type { RingOption } from "../ipc/transport.ts";
import type { IpcErrorCode } from "../native/errors.ts";
import { IpcError } from "../native/errors.ts";
import { constants } from "../native/layout.ts";
import { Segment } from "../native/shared-memory.ts";
import { nothingLost } from "./farewell.ts";
import {
  about,
  formatHello,
  helloBytesMax,
  parseAnswer,
  queueBytesMax,
  type RingSizes,
} from "./hello.ts";
import { MemorySocket } from "./memory-socket.ts";
import {
  ringSizes,
  type SocketOptions,
  type SocketSettings,
  socketSettings,
  spinNs,
} from "./options.ts";
import { closeRings, type Rings } from "./traffic.ts";

export type ClientOptions = Pick<IpcOptions, "rundir" | "shared" | "timeout"> &
  SocketOptions & {
    /** How large the rings are to be, in bytes: powers of two from 64 KiB to 1 GiB. Default 1 MiB. */
    ring?: RingOption | undefined;
    signal?: AbortSignal | undefined;
    /**
     * Seals what is written, both ways: this end's keys and the public key of the server. Both ends must, and each must
     * know the other's.
     */
    keys?: OwnKeys | undefined;
    peer?: string | undefined;
  };

/** @internal `calls` is what the service calls itself, where that is not the name that it is come to by. */
export type DialOptions = Omit<ClientOptions, keyof SocketOptions> & { calls?: string | undefined };

const ringsPerConnection = 2;

/** How a connection is come to, and agreed on. */
type Call = Pick<ClientOptions, "rundir" | "shared" | "signal"> & {
  /** How long the kernel may take to make it. */
  readonly timeout: number | undefined;
  readonly rings: RingSizes;
  readonly settings: SocketSettings;
  readonly asking?: Asking | undefined;
};

/** Why there will be no rings. */
type Failure = { readonly error: unknown; readonly end: End };

/**
 * @example
 * const client = new ClientSocket();
 * client.onData = (bytes) => console.log(new TextDecoder().decode(bytes));
 * await client.connect("pong");
 * client.write("hello");
 */
export class ClientSocket extends MemorySocket {
  /** There is room again, after a `write` or `reserve` that had none. */
  onDrain: (() => void | Promise<void>) | undefined;
  /** A handler threw, or the other side broke the rules. */
  onError: ((error: unknown) => void) | undefined;
  /** It has ended; nothing comes after. */
  onClose: ((end: End) => void | Promise<void>) | undefined;
  #onData: ((bytes: Uint8Array) => void | Promise<void>) | undefined;
  #connecting = false;
  #name = "";
  readonly #limits: FullLimits | undefined;
  /** What is told if it is closed before it is connected. */
  #abandon: ((error: unknown) => void) | undefined;

  /** @internal With limits, it is the socket of a connection that has them. */
  constructor(limits?: FullLimits) {
    super();
    this.#limits = limits;
  }

  override get service(): string {
    return this.#name;
  }

  /**
   * A message came. Its bytes lie in the ring, and are good until this returns or first awaits; `hold` keeps them. What
   * comes while it is not set waits for it, or for `read`.
   */
  get onData(): ((bytes: Uint8Array) => void | Promise<void>) | undefined {
    return this.#onData;
  }

  set onData(handler: ((bytes: Uint8Array) => void | Promise<void>) | undefined) {
    this.#onData = handler;
    this.side.listen();
  }

  /**
   * Connects to the service `name`. Rejects with ENOENT if nobody serves it through memory, ECONNRESET if it was not
   * let in, ECONNREFUSED if it was refused, and as `connect` does. A socket connects once.
   */
  async connect(name: string, options: ClientOptions = {}): Promise<void> {
    if (this.#connecting) {
      throw new IpcError("EINVAL", "EINVAL: a ClientSocket connects once; make another");
    }
    textOf("name", name);
    const rings = ringSizes(options.ring);
    const settings = socketSettings(options);
    const deadline = new Deadline(options.timeout ?? 5000);
    const asking = askingOf(name, rings, options);
    const { rundir, shared, signal } = options;
    this.#connecting = true;
    this.#name = name;
    try {
      const timeout = deadline.left;
      await this.#connect({ rundir, shared, signal, timeout, rings, settings, asking }, deadline);
    } catch (error) {
      this.#connecting = false;
      throw error;
    } finally {
      asking?.[Symbol.dispose]();
      this.#abandon = undefined;
    }
  }

  /**
   * @internal Connects, and does not wait for the other side to agree: `onBegun` is told when it has, and `onFailure` if
   * it will not. What is sent ahead is not lost.
   */
  async dial(
    name: string,
    { timeout, ring, keys, peer, calls, ...options }: DialOptions,
    onBegun: () => void,
    onFailure: (failure: Failure) => void,
  ): Promise<void> {
    const settings = { ...(this.#limits ?? socketSettings({})), spin: spinNs };
    this.#name = name;
    const rings = ringSizes(ring);
    const asking = askingOf(calls ?? name, rings, { keys, peer });
    const link = await this.#reach(
      { ...options, timeout, rings, settings, asking },
      onBegun,
      onFailure,
    );
    this.side.meet(link);
    if (link.open) link.send(formatHello({ rings, seal: asking?.asked }));
  }

  /** @internal There will be no connection. */
  fail(end: End): void {
    this.side.fail(end);
  }

  async #connect(call: Call, deadline: Deadline): Promise<void> {
    const { signal, rings, asking } = call;
    const begun = Promise.withResolvers<void>();
    // It may be over before anybody waits for it.
    begun.promise.catch(() => undefined);
    this.#abandon = begun.reject;
    const link = await this.#reach(call, begun.resolve, ({ error }) => begun.reject(error));
    const late = deadline.expire((timeout) => begun.reject(this.#late(timeout)));
    try {
      link.send(formatHello({ rings, seal: asking?.asked }));
      await begun.promise;
    } catch (error) {
      await link.close({ now: true });
      signal?.throwIfAborted();
      throw error;
    } finally {
      clearTimeout(late);
    }
  }

  /** The Unix connection; the first that comes over it is an answer to a hello. */
  async #reach(
    { rundir, shared, timeout, signal, rings, settings, asking }: Call,
    onBegun: () => void,
    onFailure: (failure: Failure) => void,
  ): Promise<Connection> {
    let isAnswered = false;
    // It begins within the first message, so that nothing of what follows is missed.
    const answer = (link: Connection, message: Message) => {
      isAnswered = true;
      try {
        const { rings: both, sealed } = this.#welcomed(message, rings, asking);
        this.side.begin(link, both, settings, sealed?.agreed);
        if (sealed !== undefined) link.send(sealed.proof);
        onBegun();
      } catch (error) {
        const why = error instanceof IpcError ? error : undefined;
        onFailure({
          error,
          end: { reason: "malformed", errno: 0, error: why, lost: nothingLost() },
        });
      }
    };
    return await reach(this.#name + memoryEnding, {
      rundir,
      shared,
      timeout,
      signal,
      network: "",
      transport: "unix",
      drainTimeout: this.#limits?.drainTimeout,
      messageBytesMax: helloBytesMax,
      queueBytesMax: queueBytesMax(settings.descriptorsHeld),
      descriptors: {
        max: this.#limits === undefined ? ringsPerConnection : constants.descriptors_max,
      },
      message: (link, message) => {
        if (isAnswered) this.side.heard(message);
        else answer(link, message);
      },
      close: (_, end) => {
        if (this.side.isBegun) this.side.left(end);
        else
          onFailure({
            error: this.#error("ECONNRESET", `it ended the connection (${end.reason})`),
            end,
          });
      },
    });
  }

  #welcomed(message: Message, asked: RingSizes, asking: Asking | undefined) {
    const { descriptors } = message;
    try {
      const said = parsed(message.bytes);
      if ("error" in said) {
        const { code, message: why } = said.error;
        throw this.#error(code === "EBUSY" ? code : "ECONNREFUSED", `${why} (${code})`);
      }
      const rings = mapped(descriptors, said.rings, asked);
      try {
        return { rings, sealed: sealOf(asking, said.seal) };
      } catch (error) {
        closeRings(rings);
        throw error;
      }
    } catch (error) {
      if (!(error instanceof Unusable)) throw error;
      throw this.#error("EMALFORMED", `what it answered makes no sense: ${error.message}`);
    } finally {
      for (const descriptor of descriptors) descriptor.close();
    }
  }

  #error(code: IpcErrorCode, why: string): IpcError {
    const text = `${code}: "${this.#name}" could not be reached through memory: ${why}`;
    return new IpcError(code, text, { service: this.#name });
  }

  #late(ms: number): IpcError {
    return new IpcError("ETIMEDOUT", `ETIMEDOUT: "${this.#name}" said nothing within ${ms} ms`, {
      service: this.#name,
    });
  }

  protected override get hears(): boolean {
    return this.#onData !== undefined;
  }

  protected override tellData(bytes: Uint8Array): void | Promise<void> {
    return this.#onData?.(bytes);
  }

  protected override tellDrain(): void | Promise<void> {
    return this.onDrain?.();
  }

  protected override tellError(error: unknown): boolean {
    this.onError?.(error);
    return this.onError !== undefined;
  }

  protected override tellClose(end: End): void | Promise<void> {
    this.#abandon?.(this.#error("ECLOSED", "it was closed before it was connected"));
    return this.onClose?.(end);
  }
}

/** What is said to be let in, if it is to be sealed. Throws EINVAL for half of what that takes. */
function askingOf(name: string, asked: RingSizes, { keys, peer }: ClientOptions) {
  if (keys === undefined && peer === undefined) return undefined;
  if (keys !== undefined && peer !== undefined) {
    return new Asking(keysOf(keys), textOf("peer", peer), about(name, asked));
  }
  throw new IpcError(
    "EINVAL",
    "EINVAL: what is sealed takes both: keys, which are this end's, and peer, the server's public key",
  );
}

/** What the two have agreed on. Throws an IpcError (ESEAL) if that is not what this side asked for. */
function sealOf(asking: Asking | undefined, said: string | undefined) {
  if (asking === undefined) {
    if (said === undefined) return undefined;
    throw new Unusable("it is sealed, which nobody has asked for");
  }
  if (said === undefined) throw new Unusable("it is not sealed, and was to be");
  return asking.finish(said);
}

/** What the server sent is no use. */
class Unusable extends Error {}

function parsed(bytes: Uint8Array): ReturnType<typeof parseAnswer> {
  try {
    return parseAnswer(bytes);
  } catch (error) {
    throw new Unusable((error as Error).message);
  }
}

function mapped(descriptors: readonly Descriptor[], rings: RingSizes, asked: RingSizes): Rings {
  const [up, down] = descriptors;
  if (up === undefined || down === undefined || descriptors.length > 2) {
    throw new Unusable(`two rings come with it, and not ${descriptors.length}`);
  }
  if (rings.up > asked.up || rings.down > asked.down) {
    const sizes = `${rings.up} and ${rings.down} bytes`;
    throw new Unusable(`its rings of ${sizes} are larger than what was asked for`);
  }
  const out = segment("up", up, rings.up);
  try {
    return { out, in: segment("down", down, rings.down) };
  } catch (error) {
    out.close();
    throw error;
  }
}

function segment(which: string, descriptor: Descriptor, ringBytes: number): Segment {
  try {
    return new Segment(descriptor.number, ringBytes);
  } catch (error) {
    throw new Unusable(`the ring ${which}: ${(error as Error).message}`);
  }
}
