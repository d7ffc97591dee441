/**
 * What everything that the command `service` can start looks like. A module in this folder exports one as `service`,
 * and the catalog names the module.
 */

import type { ServeHandlers, ServeOptions } from "../ipc/service.ts";
import type { Options, Values } from "./option.ts";

/** Handlers that tell the person who started a service what went wrong with a peer. */
export type Reports = Required<Pick<ServeHandlers, "trouble" | "close" | "error">>;

/**
 * The same for a peer that is no connection, such as one from a network: who it is, what was wrong, and a word for the
 * kind of it, by which a flood is counted.
 */
export type Complain = (who: string, what: string, kind: string) => void;

export type Start = {
  /** The name to serve. */
  readonly name: string;
  /** Where, for whom, within which limits: what `serve` is given. */
  readonly options: ServeOptions;
  /** Handlers for `serve`, beside the service's own. */
  readonly reports: Reports;
  readonly complain: Complain;
  /** Aborts when it is to end before it has started; `start` may then reject with its reason, and leave nothing behind. */
  readonly signal: AbortSignal;
};

/** Figures by their names. */
export type Counts = Readonly<Record<string, number>>;

/** One that was started. A `Service` is one. */
export type Running = {
  readonly name: string;
  /** Where it listens. */
  readonly path: string;
  /** What it has done so far: told on SIGUSR2, as a line of JSON. */
  counters?(): Counts;
  /**
   * Reads again what it was started by, at SIGHUP, which then does not end it. Throws, and leaves all as it was, where
   * that is not possible.
   */
  reload?(): void | Promise<void>;
  /** Resolves when all its connections have ended: after sending what was taken, or at once with `now`. */
  close(options?: { now?: boolean }): Promise<void>;
};

export type Startable<Own extends Options = Options> = {
  /** One line for `service --list`. */
  readonly summary: string;
  /** The name it has in the run directory, where that is another than the one it is started by. */
  readonly name?: string;
  /** Options of its own, beside those that every service has, or in place of one of the same name. */
  readonly options?: Own;
  /** Of the options that every service has, those that mean nothing to this one, with what there is instead. */
  readonly unused?: Readonly<Record<string, string>>;
  /**
   * What of it another process can go on with (`--takeover`, or a socket from the service manager), for one that serves
   * `name` with all of `options`, and nothing else: the name alone, or its connections too, if it keeps nothing of one
   * between two messages and answers each before its handler returns. Without this, nothing.
   */
  readonly handsOver?: "name" | "connections";
  /** Resolves when it listens. */
  start(how: Start, own: Values<Own>): Promise<Running>;
};
