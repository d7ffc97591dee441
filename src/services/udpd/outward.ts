/**
 * What clients are led to by lookups of `udp://HOST:PORT`: each has a socket of its own, which hears that one address and
 * nobody else. A message is a datagram, and what comes back is a message.
 *
 * That nobody listens there (ECONNREFUSED) ends it, as the end of a local service does: the kernel has held what the
 * network says of it against what was sent, and a client that waits for an answer would wait in vain. What else the
 * network says, such as that there is no route now, may pass. So does silence, until it has lasted for both sides longer
 * than a remote udpd keeps who is silent: what would come next would be somebody new there.
 */

import type { Connection } from "../../ipc/connection.ts";
import type { ConnectOptions } from "../../ipc/context-options.ts";
import { limitDefaults } from "../../ipc/limits.ts";
import type { Uri } from "../../ipc/uri.ts";
import type { Address } from "../daemon/address.ts";
import { formatAddress } from "../daemon/address.ts";
import type { Counters } from "../daemon/counters.ts";
import { goOnFramed } from "../daemon/framed.ts";
import { atFirstOf } from "../daemon/host.ts";
import type { Reach } from "../daemon/lookups.ts";
import { NoWay } from "../daemon/way.ts";
import type { Complain } from "../startable.ts";
import type { LineEvents } from "./line.ts";
import { Line } from "./line.ts";
import { Turn } from "./turn.ts";

export const outwardCounts = [
  "outward_datagrams_in",
  "outward_datagrams_out",
  "outward_bytes_in",
  "outward_bytes_out",
  "outward_dropped_queue",
  "outward_dropped_too_long",
  "outward_dropped_unsent",
  "outward_refused",
  "outward_idle",
  "outward_turns",
] as const;
export type OutwardCount = (typeof outwardCounts)[number];

export type OutwardOptions = {
  readonly connect: ConnectOptions;
  readonly linesMax: number;
  /** What may wait for one client. */
  readonly queueBytesMax: number;
  readonly idleMs: number;
  readonly complain: Complain;
};

const lookMs = 1000;

export class Outward {
  readonly #options: OutwardOptions;
  readonly #counters: Counters<OutwardCount>;
  readonly #messageBytesMax: number;
  readonly #lines = new Set<Line>();
  readonly #turn = new Turn(() => this.#counters.add("outward_turns"));
  #timer: ReturnType<typeof setInterval> | undefined;

  constructor(options: OutwardOptions, counters: Counters<OutwardCount>) {
    this.#options = options;
    this.#counters = counters;
    this.#messageBytesMax = options.connect.messageBytesMax ?? limitDefaults.messageBytesMax;
  }

  /** Leads to the URI of a lookup. A name in it is for people: a datagram has no room for one. */
  readonly reach: Reach = async ({ host, port }: Uri, signal) => {
    if (this.#lines.size >= this.#options.linesMax) {
      throw new NoWay("there are as many connections as are allowed; try again later");
    }
    const line = await atFirstOf(host, signal, (number) =>
      this.#open({ host: number, port: port! }),
    );
    this.#lines.add(line);
    this.#timer ??= setInterval(() => this.#look(), lookMs);
    void line.over.then(() => this.#forget(line));
    return { join: (raw) => this.#join(line, raw), drop: () => line.end() };
  };

  /** To be called when no more lookups come. What waits for clients is still theirs, unless `now`. */
  async close(now: boolean): Promise<void> {
    const clients = [...this.#lines].flatMap(({ client }) => client ?? []);
    for (const line of this.#lines) line.end();
    await Promise.all(clients.map((client) => client.close({ now })));
  }

  async #open(address: Address): Promise<Line> {
    const events: LineEvents = {
      datagram: (line, bytes, truncated) => {
        this.#receive(line, bytes, truncated);
        this.#turn.count();
      },
      refused: (line) => this.#refused(line),
      unsent: () => this.#counters.add("outward_dropped_unsent"),
    };
    try {
      return await Line.open(address, events);
    } catch (error) {
      const { code } = error as { code?: string };
      throw new NoWay(`no datagram can be sent to ${formatAddress(address)} (${code ?? error})`);
    }
  }

  async #join(line: Line, raw: Connection): Promise<void> {
    try {
      line.client = await goOnFramed(raw, {
        ...this.#options.connect,
        message: (_, { bytes }) => this.#send(line, bytes),
        close: () => line.end(),
      });
      line.client.gathers = true;
      await line.client.ended;
    } finally {
      line.end();
    }
  }

  #send(line: Line, bytes: Uint8Array): void {
    try {
      // A network that takes no more loses it, as networks do.
      if (line.send(bytes)) {
        this.#counters.add("outward_datagrams_out");
        this.#counters.add("outward_bytes_out", bytes.length);
      } else {
        this.#counters.add("outward_dropped_unsent");
      }
    } catch (error) {
      this.#notSent(line, bytes.length, error as NodeJS.ErrnoException);
    }
  }

  #notSent(line: Line, length: number, { code, message }: NodeJS.ErrnoException): void {
    if (code === "ECONNREFUSED") {
      this.#refused(line);
      return;
    }
    const tooLong = code === "EMSGSIZE";
    this.#counters.add(tooLong ? "outward_dropped_too_long" : "outward_dropped_unsent");
    const what = tooLong
      ? `a message of ${length} bytes is too long for a datagram, and dropped`
      : `could not be sent a message: ${message}`;
    this.#complain(line, what, tooLong ? "too_long" : "unsent");
  }

  #receive(line: Line, bytes: Uint8Array, truncated: boolean): void {
    const { client } = line;
    // Nobody has asked anything yet, or there is nobody any more.
    if (client === undefined || !client.open) return;
    this.#counters.add("outward_datagrams_in");
    this.#counters.add("outward_bytes_in", bytes.length);
    if (truncated || bytes.length > this.#messageBytesMax) {
      this.#counters.add("outward_dropped_too_long");
      const what = `a datagram of ${bytes.length} bytes is longer than a message may be, and dropped`;
      this.#complain(line, what, "too_long");
    } else if (client.queuedBytes + bytes.length > this.#options.queueBytesMax) {
      this.#counters.add("outward_dropped_queue");
      this.#complain(line, "sends faster than the client takes it", "queue_limit");
    } else {
      client.send(bytes);
    }
  }

  #refused(line: Line): void {
    if (line.ended) return;
    this.#counters.add("outward_refused");
    this.#complain(line, "nobody listens there; the connection ends", "refused");
    line.end();
    void line.client?.close();
  }

  #look(): void {
    const silentSince = performance.now() - this.#options.idleMs;
    for (const line of this.#lines) {
      if (line.movedAt > silentSince) continue;
      this.#counters.add("outward_idle");
      line.end();
      void line.client?.close();
    }
  }

  #forget(line: Line): void {
    this.#lines.delete(line);
    if (this.#lines.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #complain(line: Line, what: string, kind: string): void {
    this.#options.complain(formatAddress(line.address), what, kind);
  }
}
