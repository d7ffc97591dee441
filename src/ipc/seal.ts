/**
 * Connections whose two ends know each other's public key, and seal what they send: what `serve` and `connect` are given
 * for it, and what they ask of whoever does it. That lies above (`src/crypto/seals.ts`), and is brought here by
 * `src/transports.ts`, so that no arrow runs upward. It is loaded when somebody first asks for a seal.
 */

import { IpcError } from "../native/errors.ts";
import type { Carrier, Channel } from "./channel.ts";
import type { ConnectOptions } from "./connect.ts";
import type { Deadline } from "./deadline.ts";
import type { Limits } from "./limits.ts";
import type { ServeOptions } from "./service.ts";
import type { Statistics } from "./statistics.ts";
import type { Offerer } from "./transport.ts";

/** This end's, as `keyPair()` and `loadKeys()` of `earshot/crypto` return them. */
export type OwnKeys = {
  /** 43 characters, for the other end to know. */
  readonly publicKey: string;
  /** 32 bytes, for nobody else. */
  readonly secretKey: Uint8Array;
};

/** A client's: who it is, and whom it means. */
export type ClientSeal = {
  readonly keys: OwnKeys;
  /** The service's public key. */
  readonly peer: string;
  /**
   * What the service calls itself, if that is not the name that it is connected to by: a URI of IPC_NETWORK may lead to
   * another. Both ends have to mean the same one.
   */
  readonly service?: string | undefined;
};

/** A service's: who it is, and who may connect. */
export type ServiceSeal = {
  readonly keys: OwnKeys;
  /** The public keys of those who may. */
  readonly allow: readonly string[];
  /** How long a client may take to show that it is one of them, in milliseconds. Default 5 s. */
  readonly timeout?: number | undefined;
};

/** One client's part. */
export type Caller = {
  /** What the channel beneath has to be made with. */
  readonly limits: Limits;
  /** Agrees with whoever is at the other end; the channel is closed if that fails, or has not come to pass by then. */
  meet(channel: Carrier, deadline: Deadline): Promise<Channel>;
};

/** One service's part. */
export type Guard = {
  readonly limits: Limits;
  /** Somebody has come: what is agreed on with him is accepted, and whoever is turned away told of. */
  admit(channel: Carrier, to: Offerer): void;
  /** What the service has done, by the figures of the channels beneath. */
  statistics(beneath: Statistics): Statistics;
  /** Turns away those with whom nothing is agreed on yet. */
  stop(): void;
};

export type Seals = {
  /** Throws EINVAL or EKEY for what cannot be sealed with. */
  call(name: string, options: ConnectOptions, seal: ClientSeal): Caller;
  guard(name: string, options: ServeOptions, seal: ServiceSeal): Guard;
};

let load: (() => Promise<Seals>) | undefined;

/** Says where it is that seals. */
export function provideSeals(loadIt: () => Promise<Seals>): void {
  load = loadIt;
}

/** Throws ENOTSUP in a program that was built without it. */
export function seals(): Promise<Seals> {
  if (load !== undefined) return load();
  throw new IpcError("ENOTSUP", "ENOTSUP: this program was built without sealed connections");
}

const whyNot = {
  raw: "what is sealed are messages, and raw has none",
  descriptors:
    "descriptors cannot be sealed, since whoever lies between the two ends could exchange them",
} as const;

/** Throws EINVAL where something else was asked for that cannot be had together with a seal. */
export function checkSealable(name: string, options: Limits & { seal?: unknown }): void {
  if (options.seal === undefined) return;
  for (const [other, why] of Object.entries(whyNot)) {
    const given = options[other as keyof typeof whyNot];
    if (given === undefined || given === false) continue;
    throw new IpcError(
      "EINVAL",
      `EINVAL: ${other} and seal do not go together: ${why}; leave one out`,
      { service: name },
    );
  }
}
