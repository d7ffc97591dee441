/** The result codes of a library that has a text for each. */

import type { IpcErrorCode } from "./errors.ts";

/** A code's number, the `code` of the error it becomes, and its text. */
export type CodeEntry = {
  readonly number: number;
  readonly code: IpcErrorCode;
  readonly text: string;
};

/** By their names. */
export type CodeTable = Readonly<Record<string, CodeEntry>>;

/** Finds the entry of a number; for one that is not known, one that says so. */
export function byNumber(library: string, table: CodeTable): (result: number) => CodeEntry {
  const entries = new Map(Object.values(table).map((entry) => [entry.number, entry]));
  return (result) =>
    entries.get(result) ?? {
      number: result,
      code: "EUNKNOWN",
      text: `libearshot-${library} answered ${result}, which is not known here`,
    };
}
