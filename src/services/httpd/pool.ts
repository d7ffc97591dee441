/**
 * Connections to one service, kept for the next request.
 *
 * A connection has one request at a time, so that a slow one holds up nobody behind it, and that what a remote does
 * ends no connection on which others wait. One that took too long, or on which something came that nobody asked for, is
 * never used again: its late answer would be that of somebody else.
 */

import { connect } from "../../ipc/connect.ts";
import type { Connection } from "../../ipc/connection.ts";
import type { ConnectOptions } from "../../ipc/context.ts";
import { Fifo } from "../../ipc/fifo.ts";
import type { Exchange } from "./exchange.ts";

export type PoolOptions = {
  readonly service: string;
  readonly connect: ConnectOptions;
  /** How many there may be; more requests wait for one of them. */
  readonly connectionsMax: number;
  /** Whether each request has a connection of its own. */
  readonly fresh: boolean;
  /** Something came that nobody had asked for. */
  readonly onUnasked: () => void;
};

type Waiting = PromiseWithResolvers<Connection> & { readonly exchange: Exchange };

export class Pool {
  readonly #options: PoolOptions;
  readonly #all = new Set<Connection>();
  /** The last one used is the next: its memory is warm, and the others may be closed one day. */
  readonly #idle: Connection[] = [];
  readonly #waiting = new Fifo<Waiting>();
  #count = 0;

  constructor(options: PoolOptions) {
    this.#options = options;
  }

  /** One that nobody else uses until it is given back. Rejects with why there is none. */
  lease(exchange: Exchange): Connection | Promise<Connection> {
    let idle = this.#idle.pop();
    // One that is being closed is none any more.
    while (idle?.open === false) idle = this.#idle.pop();
    if (idle !== undefined) return idle;
    if (this.#count < this.#options.connectionsMax) return this.#open();
    const waiting: Waiting = { exchange, ...Promise.withResolvers<Connection>() };
    exchange.onGivenUp = (why) => waiting.reject(why);
    this.#waiting.push(waiting);
    return waiting.promise;
  }

  /** `used` up: its answer did not come, or is not the last thing that may come. */
  giveBack(connection: Connection, used: boolean): void {
    if (used || this.#options.fresh || !connection.open) void connection.close({ now: true });
    else if (!this.#hand(connection)) this.#idle.push(connection);
  }

  async close(): Promise<void> {
    await Promise.all([...this.#all].map((connection) => connection.close({ now: true })));
  }

  async #open(): Promise<Connection> {
    this.#count += 1;
    try {
      const connection = await connect(this.#options.service, {
        ...this.#options.connect,
        message: (unasked) => {
          this.#options.onUnasked();
          void unasked.close({ now: true });
        },
        close: (closed) => this.#closed(closed),
      });
      this.#all.add(connection);
      return connection;
    } catch (error) {
      this.#count -= 1;
      this.#openForWaiting();
      throw error;
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
    next?.resolve(connection);
    return next !== undefined;
  }

  #next(): Waiting | undefined {
    let next = this.#waiting.shift();
    while (next?.exchange.givenUp !== undefined) next = this.#waiting.shift();
    return next;
  }
}
