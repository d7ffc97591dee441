/** Shared memory as a way to a service: what `serve` and `connect` ask of it. */

import type { Peer } from "../ipc/context.ts";
import type { Deadline } from "../ipc/deadline.ts";
import { fullLimits } from "../ipc/limits.ts";
import { memoryEnding } from "../ipc/run-directory.ts";
import type { ServeOptions } from "../ipc/service.ts";
import type { Statistics } from "../ipc/statistics.ts";
import { noStatistics, sumOf } from "../ipc/statistics.ts";
import type { Offer, Offerer, Transport } from "../ipc/transport.ts";
import { IpcError } from "../native/errors.ts";
import type { Reason } from "../native/layout.ts";
import { ClientSocket, type DialOptions } from "./client-socket.ts";
import { MemoryChannel } from "./memory-channel.ts";
import type { MemorySocket } from "./memory-socket.ts";
import { ServerSocket } from "./server-socket.ts";

/** Why somebody may be refused before he says anything; all else is told of the channels. */
const refusalReasons = new Set(["not_allowed", "connections_limit", "descriptor_limit"]);

class MemoryOffer implements Offer {
  readonly #server: ServerSocket;
  readonly #limits;
  readonly #isSealed: boolean;
  readonly #offerer: Offerer;
  readonly #channels = new Set<MemoryChannel>();
  /** Of those that are over, and of whoever was accepted. */
  #past = noStatistics();

  constructor(options: ServeOptions, offerer: Offerer) {
    this.#limits = fullLimits(options);
    this.#isSealed = options.seal !== undefined;
    this.#offerer = offerer;
    this.#server = new ServerSocket(this.#limits);
    this.#server.onConnection = (socket) => this.#accept(socket);
    this.#server.onTrouble = (trouble) => this.#offerer.trouble(trouble);
    this.#server.onRefusal = (peer, reason, { message }) =>
      this.#turnedAway(peer, reason, message.replace(/^E[A-Z]+: /, ""));
    this.#server.onStray = (peer, { reason }) =>
      this.#turnedAway(peer, reason, "what it said was no hello");
  }

  async listen(name: string, options: ServeOptions): Promise<void> {
    const { rundir, shared, allow, mode, backlog, seal } = options;
    await this.#server.listen(name, {
      rundir,
      shared,
      users: allow,
      mode,
      backlog,
      connectionsMax: this.#limits.connectionsMax,
      ring: typeof options.memory === "object" ? options.memory.ring : undefined,
      ...(seal !== undefined && {
        keys: seal.keys,
        allow: seal.allow,
        helloTimeout: seal.timeout,
      }),
    });
  }

  #turnedAway({ uid, pid }: Peer, reason: Reason, why: string): void {
    this.#past.reasons[reason] = (this.#past.reasons[reason] ?? 0) + 1;
    const code = this.#isSealed ? "ESEAL" : "EMALFORMED";
    const text = `${code}: a client that came by memory was turned away: ${why}`;
    this.#offerer.trouble({ reason, errno: 0, uid, pid, error: new IpcError(code, text) });
  }

  #accept(socket: MemorySocket): void {
    const channel = new MemoryChannel(socket, this.#limits);
    this.#channels.add(channel);
    this.#past.connectionsAccepted += 1;
    channel.onOver = (figures) => {
      this.#channels.delete(channel);
      this.#past = sumOf([this.#past, figures]);
    };
    this.#offerer.accept(channel);
  }

  statistics(): Statistics {
    const open = Array.from(this.#channels, (channel) => channel.figures());
    const sum = sumOf([this.#past, ...open]);
    const refusals = Object.entries(this.#server.refusals).filter(([reason]) =>
      refusalReasons.has(reason),
    );
    return sumOf([sum, { ...noStatistics(), reasons: Object.fromEntries(refusals) }]);
  }

  stop(): void {
    this.#server.stop();
  }
}

export const memoryTransport: Transport = {
  async offer(name, options, offerer) {
    const offer = new MemoryOffer(options, offerer);
    await offer.listen(name, options).catch((error: unknown) => {
      throw named(name, error);
    });
    return offer;
  },

  // As over a socket, it is there when the kernel has it, whenever the service comes to look.
  async reach(name, options, deadline) {
    const limits = fullLimits(options);
    const { rundir, shared, signal, ring, seal } = options;
    const socket = new ClientSocket(limits);
    signal?.throwIfAborted();
    // The connection waits for the signal itself.
    const dialing = new AbortController();
    const abort = () => dialing.abort(signal?.reason);
    signal?.addEventListener("abort", abort);
    try {
      const given = { rundir, shared, timeout: deadline.left, signal: dialing.signal, ring };
      if (seal === undefined) {
        await socket.dial(name, given, nothing, ({ end }) => socket.fail(end));
      } else {
        const { peer, service } = seal;
        const keys = { keys: seal.keys, peer, calls: service };
        await dialSealed(socket, name, { ...given, ...keys }, deadline);
      }
    } catch (error) {
      throw named(name, error);
    } finally {
      signal?.removeEventListener("abort", abort);
    }
    return new MemoryChannel(socket, limits);
  },
};

const nothing = () => undefined;

/** Waits until it is agreed on how to seal: who is not let in is to know why. */
async function dialSealed(
  socket: ClientSocket,
  name: string,
  given: DialOptions,
  deadline: Deadline,
): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  // It may be over before anybody waits for it.
  promise.catch(nothing);
  const late = deadline.expire((timeout) => {
    const text = `ETIMEDOUT: "${name}" through memory said nothing within ${timeout} ms`;
    reject(new IpcError("ETIMEDOUT", text, { service: name }));
  });
  const abort = () => reject(given.signal?.reason);
  given.signal?.addEventListener("abort", abort);
  let isLost = false;
  try {
    await socket.dial(name, given, resolve, ({ error, end }) => {
      if (!isLost) socket.fail(end);
      isLost = true;
      reject(error);
    });
    await promise;
  } catch (error) {
    void socket.close();
    throw error;
  } finally {
    clearTimeout(late);
    given.signal?.removeEventListener("abort", abort);
  }
}

/** What is wrong at NAME.memory is told of NAME. */
function named(name: string, error: unknown): unknown {
  if (!(error instanceof IpcError) || error.service !== name + memoryEnding) return error;
  const message = error.message.replaceAll(`"${name}${memoryEnding}"`, `"${name}" through memory`);
  const { code, errno, syscall, path, cause } = error;
  return new IpcError(code, message, { service: name, errno, syscall, path, cause });
}
