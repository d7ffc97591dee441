/** What one side of a switch speaks, where that is not frames: how messages are made of it, and it of messages. */

import { IpcError } from "../native/errors.ts";
import { verdicts } from "../native/layout.ts";
import type { Payload } from "./message.ts";
import { bytesOf } from "./message.ts";

/** How a function of a `Format` ends without anything to pass on. The numbers are LibIPC's. */
export const Verdict = {
  /** It cannot be understood: the switch ends, with the reason `malformed`. */
  Error: verdicts.failed,
  /** The conversation is over, and so is the switch: `peer_closed`. */
  Closing: verdicts.closing,
  /** There is nothing to pass on, this time. */
  Ignore: verdicts.ignore,
} as const;

export type Verdict = (typeof Verdict)[keyof typeof Verdict];

/** What something becomes: one piece, several, or none (undefined is `Verdict.Ignore`). */
export type Converted = Payload | readonly Payload[] | Verdict | undefined;

/**
 * Both functions are called in the middle of a wait, and call nothing of the context. What they throw ends their switch,
 * and no other.
 *
 * @example
 * // Lines of text on one side, messages on the other.
 * let rest = "";
 * const lines: Format = {
 *   in(bytes) {
 *     const [...whole] = (rest + Buffer.from(bytes).toString()).split("\n");
 *     rest = whole.pop()!;
 *     return whole;
 *   },
 *   out: (message) => `${Buffer.from(message)}\n`,
 * };
 */
export type Format = {
  /** Takes what has arrived, and gives messages. */
  in?: ((bytes: Uint8Array) => Converted) | undefined;
  /** Takes a message that is to leave, and gives bytes. */
  out?: ((message: Uint8Array) => Converted) | undefined;
};

/** @internal Hands each piece over, and returns what native code is to be told. */
export function convertWith(
  convert: (bytes: Uint8Array) => Converted,
  bytes: Uint8Array,
  hand: (piece: Uint8Array) => void,
): number {
  const made: unknown = convert(bytes);
  if (made === undefined) return verdicts.ignore;
  if (made instanceof Promise) {
    // Nobody else looks at what becomes of it.
    made.catch(() => undefined);
    throw new IpcError("EINVAL", "EINVAL: a format's functions are not asynchronous");
  }
  if (typeof made === "number") {
    if (made === Verdict.Error || made === Verdict.Closing || made === Verdict.Ignore) return made;
    throw new IpcError("EINVAL", `EINVAL: a format has returned ${made}, which is no verdict`);
  }
  for (const piece of Array.isArray(made) ? (made as readonly Payload[]) : [made as Payload]) {
    hand(bytesOf(piece));
  }
  return verdicts.done;
}
