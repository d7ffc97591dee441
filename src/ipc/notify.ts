/** What a service tells the manager that has started it: sd_notify(3), which systemd and others understand. */

import { getSystemErrorName } from "node:util";
import { errorOf, IpcError, systemFailure } from "../native/errors.ts";
import { Failure } from "../native/layout.ts";
import { ipcLibrary } from "../native/library.ts";
import { Struct } from "../native/struct.ts";
import { nativeText } from "./run-directory.ts";

/**
 * Sends `NAME=VALUE` lines to where NOTIFY_SOCKET says, a path or, after an `@`, a name without a file. Returns false if
 * that is not set: then nobody wants to know. Throws if it cannot be sent, which is no reason to stop serving.
 *
 * @example
 * notify({ READY: 1, STATUS: "listening" });
 */
export function notify(assignments: Readonly<Record<string, string | number>>): boolean {
  const { NOTIFY_SOCKET: address = "" } = process.env;
  if (address === "") return false;
  const text = Object.entries(assignments)
    // A line cannot hold another.
    .map(([name, value]) => `${name}=${String(value).replaceAll("\n", " ")}`)
    .join("\n");
  const failure = new Struct(Failure);
  const { calls } = ipcLibrary();
  const result = calls.earshot_ipc_notify(
    ...nativeText(address),
    ...nativeText(text),
    failure.bytes,
  );
  if (result >= 0) return true;
  const said = systemFailure(failure);
  const { code } = errorOf(result, said);
  const why = said.errno === 0 ? code : getSystemErrorName(-said.errno);
  throw new IpcError(
    code,
    `${code}: the service manager was not told: ${why} for ${JSON.stringify(address)} (NOTIFY_SOCKET)`,
  );
}
