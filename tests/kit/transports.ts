/** The same tests over each transport: what a connection does is the same whatever its messages go through. */

import { describe } from "bun:test";
import type { Connection, ConnectOptions } from "../../src/index.ts";
import { connect, serve } from "../../src/index.ts";

export type Transport = "unix" | "memory";

/** `serve` and `connect` as they are over one transport, unless a test says otherwise. */
export type Over = {
  readonly transport: Transport;
  readonly serve: typeof serve;
  readonly connect: typeof connect;
  /** A client that reads nothing. */
  deaf(name: string, options: ConnectOptions): Promise<Connection>;
  /** What a program of the tests is told, so that it serves the same way. */
  readonly memory: boolean;
  /** Where the service is come to. */
  socket(name: string): string;
};

function over(transport: Transport): Over {
  const memory = transport === "memory";
  const reach: typeof connect = (name, options) => connect(name, { transport, ...options });
  return {
    transport,
    memory,
    serve: (name, handlers, options) => serve(name, handlers, { memory, ...options }),
    connect: reach,
    async deaf(name, options) {
      const client = await reach(name, options);
      client.pause();
      return client;
    },
    socket: (name) => (memory ? `${name}.memory` : name),
  };
}

const transports = [over("unix"), over("memory")];

/** Declares the tests of `suite` once for each transport. */
export function overEach(suite: (over: Over) => void): void {
  for (const each of transports) describe(`over ${each.transport}`, () => suite(each));
}
