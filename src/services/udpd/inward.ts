/**
 * Datagrams from remotes to a service, and its messages back to them.
 *
 * Whoever can send a datagram can write any sender on it, so a flood may seem to come from more remotes than there are.
 * When there is no room for another, it is the new ones that are refused, and none that is there has to go: otherwise
 * such a flood would end everybody's conversation. A remote that has not sent anything since it was answered, as
 * borrowed addresses never do, is kept for a shorter time, so that the room is soon there again.
 */

import { networkInterfaces } from "node:os";
import type { ConnectOptions } from "../../ipc/context-options.ts";
import { Fifo } from "../../ipc/fifo.ts";
import type { End } from "../../ipc/handlers.ts";
import { limitDefaults } from "../../ipc/limits.ts";
import type { Message } from "../../ipc/message.ts";
import { IpcError, isClosed } from "../../native/errors.ts";
import type { Address } from "../daemon/address.ts";
import { formatAddress, unmapped } from "../daemon/address.ts";
import type { Admission } from "../daemon/admission.ts";
import { NotAdmitted } from "../daemon/admission.ts";
import type { Counters } from "../daemon/counters.ts";
import { droppedBySystem } from "./drops.ts";
import { Remote } from "./remote.ts";
import { Turn } from "./turn.ts";

export type InwardOptions = {
  readonly admission: Admission;
  /** A number: names are not looked up here. */
  readonly listen: Address;
  readonly service: string;
  readonly connect: ConnectOptions;
  readonly remotesMax: number;
  /** What of one remote may wait for the service. */
  readonly queueBytesMax: number;
  readonly idleMs: number;
  /** The same for those of whom it is not known that they get answers. */
  readonly idleNewMs: number;
  readonly complain: (who: string, what: string, kind: string) => void;
};

export const inwardCounts = [
  "remotes",
  "remotes_refused",
  "remotes_idle",
  "datagrams_in",
  "datagrams_out",
  "bytes_in",
  "bytes_out",
  "dropped_denied",
  "dropped_queue",
  "dropped_service",
  "dropped_too_long",
  "dropped_unsent",
  "dropped_own",
  /** How often so many came at once that answers were seen to in between. */
  "turns",
] as const;
export type InwardCount = (typeof inwardCounts)[number];

/**
 * So many are connected in one turn of Bun's loop: connecting takes many times longer than reading a datagram, and the
 * kernel keeps a few hundred of them and drops the rest.
 */
const beginningsMax = 4;
const lookMs = 1000;
/** How long a daemon that is being closed waits for answers, which may never come. */
const answersMs = 2000;

type Socket = Bun.udp.Socket<"buffer">;

export class Inward {
  readonly counters: Counters<InwardCount>;
  readonly #options: InwardOptions;
  readonly #messageBytesMax: number;
  readonly #ownHosts: ReadonlySet<string>;
  readonly #remotes = new Map<string, Remote>();
  readonly #turn = new Turn(() => this.counters.add("turns"));
  /** Those that are to be connected. */
  readonly #beginning = new Fifo<Remote>();
  #socket!: Socket;
  #timer: ReturnType<typeof setInterval> | undefined;
  #closing = false;
  #quiet: (() => void) | undefined;

  /** Rejects with a system error if it cannot listen there. */
  static async open(options: InwardOptions, counters: Counters<InwardCount>): Promise<Inward> {
    const inward = new Inward(options, counters);
    const { host: hostname, port } = options.listen;
    inward.#socket = await Bun.udpSocket({
      hostname,
      port,
      socket: {
        data: (_, bytes, port, host, flags) => {
          inward.#receive(bytes, port, host, flags.truncated);
          inward.#turn.count();
        },
        // That a remote is there no more, mostly; it ends when its time is over.
        error: () => inward.counters.add("dropped_unsent"),
      },
    });
    return inward;
  }

  private constructor(options: InwardOptions, counters: Counters<InwardCount>) {
    this.counters = counters;
    this.#options = options;
    this.#ownHosts = ownHosts(options.listen.host);
    this.#messageBytesMax = options.connect.messageBytesMax ?? limitDefaults.messageBytesMax;
  }

  /** Where it listens. */
  get address(): Address {
    return { host: this.#options.listen.host, port: this.#socket.port };
  }

  /** Datagrams that never came here, since the system had no room for them. */
  get droppedBySystem(): number {
    // Its types have no descriptor.
    const { fd } = this.#socket as Socket & { readonly fd: number };
    return droppedBySystem(fd);
  }

  /** Takes no more datagrams, waits a little for answers to those it took, and ends all connections. */
  async close(now: boolean): Promise<void> {
    this.#closing = true;
    if (!now && this.#unanswered() > 0) await this.#answers();
    this.#quiet?.();
    clearInterval(this.#timer);
    for (const remote of this.#remotes.values()) remote.end();
    this.#remotes.clear();
    if (!this.#socket.closed) this.#socket.close();
    await this.#options.admission.close();
  }

  // ---- from remotes ----

  #receive(bytes: Buffer, port: number, host: string, truncated: boolean): void {
    if (this.#closing) return;
    this.counters.add("datagrams_in");
    this.counters.add("bytes_in", bytes.length);
    if (truncated || bytes.length > this.#messageBytesMax) {
      this.counters.add("dropped_too_long");
      return;
    }
    if (port === this.#socket.port && this.#ownHosts.has(host)) {
      // Its answer would come back to us, and be answered again, without end.
      this.counters.add("dropped_own");
      return;
    }
    const key = `${port} ${host}`;
    const remote = this.#remotes.get(key) ?? this.#add(key, { host, port });
    if (remote !== undefined) this.#forward(remote, bytes);
  }

  #add(key: string, address: Address): Remote | undefined {
    const { admission, service, connect, queueBytesMax, remotesMax } = this.#options;
    if (this.#remotes.size >= remotesMax) {
      this.counters.add("remotes_refused");
      this.#complain(address, "refused: there are as many remotes as are allowed", "remotes_limit");
      return undefined;
    }
    const remote = new Remote(address, {
      admission,
      service,
      connect,
      queueBytesMax,
      onMessage: (to, message) => this.#send(to, message),
      onEnd: (ended, why) => this.#ended(key, ended, why),
    });
    this.#remotes.set(key, remote);
    this.counters.add("remotes");
    this.#beginning.push(remote);
    if (this.#beginning.length === 1) setImmediate(this.#begin);
    this.#timer ??= setInterval(() => this.#look(), lookMs);
    return remote;
  }

  readonly #begin = (): void => {
    for (const remote of this.#beginning.take(beginningsMax)) remote.begin();
    if (this.#beginning.length > 0) setImmediate(this.#begin);
  };

  #forward(remote: Remote, bytes: Uint8Array): void {
    if (remote.denied) {
      this.counters.add("dropped_denied");
      return;
    }
    try {
      if (remote.take(bytes)) return;
      this.counters.add("dropped_queue");
      this.#complain(remote.address, "sends faster than the service takes it", "queue_limit");
    } catch (error) {
      if (!isClosed(error)) throw error;
      // Its connection is ending, which is told when it has.
      this.counters.add("dropped_service");
    }
  }

  // ---- from the service ----

  #send(remote: Remote, { bytes }: Message): void {
    const { host, port } = remote.address;
    try {
      // A network that takes no more loses it, as networks do.
      if (this.#socket.send(bytes, port, host)) {
        this.counters.add("datagrams_out");
        this.counters.add("bytes_out", bytes.length);
      } else {
        this.counters.add("dropped_unsent");
      }
    } catch (error) {
      this.#notSent(remote, bytes.length, error as NodeJS.ErrnoException);
    }
    if (this.#closing && this.#unanswered() === 0) this.#quiet?.();
  }

  #notSent({ address }: Remote, length: number, { code, message }: NodeJS.ErrnoException): void {
    const tooLong = code === "EMSGSIZE";
    this.counters.add(tooLong ? "dropped_too_long" : "dropped_unsent");
    const what = tooLong
      ? `an answer of ${length} bytes is too long for a datagram, and dropped`
      : `could not be sent an answer: ${message}`;
    this.#complain(address, what, tooLong ? "too_long" : "unsent");
  }

  #ended(key: string, remote: Remote, why: End | { error: unknown }): void {
    // One that is denied is kept for its time: ipcd is not to be asked for each of its datagrams.
    if (!remote.denied && this.#remotes.get(key) === remote) this.#remotes.delete(key);
    if (this.#closing) return;
    if (remote.denied) {
      this.counters.add("remotes_refused");
      this.counters.add("dropped_denied", remote.unanswered);
      this.#complain(
        remote.address,
        `refused: ${textOf((why as { error: unknown }).error)}`,
        "denied",
      );
    } else if ("error" in why) {
      this.counters.add("dropped_service", remote.unanswered);
      this.#complain(remote.address, `not connected: ${textOf(why.error)}`, "not_connected");
    } else if (why.reason !== "closed" && why.reason !== "peer_closed") {
      this.#complain(remote.address, `the service went away (${why.reason})`, "service_ended");
    }
  }

  // ---- times ----

  #look(): void {
    const { idleMs, idleNewMs } = this.#options;
    const now = performance.now();
    for (const [key, remote] of this.#remotes) {
      if (now - remote.heardAt < (remote.knows ? idleMs : idleNewMs)) continue;
      this.#remotes.delete(key);
      this.counters.add("remotes_idle");
      remote.end();
    }
    if (this.#remotes.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #unanswered(): number {
    let sum = 0;
    for (const remote of this.#remotes.values()) sum += remote.unanswered;
    return sum;
  }

  async #answers(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#quiet = resolve;
    const timer = setTimeout(resolve, answersMs);
    await promise;
    clearTimeout(timer);
  }

  #complain(address: Address, what: string, kind: string): void {
    this.#options.complain(formatAddress(unmapped(address)), what, kind);
  }
}

/** What a sender may be called that is this daemon itself. */
function ownHosts(host: string): ReadonlySet<string> {
  if (host !== "0.0.0.0" && host !== "::") return new Set([host]);
  const all = Object.values(networkInterfaces()).flatMap((each) => each ?? []);
  // A socket for both IPv4 and IPv6 calls the former by the latter (RFC 4291, section 2.5.5.2).
  return new Set(all.flatMap(({ address }) => [address, `::ffff:${address}`]));
}

function textOf(error: unknown): string {
  if (error instanceof NotAdmitted) return error.message;
  if (!(error instanceof IpcError)) return String(error);
  return error.message.slice(`${error.code}: `.length);
}
