/** What a failed call of libearshot-seal becomes: an `IpcError` whose text says what was wrong, and what to do. */

import type { CodeTable } from "./code-table.ts";
import { byNumber } from "./code-table.ts";
import { IpcError } from "./errors.ts";
import { sealConstants } from "./seal-layout.ts";

/** The library's result codes: its name, its number, the `code` of the error it becomes, and its text. */
export const sealCodes = {
  ok: { number: 0, code: "EUNKNOWN", text: "no error" },
  invalid_argument: {
    number: -1,
    code: "EINVAL",
    text: "an argument is out of its range, or what is written overlaps what is read; seal in place or elsewhere",
  },
  closed: { number: -2, code: "ECLOSED", text: "the seal is closed" },
  in_use: {
    number: -3,
    code: "EBUSY",
    text: "another thread is using the seal; give each thread a connection of its own",
  },
  out_of_memory: { number: -4, code: "ENOMEM", text: "out of memory" },
  handle_limit: {
    number: -6,
    code: "EHANDLES",
    text: "the process holds as many sealed connections as it can name; close some",
  },
  message_too_long: {
    number: -10,
    code: "EMSGSIZE",
    text:
      `the message is longer than can be sealed (${sealConstants.message_bytes_max} bytes, ` +
      `${sealConstants.handshake_payload_bytes_max} in a handshake)`,
  },
  no_room: {
    number: -60,
    code: "EINVAL",
    text: `the room for the result is too small; a record is ${sealConstants.tag_bytes} bytes longer than its message`,
  },
  not_authentic: {
    number: -61,
    code: "ESEAL",
    text:
      "what came is not what the peer sealed: it was changed, left out, repeated or put in another order, or the " +
      "peer has other keys than expected; compare the public keys, and close the connection",
  },
  too_short: {
    number: -62,
    code: "ESEAL",
    text: "what came was cut short: it is shorter than anything a peer that seals can have sent; close the connection",
  },
  failed: {
    number: -63,
    code: "ESEAL",
    text: "the seal was broken by what came before, and opens nothing any more; close the connection",
  },
  wrong_step: {
    number: -64,
    code: "EINVAL",
    text: "it is not the time for that: the handshake is over, or is not yet, or it is the peer's turn",
  },
  weak_key: {
    number: -65,
    code: "EKEY",
    text: "a public key is one of the few with which nothing is secret; take one that keyPair() has made",
  },
  no_common_suite: {
    number: -66,
    code: "ESEAL",
    text: "the two ends have no cipher in common; bring the older one up to date",
  },
  version_unknown: {
    number: -67,
    code: "ESEAL",
    text: "the peer seals in a version that is not known here; bring the older end up to date",
  },
  exhausted: {
    number: -68,
    code: "ESEAL",
    text: "all numbers of this direction are used up; connect again",
  },
  no_randomness: {
    number: -69,
    code: "EUNKNOWN",
    text: "the system gives no random bytes (getrandom); allow this process to call it",
  },
} as const satisfies CodeTable;

const entryOf = byNumber("seal", sealCodes);

/** The error for a result below zero. */
export function sealErrorOf(result: number): IpcError {
  const { code, text } = entryOf(result);
  return new IpcError(code, `${code}: ${text}`);
}
