/**
 * Connections to a service that is said to answer each message once, and all of a connection in their order
 * (`--ordered`): so requests need not wait for a connection that nobody else uses, and what one turn of Bun's loop brings
 * is one system call to the service, and maybe one from it.
 *
 *     requests of all remotes ──▶ the first connection with room ──▶ service ──▶ answers, in that order
 *
 * Whoever waits behind a slow one waits too. A connection on which one was given up gets no more while there is another:
 * those behind it have their own time to wait. A service that sends what nobody waits for is not as it was said to be:
 * its connections are closed, and from then on each request has one of its own.
 */

import { connect } from "../../ipc/connect.ts";
import type { Connection } from "../../ipc/connection.ts";
import type { Asker } from "./asker.ts";
import type { Exchange } from "./exchange.ts";
import { Pool, type PoolOptions } from "./pool.ts";

/** With so many under way on one connection, the next is for another one, as long as there may be one more. */
const requestsHigh = 64;

type Line = {
  readonly opening: Promise<Connection>;
  /** Once it is open. */
  connection: Connection | undefined;
  /** Requests that wait there. */
  waiting: number;
  /** One was given up, whose answer has not come. */
  stuck: boolean;
};

export class Shared implements Asker {
  readonly #options: PoolOptions;
  readonly #lines = new Set<Line>();
  /** What asks since the service was found out. */
  #instead: Pool | undefined;

  constructor(options: PoolOptions) {
    this.#options = options;
  }

  async ask(exchange: Exchange, body: Uint8Array) {
    if (this.#instead !== undefined) return await this.#instead.ask(exchange, body);
    const line = this.#choose();
    line.waiting += 1;
    try {
      const connection = line.connection ?? (await line.opening);
      exchange.check();
      return await this.#answer(line, exchange, connection.request(body));
    } finally {
      exchange.onGivenUp = undefined;
      line.waiting -= 1;
      if (line.stuck && line.waiting === 0) void this.#end(line);
    }
  }

  async close(): Promise<void> {
    await Promise.all([this.#instead?.close(), ...[...this.#lines].map((line) => this.#end(line))]);
  }

  // ---- inside ----

  #answer(line: Line, exchange: Exchange, answer: ReturnType<Connection["request"]>) {
    const { promise, resolve, reject } = Promise.withResolvers<Uint8Array<ArrayBuffer>>();
    exchange.onGivenUp = (why) => {
      line.stuck = true;
      reject(why);
    };
    answer.then(({ bytes }) => resolve(bytes as Uint8Array<ArrayBuffer>), reject);
    return promise;
  }

  /** The first that has room; else another, or of those there are the one on which fewest wait. */
  #choose(): Line {
    let best: Line | undefined;
    for (const line of this.#lines) {
      // One that broke is told of later.
      if (line.connection?.open === false) continue;
      if (!line.stuck && line.waiting < requestsHigh) return line;
      if (best === undefined || isBetter(line, best)) best = line;
    }
    if (best !== undefined && this.#lines.size >= this.#options.connectionsMax) return best;
    return this.#open();
  }

  #open(): Line {
    const opening = connect(this.#options.service, {
      ...this.#options.connect,
      message: () => this.#learn(),
      close: () => void this.#lines.delete(line),
    });
    const line: Line = { opening, connection: undefined, waiting: 0, stuck: false };
    this.#lines.add(line);
    opening.then(
      (connection) => {
        connection.gathers = true;
        line.connection = connection;
      },
      () => this.#lines.delete(line),
    );
    return line;
  }

  /** The service sends what nobody waits for. */
  #learn(): void {
    const isFirst = this.#instead === undefined;
    this.#instead ??= new Pool({ ...this.#options, fresh: true });
    this.#options.onUnasked(isFirst);
    for (const line of this.#lines) void this.#end(line);
  }

  async #end(line: Line): Promise<void> {
    this.#lines.delete(line);
    // One that is being opened is nobody's either; that it cannot be is told to those who wait for it.
    const connection = line.connection ?? (await line.opening.catch(() => undefined));
    await connection?.close({ now: true });
  }
}

function isBetter(one: Line, other: Line): boolean {
  return one.stuck === other.stuck ? one.waiting < other.waiting : other.stuck;
}
