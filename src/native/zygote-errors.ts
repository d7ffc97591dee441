/** What a failed call of libearshot-zygote becomes: an `IpcError` whose text says what was wrong, and what to do. */

import type { CodeTable } from "./code-table.ts";
import { byNumber } from "./code-table.ts";
import { IpcError } from "./errors.ts";
import { syscalls } from "./layout.ts";

/** The library's result codes: its name, its number, the `code` of the error it becomes, and its text. */
export const zygoteCodes = {
  ok: { number: 0, code: "EUNKNOWN", text: "no error" },
  invalid_argument: {
    number: -1,
    code: "EINVAL",
    text: "an argument is out of its range",
  },
  out_of_memory: {
    number: -4,
    code: "ENOMEM",
    text: "the system has no memory for another process; end some",
  },
  not_available: {
    number: -5,
    code: "ENOTSUP",
    text: "this system has no such thing; leave it out",
  },
  descriptor_limit: {
    number: -7,
    code: "EMFILE",
    text: "no file descriptors are left for another clone; end some, or raise the limit (ulimit -n)",
  },
  permission: {
    number: -28,
    code: "EPERM",
    text: "this user may not do that; leave it out, or start the zygote as one who may",
  },
  process_limit: {
    number: -90,
    code: "EAGAIN",
    text: "the system makes no more processes for this user; end some, or raise the limit (ulimit -u)",
  },
  not_alone: {
    number: -91,
    code: "EMODULE",
    text: "threads run in the process, which could hold locks that a fork needs",
  },
  too_many: {
    number: -92,
    code: "EMODULE",
    text: "more event loops, or more that they watch, were opened before the fork than are provided for",
  },
  gone: { number: -93, code: "ECLOSED", text: "the process has ended" },
  unexpected: { number: -99, code: "EUNKNOWN", text: "the system refused it" },
} as const satisfies CodeTable;

const entryOf = byNumber("zygote", zygoteCodes);

/** What the system said in the failed call, where that is known. */
export type ZygoteFailure = { readonly errno: number; readonly syscall: number };

/** The error for a result below zero; `what` it was about. */
export function zygoteErrorOf(
  result: number,
  what = "the zygote",
  { errno, syscall }: ZygoteFailure = { errno: 0, syscall: 0 },
): IpcError {
  const { code, text } = entryOf(result);
  const call = syscall === 0 ? "" : (syscalls[syscall] ?? "");
  const said = call === "" ? "" : ` (errno ${errno} in ${call})`;
  return new IpcError(code, `${code}: ${what}: ${text}${said}`, {
    errno: errno === 0 ? 0 : -errno,
    syscall: call,
  });
}
