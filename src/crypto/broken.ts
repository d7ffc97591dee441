/** What is told of a seal that was broken, whatever it lay on. */

import { IpcError } from "../native/errors.ts";

/** `why` is in words, or what was thrown. */
export function broken(service: string, why: unknown): IpcError {
  const text = why instanceof Error ? why.message.replace(/^ESEAL: /, "") : String(why);
  const message = `ESEAL: the seal of "${service}" was broken: ${text}`;
  return new IpcError("ESEAL", message, {
    service,
    cause: why instanceof Error ? why : undefined,
  });
}

export const cutOff =
  "it is over, and the other end has not said so: whoever carries it has cut it off, or its process was killed, or has " +
  "not closed it";
