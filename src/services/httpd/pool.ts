/**
 * Connections to one service, kept for the next request.
 *
 * A connection has one request at a time, so that a slow one holds up nobody behind it, and that what a remote does
 * ends no connection on which others wait. One that took too long is never used again: its late answer would be that of
 * somebody else.
 *
 *     open ──lease──▶ one request ──a turn without another message──▶ idle ──lease──▶ …
 *                          │                                            │
 *                          └──────────── a message unasked ─────────────┘──▶ all that were used before are closed
 *
 * Only a service that answers each message once can be talked to like this. One that sends anything else, be it a greeting
 * or a second answer, is found out when that comes while nobody waits. From then on each request has a connection of its
 * own, and a request that waits on one that was used before gets no answer, since it might get somebody else's.
 */

import { connect } from "../../ipc/connect.ts";
import type { Connection } from "../../ipc/connection.ts";
import type { ConnectOptions } from "../../ipc/context-options.ts";
import { Fifo } from "../../ipc/fifo.ts";
import type { Asker } from "./asker.ts";
import type { Exchange } from "./exchange.ts";

export type PoolOptions = {
  readonly service: string;
  readonly connect: ConnectOptions;
  /** How many there may be; more requests wait for one of them. */
  readonly connectionsMax: number;
  /** Whether each request has a connection of its own, from the beginning. */
  readonly fresh: boolean;
  /** Something came that nobody had asked for; `isFirst` if each request has a connection of its own because of it. */
  readonly onUnasked: (isFirst: boolean) => void;
};

type Waiting = PromiseWithResolvers<Connection> & { readonly exchange: Exchange };

export class Pool implements Asker {
  readonly #options: PoolOptions;
  /** With how many requests each has had. */
  readonly #all = new Map<Connection, number>();
  /** The last one used is the next: its memory is warm, and the others may be closed one day. */
  readonly #idle: Connection[] = [];
  readonly #waiting = new Fifo<Waiting>();
  /** Those that have had their answer in this turn. */
  #returned: Connection[] = [];
  #count = 0;
  #isFresh: boolean;

  constructor(options: PoolOptions) {
    this.#options = options;
    this.#isFresh = options.fresh;
  }

  async ask(exchange: Exchange, body: Uint8Array) {
    const connection = await this.#lease(exchange);
    exchange.onGivenUp = () => void connection.close({ now: true });
    let used = true;
    try {
      exchange.check();
      const { bytes } = await connection.request(body);
      used = false;
      return bytes as Uint8Array<ArrayBuffer>;
    } finally {
      exchange.onGivenUp = undefined;
      this.#giveBack(connection, used);
    }
  }

  async close(): Promise<void> {
    await Promise.all([...this.#all.keys()].map((connection) => connection.close({ now: true })));
  }

  // ---- inside ----

  /** One that nobody else uses until it is given back. Rejects with why there is none. */
  #lease(exchange: Exchange): Connection | Promise<Connection> {
    let idle = this.#idle.pop();
    // One that is being closed is none any more.
    while (idle?.open === false) idle = this.#idle.pop();
    if (idle !== undefined) return this.#used(idle);
    if (this.#count < this.#options.connectionsMax) return this.#open();
    const waiting: Waiting = { exchange, ...Promise.withResolvers<Connection>() };
    exchange.onGivenUp = (why) => waiting.reject(why);
    this.#waiting.push(waiting);
    return waiting.promise;
  }

  /** `used` up: its answer did not come, or is not the last thing that may come. */
  #giveBack(connection: Connection, used: boolean): void {
    if (used || this.#isFresh) void connection.close({ now: true });
    // What came along with the answer is to be seen before another request is sent.
    else if (this.#returned.push(connection) === 1) setImmediate(this.#keepAll);
  }

  readonly #keepAll = (): void => {
    const returned = this.#returned;
    this.#returned = [];
    for (const connection of returned) this.#keep(connection);
  };

  async #open(): Promise<Connection> {
    this.#count += 1;
    try {
      const connection = await connect(this.#options.service, {
        ...this.#options.connect,
        message: (unasked) => {
          this.#learn();
          void unasked.close({ now: true });
        },
        close: (closed) => this.#closed(closed),
      });
      // What one turn of Bun's loop brings goes together.
      connection.gathers = true;
      this.#all.set(connection, 1);
      return connection;
    } catch (error) {
      this.#count -= 1;
      this.#openForWaiting();
      throw error;
    }
  }

  #keep(connection: Connection): void {
    if (!connection.open) return;
    if (this.#isFresh) void connection.close({ now: true });
    else if (!this.#hand(connection)) this.#idle.push(connection);
  }

  #used(connection: Connection): Connection {
    this.#all.set(connection, this.#all.get(connection)! + 1);
    return connection;
  }

  /** The service sends what nobody has asked for. */
  #learn(): void {
    const isFirst = !this.#isFresh;
    this.#isFresh = true;
    this.#options.onUnasked(isFirst);
    if (!isFirst) return;
    for (const connection of this.#idle.splice(0)) void connection.close({ now: true });
    // Those in their first request can only get what is theirs.
    for (const [connection, uses] of this.#all) {
      if (uses > 1) void connection.close({ now: true });
    }
  }

  #closed(connection: Connection): void {
    this.#all.delete(connection);
    const at = this.#idle.indexOf(connection);
    if (at >= 0) this.#idle.splice(at, 1);
    this.#count -= 1;
    this.#openForWaiting();
  }

  /** There is room for another connection, and maybe somebody who waits for one. */
  #openForWaiting(): void {
    const next = this.#next();
    if (next === undefined) return;
    this.#open().then(next.resolve, next.reject);
  }

  #hand(connection: Connection): boolean {
    const next = this.#next();
    if (next === undefined) return false;
    next.resolve(this.#used(connection));
    return true;
  }

  #next(): Waiting | undefined {
    let next = this.#waiting.shift();
    while (next?.exchange.givenUp !== undefined) next = this.#waiting.shift();
    return next;
  }
}
