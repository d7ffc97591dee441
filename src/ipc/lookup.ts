/**
 * What a client and ipcd say to each other, and ipcd and a daemon; as in LibIPC.
 *
 *     client ─▶ ipc       the message  SERVICE;NETWORK     NETWORK is IPC_NETWORK whole, see `network.ts`
 *     ipcd   ─▶ SCHEME    the message  URI
 *     answer of either    the two bytes  ok  with the descriptor, which is the connection to the service
 *                         or the text  error: WHY  without one, and the end
 *
 * The answer is no message: it has no length before it, and the text of an error, UTF-8 of no more than
 * `answerBytesMax`, ends with the connection. That of a daemon has no descriptor: the connection it came over is what
 * leads to the service from then on.
 *
 * A URI brings one end of a connection along, which a daemon keeps open for as long as that lasts; one that knows of no
 * such thing closes it at once.
 *
 * The bytes are in `tests/vectors/lookup.json`.
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
/** What an error comes to that has no text. */
const noReason = "there is no way, and the answer does not say why";

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

/**
 * What a whole answer says: undefined for `ok`, or why there is no way. Whether a descriptor came with it is for whoever
 * has read it to know.
 */
export function answeredError(bytes: Uint8Array): string | undefined {
  const text = textOf(bytes.subarray(0, answerBytesMax));
  if (text === ok) return undefined;
  if (text?.startsWith(errorPrefix) === true) return text.slice(errorPrefix.length) || noReason;
  return "the answer is neither ok nor an error; is it ipcd that answers?";
}

/** An answer as it comes in. */
export class Answer {
  #bytes = new Uint8Array(0);
  #isTooLong = false;

  /** Whether it is `ok`, and whole. The text of an error goes on to the end of the connection. */
  hear(bytes: Uint8Array): boolean {
    const length = this.#bytes.length + bytes.length;
    this.#isTooLong ||= length > answerBytesMax;
    const all = new Uint8Array(Math.min(length, answerBytesMax));
    all.set(this.#bytes);
    all.set(bytes.subarray(0, all.length - this.#bytes.length), this.#bytes.length);
    this.#bytes = all;
    return textOf(all) === ok;
  }

  /** It is more than any answer has, and no more of it is kept. */
  get isTooLong(): boolean {
    return this.#isTooLong;
  }

  /** Why there is no way, when the connection has ended. */
  get error(): string {
    if (this.#bytes.length === 0) return "it ended the connection without an answer";
    return answeredError(this.#bytes) ?? "it ended the connection behind its answer";
  }
}

/** What is read at once of an answer, so that nothing of what comes behind it is read with it. */
export const answerStep = ok.length;

/** Undefined for text that is not UTF-8. */
function textOf(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return undefined;
  }
}
