/** What a failed call of libearshot-memory becomes: an `IpcError` whose text says what was wrong, and what to do. */

import type { CodeTable } from "./code-table.ts";
import { byNumber } from "./code-table.ts";
import { IpcError } from "./errors.ts";
import { memoryConstants } from "./memory-layout.ts";

/** The library's result codes: its name, its number, the `code` of the error it becomes, and its text. */
export const memoryCodes = {
  ok: { number: 0, code: "EUNKNOWN", text: "no error" },
  invalid_argument: {
    number: -1,
    code: "EINVAL",
    text:
      `an argument is out of its range; a ring has a power of two bytes, from ${memoryConstants.ring_bytes_min} to ` +
      `${memoryConstants.ring_bytes_max}`,
  },
  out_of_memory: {
    number: -4,
    code: "ENOMEM",
    text: "the system has no memory to share; close what is not needed, or ask for smaller rings",
  },
  descriptor_limit: {
    number: -7,
    code: "EMFILE",
    text: "the process or the system is out of descriptors; close some, or raise the limit (ulimit -n)",
  },
  message_too_long: {
    number: -10,
    code: "EMSGSIZE",
    text: "the message is longer than the ring takes; ask for a larger one, or pass it",
  },
  not_sealed: {
    number: -80,
    code: "EMALFORMED",
    text:
      "the other side sent something that is no memory to share: its size, or bytes, could still change, or it cannot be " +
      "mapped, being sealed against writes, or open for reading or writing alone",
  },
  wrong_size: {
    number: -81,
    code: "EMALFORMED",
    text: "the other side sent shared memory of another size than it said",
  },
  corrupt: {
    number: -82,
    code: "EMALFORMED",
    text: "the other side has written what no ring holds; close the connection",
  },
  unexpected: {
    number: -99,
    code: "EUNKNOWN",
    text: "the system refused shared memory; see that this process may use memfd_create",
  },
} as const satisfies CodeTable;

const entryOf = byNumber("memory", memoryCodes);

/** The error for a result below zero. */
export function memoryErrorOf(result: number): IpcError {
  const { code, text } = entryOf(result);
  return new IpcError(code, `${code}: ${text}`);
}
