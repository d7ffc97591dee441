/**
 * What everything that the command `service` can start looks like. A module in this folder exports one as `service`,
 * and the catalog names the module.
 */

import type { ServeHandlers, ServeOptions } from "../ipc/service.ts";
import type { Options, Values } from "./option.ts";

/** Handlers that tell the person who started a service what went wrong with a peer. */
export type Reports = Required<Pick<ServeHandlers, "trouble" | "close" | "error">>;

export type Start = {
  /** The name to serve. */
  readonly name: string;
  /** Where, for whom, within which limits: what `serve` is given. */
  readonly options: ServeOptions;
  /** Handlers for `serve`, beside the service's own. */
  readonly reports: Reports;
};

/** One that was started. A `Service` is one. */
export type Running = {
  readonly name: string;
  /** Where it listens. */
  readonly path: string;
  /** Resolves when all its connections have ended: after sending what was taken, or at once with `now`. */
  close(options?: { now?: boolean }): Promise<void>;
};

export type Startable<Own extends Options = Options> = {
  /** One line for `service --list`. */
  readonly summary: string;
  /** Options of its own, beside those that every service has. */
  readonly options?: Own;
  /** Resolves when it listens. */
  start(how: Start, own: Values<Own>): Promise<Running>;
};
