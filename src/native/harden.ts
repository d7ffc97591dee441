/** What a process does that keeps secrets: nothing of its memory comes to be in a file, or in the hands of others. */

import { zygoteLibrary } from "./library.ts";
import { zygoteErrorOf } from "./zygote-errors.ts";

/** A function of this system or another: what macOS and FreeBSD lack is told, and no reason not to go on. */
export type Hardened = "locked" | "unlocked" | "unavailable";

/**
 * Has no core written of this process, and lets nobody else of its user look into its memory; which is not swapped out
 * either where it is `locked`. It cannot be had back.
 */
export function harden(): Hardened {
  const result = zygoteLibrary().calls.earshot_zygote_harden();
  if (result >= 0) return result === 1 ? "locked" : "unlocked";
  const error = zygoteErrorOf(result, "hardening");
  if (error.code === "ENOTSUP") return "unavailable";
  throw error;
}
