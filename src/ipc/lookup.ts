/**
 * What a client and ipcd say to each other, and ipcd and a daemon.
 *
 *     client ─▶ ipc       the message  SERVICE;NETWORK     NETWORK is IPC_NETWORK whole, see `network.ts`
 *     ipcd   ─▶ SCHEME    the message  URI
 *     answer of either    the two bytes  ok  with the descriptor, from where on the connection is what it leads to;
 *                         or the text  error: WHY  without one, and the end of the connection
 *
 * An answer has no length before it: what follows `ok` belongs to the service it leads to. The text of an error is
 * UTF-8, ends with the connection, and is no longer than `answerBytesMax`.
 */

import { constants } from "../native/layout.ts";
import { networkBytesMax } from "./network.ts";

/** Who is asked. */
export const lookupService = "ipc";

/** The longest request: a name, a semicolon and the variable. */
export const requestBytesMax = constants.name_bytes_max + 1 + networkBytesMax;
/** The longest answer: room for a sentence that has a URI in it, and little to hold for whoever reads it. */
export const answerBytesMax = 512;

export const ok = "ok";
const errorPrefix = "error: ";

export type LookupRequest = { readonly service: string; readonly network: string };

export function formatRequest({ service, network }: LookupRequest): string {
  return `${service};${network}`;
}

/** Undefined if it is none. Whether its two halves can be understood is not looked at. */
export function parseRequest(bytes: Uint8Array): LookupRequest | undefined {
  const text = textOf(bytes);
  const end = text?.indexOf(";") ?? -1;
  if (text === undefined || end < 0) return undefined;
  return { service: text.slice(0, end), network: text.slice(end + 1) };
}

/** Cut, between two characters, to what an answer may have. */
export function errorAnswer(why: string): Uint8Array {
  const room = new Uint8Array(answerBytesMax);
  const { written } = new TextEncoder().encodeInto(`${errorPrefix}${why}`, room);
  return room.subarray(0, written);
}

/** Undefined for text that is not UTF-8. */
function textOf(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return undefined;
  }
}
