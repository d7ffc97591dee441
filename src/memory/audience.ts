/** Who is told what happens at one side of a memory socket: its users, by what they have given, or an owner in their stead. */

import type { Descriptor } from "../ipc/descriptor.ts";
import type { End } from "../ipc/handlers.ts";
import { call, hand, tell } from "./calling.ts";
import type { Incoming } from "./incoming.ts";

/** What users have given to be told. */
export type Told = {
  readonly service: string;
  /** Whether there is anybody to be told of messages. */
  readonly hears: boolean;
  data(bytes: Uint8Array): void | Promise<void>;
  drain(): void | Promise<void>;
  /** False if nobody wants to know. */
  error(error: unknown): boolean;
  close(end: End): void | Promise<void>;
};

/** Who is told instead: it makes a connection of `serve` or `connect` of a socket. */
export type SocketOwner = {
  /** `isPassed`: the bytes are the message's own, and good for ever. The descriptors are the owner's. */
  onData(bytes: Uint8Array, isPassed: boolean, descriptors: readonly Descriptor[]): void;
  onRoom(): void;
  onEnd(end: End): void;
};

export class Audience {
  readonly #told: Told;
  #owner: SocketOwner | undefined;
  /** Whether there is anybody to be told of messages, as far as was last asked. */
  hears = false;

  constructor(told: Told) {
    this.#told = told;
  }

  get service(): string {
    return this.#told.service;
  }

  /** Asks whether there is anybody to be told of messages. */
  ask(): void {
    this.hears = this.#owner !== undefined || this.#told.hears;
  }

  /** From now on `owner` is told. */
  give(owner: SocketOwner): void {
    this.#owner = owner;
    this.ask();
  }

  /** The next message that came in. */
  message(bytes: Uint8Array, incoming: Incoming): void {
    if (this.#owner === undefined) hand(this.#told.data, bytes, this.#threw);
    else this.#owner.onData(bytes, incoming.isPassed, incoming.descriptors);
  }

  /** Messages can be written: users know that by what they have called. */
  begin(): void {
    this.ask();
    this.#owner?.onRoom();
  }

  /** There is room again. */
  room(): void {
    if (this.#owner === undefined) call(() => this.#told.drain(), this.#threw);
    else this.#owner.onRoom();
  }

  /** What nobody wants to know goes where an uncaught one goes, if it is the program's own. */
  error(error: unknown, isOurs: boolean): void {
    tell(() => this.#told.error(error), error, isOurs);
  }

  end(end: End): void {
    this.#owner?.onEnd(end);
    call(() => this.#told.close(end), this.#threw);
  }

  readonly #threw = (error: unknown): void => this.error(error, true);
}
