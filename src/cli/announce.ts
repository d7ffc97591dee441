/** What the service manager is told, if one wants to know; that it cannot be told is no reason to stop. */

import { notify } from "../ipc/notify.ts";
import { IpcError } from "../native/errors.ts";
import { saidOf } from "./command.ts";
import { printable, tell } from "./output.ts";

export function announce(service: string, state: Readonly<Record<string, string | number>>): void {
  try {
    notify(state);
  } catch (error) {
    if (!(error instanceof IpcError)) throw error;
    tell(2, `${service}: ${printable(saidOf(error))}\n`);
  }
}
