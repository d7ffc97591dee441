/** What users give to have rings made. */

import { type FullLimits, fullLimits } from "../ipc/limits.ts";
import { within } from "../ipc/numbers.ts";
import type { RingOption } from "../ipc/transport.ts";
import { IpcError } from "../native/errors.ts";
import { type RingSizes, ringBytesOf } from "./hello.ts";

const ringBytes = 1024 * 1024;

/** What both ends have in common. */
export type SocketOptions = {
  /** The longest message, both ways; who sends a longer one is dropped. In bytes, default 16 MiB. */
  messageBytesMax?: number | undefined;
  /** How long `read` looks for a message before it sleeps, in nanoseconds; 0 is not at all. Default 50,000. */
  spin?: number | undefined;
};

/** Sleeping and waking costs about as much. */
export const spinNs = 50_000;

export type SocketSettings = Pick<
  FullLimits,
  "messageBytesMax" | "descriptorsMax" | "descriptorsHeld" | "stallTimeout"
> & { readonly spin: number };

/** With defaults filled in. Throws EINVAL for what is out of range. */
export function socketSettings({ messageBytesMax, spin }: SocketOptions): SocketSettings {
  return {
    ...fullLimits({ messageBytesMax }),
    // What is written is bytes alone.
    descriptorsHeld: 0,
    spin: within("spin", spin ?? spinNs, 0, 1e12),
  };
}

/** Throws EINVAL for what is no size of a ring. */
export function ringSizes(option: RingOption = ringBytes): RingSizes {
  const given =
    typeof option === "object" && option !== null ? option : { up: option, down: option };
  try {
    return {
      up: ringBytesOf("ring.up", given.up === undefined ? ringBytes : given.up),
      down: ringBytesOf("ring.down", given.down === undefined ? ringBytes : given.down),
    };
  } catch (error) {
    throw new IpcError("EINVAL", `EINVAL: ${(error as Error).message}`);
  }
}
