/**
 * Where a service that a command starts has its socket from: from the process that ran it before, from the service
 * manager, or made by itself; and how it goes to the process that comes after.
 */

import type { Activated } from "../ipc/activation.ts";
import { activated, launched, socketFor } from "../ipc/activation.ts";
import { inspect } from "../ipc/run-directory.ts";
import type { ServeOptions } from "../ipc/service.ts";
import { Service } from "../ipc/service.ts";
import type { Offer, Takeover } from "../ipc/takeover.ts";
import { offerTakeover, takeOver } from "../ipc/takeover.ts";
import { IpcError } from "../native/errors.ts";
import type { Running, Startable } from "../services/startable.ts";
import { CommandError, saidOf } from "./command.ts";
import { printable, tell } from "./output.ts";

export class Succession {
  readonly #name: string;
  readonly #service: Startable;
  readonly #options: ServeOptions;
  #socket: Activated | undefined;
  #before: Takeover | undefined;
  #offer: Offer | undefined;
  #over = false;

  constructor(name: string, service: Startable, options: ServeOptions) {
    this.#name = name;
    this.#service = service;
    this.#options = options;
  }

  /** Looks for a socket that the service manager has passed: systemd by itself, launchd under the name `launchd`. */
  inherit(launchd: string | undefined): void {
    this.#socket = socketFor(this.#name, this.#passed(launchd));
  }

  #passed(launchd: string | undefined): Activated[] {
    const unusable = () =>
      new CommandError(
        `"${this.#name}" cannot use the socket that the service manager has passed: it does not serve a name alone`,
      );
    const isUsable = this.#service.handsOver !== undefined;
    try {
      const found = launchd === undefined ? activated() : launched(launchd);
      if (found.length > 0 && !isUsable) throw unusable();
      return found;
    } catch (error) {
      // Whatever it is, such as a socket of TCP: another one would not do either.
      throw launchd === undefined && !isUsable && error instanceof IpcError ? unusable() : error;
    }
  }

  /** Asks whoever runs it for it. Rejects with the signal's reason. */
  async ask(signal: AbortSignal): Promise<void> {
    if (this.#socket !== undefined) {
      throw new CommandError(
        "the service manager has passed a socket, so there is nothing to take over; leave out --takeover",
      );
    }
    if (this.#service.handsOver === undefined && this.#isServed()) {
      throw new CommandError(
        `"${this.#name}" cannot be taken over: it does not serve a name alone; stop the one that runs, then start it`,
      );
    }
    if (this.#service.handsOver !== undefined) {
      this.#before = await takeOver(this.#name, { ...this.#options, signal });
    }
    if (this.#before === undefined) {
      this.#say(1, "nobody offers it to be taken over; starting as usual");
    }
  }

  /** With what was handed over, if there is something. */
  async start(start: (options: ServeOptions) => Promise<Running>): Promise<Running> {
    const before = this.#before;
    if (before === undefined) {
      return await start({ ...this.#options, descriptor: this.#socket?.descriptor });
    }
    try {
      return await start({ ...this.#options, descriptor: before.descriptors });
    } catch (error) {
      const { over } = before;
      await before.close();
      // Who ended meanwhile has taken its name away.
      if (!over || !(error instanceof IpcError)) throw error;
      this.#before = undefined;
      return await start(this.#options);
    }
  }

  /** Tells the one before that it may leave, and whoever comes that it can be had. True if there was one before. */
  async settle(running: Running): Promise<boolean> {
    const before = this.#before;
    if (this.#service.handsOver === undefined || !(running instanceof Service)) return false;
    // No other process would have the keys of its connections.
    if (this.#options.seal !== undefined) return false;
    const stateless = this.#service.handsOver === "connections";
    try {
      const { rundir, shared } = this.#options;
      this.#offer = await offerTakeover(running, { rundir, shared, before, stateless });
    } catch (error) {
      if (before !== undefined || !(error instanceof IpcError)) throw error;
      // It serves all the same.
      this.#say(2, `cannot be taken over: ${saidOf(error)}`);
    }
    if (before !== undefined) this.#say(1, `taken over from process ${before.pid}`);
    return before !== undefined;
  }

  /** Resolves when another process serves instead, and never if none comes. */
  async taken(running: Running): Promise<void> {
    const offer = this.#offer;
    if (offer === undefined || !(running instanceof Service)) return await never;
    const { pid } = await offer.taken;
    this.#over = true;
    const { size } = running.connections;
    const count = size === 1 ? "1 connection" : `${size} connections`;
    this.#say(
      1,
      `taken over by process ${pid}; ${size === 0 ? "no connection is left" : `finishing ${count}`}`,
    );
  }

  /** Whether another process serves instead. */
  get over(): boolean {
    return this.#over;
  }

  /** Resolves when nothing is left to be done here, or after `seconds`. */
  async finished(seconds: number | undefined): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    // Longer than a timer can wait is as good as without a bound.
    const ms = (seconds ?? Infinity) * 1000;
    const timer = ms < 2 ** 31 ? setTimeout(resolve, ms) : undefined;
    await Promise.race([this.#offer?.finished, promise]);
    clearTimeout(timer);
  }

  async close(): Promise<void> {
    await this.#offer?.close();
  }

  /** Whether somebody serves the name; one that has no name in the run directory finds its address taken, if so. */
  #isServed(): boolean {
    try {
      return inspect(this.#name, this.#options).state !== "stale";
    } catch (error) {
      if (error instanceof IpcError && error.code === "ENOENT") return false;
      throw error;
    }
  }

  #say(descriptor: 1 | 2, text: string): void {
    tell(descriptor, `${this.#name}: ${printable(text)}\n`);
  }
}

const never = new Promise<never>(() => undefined);
