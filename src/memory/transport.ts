/** Shared memory as a way to a service: what `serve` and `connect` ask of it. */

import { fullLimits } from "../ipc/limits.ts";
import { memoryEnding } from "../ipc/run-directory.ts";
import type { ServeOptions } from "../ipc/service.ts";
import type { Statistics } from "../ipc/statistics.ts";
import { noStatistics, sumOf } from "../ipc/statistics.ts";
import type { Offer, Offerer, Transport } from "../ipc/transport.ts";
import { IpcError } from "../native/errors.ts";
import { ClientSocket } from "./client-socket.ts";
import { MemoryChannel } from "./memory-channel.ts";
import type { MemorySocket } from "./memory-socket.ts";
import { ServerSocket } from "./server-socket.ts";

/** Why somebody may be refused before he says anything; all else is told of the channels. */
const refusalReasons = new Set(["not_allowed", "connections_limit", "descriptor_limit"]);

class MemoryOffer implements Offer {
  readonly #server: ServerSocket;
  readonly #limits;
  readonly #offerer: Offerer;
  readonly #channels = new Set<MemoryChannel>();
  /** Of those that are over, and of whoever was accepted. */
  #past = noStatistics();

  constructor(options: ServeOptions, offerer: Offerer) {
    this.#limits = fullLimits(options);
    this.#offerer = offerer;
    this.#server = new ServerSocket(this.#limits);
    this.#server.onConnection = (socket) => this.#accept(socket);
    this.#server.onTrouble = (trouble) => this.#offerer.trouble(trouble);
  }

  async listen(name: string, options: ServeOptions): Promise<void> {
    const { rundir, shared, allow, mode, backlog } = options;
    await this.#server.listen(name, {
      rundir,
      shared,
      users: allow,
      mode,
      backlog,
      connectionsMax: this.#limits.connectionsMax,
      ring: typeof options.memory === "object" ? options.memory.ring : undefined,
    });
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
  async reach(name, options) {
    const limits = fullLimits(options);
    const { rundir, shared, timeout, signal, ring } = options;
    const socket = new ClientSocket(limits);
    signal?.throwIfAborted();
    // The connection waits for the signal itself.
    const dialing = new AbortController();
    const abort = () => dialing.abort(signal?.reason);
    signal?.addEventListener("abort", abort);
    try {
      const given = { rundir, shared, timeout, signal: dialing.signal, ring };
      await socket.dial(name, given, ({ end }) => socket.fail(end));
    } catch (error) {
      throw named(name, error);
    } finally {
      signal?.removeEventListener("abort", abort);
    }
    return new MemoryChannel(socket, limits);
  },
};

/** What is wrong at NAME.memory is told of NAME. */
function named(name: string, error: unknown): unknown {
  if (!(error instanceof IpcError) || error.service !== name + memoryEnding) return error;
  const message = error.message.replaceAll(`"${name}${memoryEnding}"`, `"${name}" through memory`);
  const { code, errno, syscall, path, cause } = error;
  return new IpcError(code, message, { service: name, errno, syscall, path, cause });
}
