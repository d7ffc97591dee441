/** The same tests over each transport: what a connection does is the same whatever its messages go through. */

import { describe, test } from "bun:test";
import type { Connection, ConnectOptions } from "../../src/index.ts";
import { connect, serve } from "../../src/index.ts";
import type { Transport } from "./over.ts";
import { isMemory, isSealed, reached, served } from "./over.ts";

/** `serve` and `connect` as they are over one transport, unless a test says otherwise. */
export type Over = {
  /** What a program of the tests is told, so that it serves the same way (`kit/over.ts`). */
  readonly transport: Transport;
  readonly serve: typeof serve;
  readonly connect: typeof connect;
  /** A client that reads nothing. */
  deaf(name: string, options: ConnectOptions): Promise<Connection>;
  readonly memory: boolean;
  /**
   * `test` for one with peers by hand, who seal nothing, or with a service that answers nobody, to whom sealed there is
   * no connection: declares nothing where it would be sealed.
   */
  readonly testOpen: TestOpen;
  /** Where the service is come to. */
  socket(name: string): string;
};

type TestOpen = {
  (name: string, act: () => Promise<void>): void;
  readonly if: (condition: boolean) => (name: string, act: () => Promise<void>) => void;
};

const nothing: TestOpen = Object.assign(() => undefined, { if: () => () => undefined });

function over(transport: Transport): Over {
  const memory = isMemory(transport);
  const reach: typeof connect = (name, options) =>
    connect(name, { ...reached(transport), ...options });
  return {
    transport,
    memory,
    testOpen: isSealed(transport) ? nothing : test,
    serve: (name, handlers, options) => serve(name, handlers, { ...served(transport), ...options }),
    connect: reach,
    async deaf(name, options) {
      const client = await reach(name, options);
      client.pause();
      return client;
    },
    socket: (name) => (memory ? `${name}.memory` : name),
  };
}

const open = [over("unix"), over("memory")];
const sealed = [over("sealed"), over("sealed memory")];

/** Declares the tests of `suite` once for each transport. */
export function overEach(suite: (over: Over) => void): void {
  for (const each of [...open, ...sealed]) describe(`over ${each.transport}`, () => suite(each));
}

/** The same but for those that are sealed: for peers by hand, who seal nothing, and for what cannot be sealed. */
export function overEachOpen(suite: (over: Over) => void): void {
  for (const each of open) describe(`over ${each.transport}`, () => suite(each));
}
