/** What the messages of a connection go through, and what `serve` and `connect` are told for it, in whatever process. */

import { KeyPair } from "../../src/crypto/key-pair.ts";
import type { ConnectOptions, ServeOptions } from "../../src/index.ts";

export type Transport = "unix" | "memory" | "sealed" | "sealed memory";

const keysOf = (byte: number) => new KeyPair(new Uint8Array(32).fill(byte));

/** Everybody's, so that they need not be handed on. */
export const serviceKeys = keysOf(1);
export const clientKeys = keysOf(2);

export const isSealed = (transport: Transport) => transport.startsWith("sealed");

export const isMemory = (transport: Transport) => transport.endsWith("memory");

export function served(transport: Transport): Pick<ServeOptions, "memory" | "seal"> {
  const seal = { keys: serviceKeys, allow: [clientKeys.publicKey] };
  return { memory: isMemory(transport), seal: isSealed(transport) ? seal : undefined };
}

export function reached(transport: Transport): Pick<ConnectOptions, "transport" | "seal"> {
  const seal = { keys: clientKeys, peer: serviceKeys.publicKey };
  return {
    transport: isMemory(transport) ? "memory" : "unix",
    seal: isSealed(transport) ? seal : undefined,
  };
}
