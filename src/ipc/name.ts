/**
 * What can be the name of a service, for text that becomes no socket's path here: an entry of IPC_NETWORK, a request
 * from elsewhere. The same rules as the native library's, in the same order; `tests/vectors/names.json` holds both to them.
 */

import type { nameFaults } from "../native/layout.ts";
import { constants } from "../native/layout.ts";

export type NameFault = (typeof nameFaults)[number];

const alphabet = /^[A-Za-z0-9._-]+$/;
const reserved = /\.lock$/i;

/** The first rule that the name breaks; undefined if it is a good one. */
export function nameFault(name: string): NameFault | undefined {
  if (name === "") return "empty";
  // What UTF-8 makes longer is refused either way, but for its length first.
  if (new TextEncoder().encode(name).length > constants.name_bytes_max) return "too_long";
  if (name.startsWith(".")) return "leading_dot";
  if (!alphabet.test(name)) return "character";
  return reserved.test(name) ? "reserved_ending" : undefined;
}
