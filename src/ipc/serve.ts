/** `serve`: a name, and what to do with what arrives. */

import { IpcError } from "../native/errors.ts";
import { loop } from "./loop.ts";
import { checkSealable, type Guard, seals } from "./seal.ts";
import type { ServeHandlers, ServeOptions } from "./service.ts";
import { Service } from "./service.ts";
import { memory } from "./transport.ts";

/**
 * Serves `name` in the run directory, which is made if it is missing. Throws EADDRINUSE, with the owner's process, if
 * somebody serves it already.
 *
 * @example
 * const pong = await serve("pong", {
 *   message(connection, message) { connection.send(message.bytes); },
 * });
 * await pong.close();
 */
export async function serve(
  name: string,
  handlers: ServeHandlers = {},
  options: ServeOptions = {},
): Promise<Service> {
  const { signal } = options;
  signal?.throwIfAborted();
  const transport = offersMemory(options) ? await memory() : undefined;
  const guard = await guardOf(name, options);
  signal?.throwIfAborted();
  const service = new Service(name, handlers, options, guard);
  const abort = () => void service.close();
  signal?.addEventListener("abort", abort);
  service.onClosed = () => signal?.removeEventListener("abort", abort);
  loop().soon();
  try {
    if (transport !== undefined) await service.offer(transport);
  } catch (error) {
    await service.close({ now: true });
    throw error;
  }
  return service;
}

/** Undefined where nothing is sealed. Throws EINVAL for what does not go together with a seal. */
async function guardOf(name: string, options: ServeOptions): Promise<Guard | undefined> {
  const { seal, descriptor } = options;
  if (seal === undefined) return undefined;
  checkSealable(name, options);
  if (Array.isArray(descriptor) && descriptor.length > 1) {
    throw new IpcError(
      "EINVAL",
      `EINVAL: "${name}" cannot be taken over and sealed: its connections would not have the keys of what comes next; ` +
        "stop the one that runs, then serve it",
      { service: name },
    );
  }
  return (await seals()).guard(name, options, seal);
}

/** Throws EINVAL where it goes together with nothing else that was asked for. */
function offersMemory(options: ServeOptions): boolean {
  if (options.memory === undefined || options.memory === false) return false;
  for (const other of ["descriptor", "address", "raw"] as const) {
    if (options[other] === undefined || options[other] === false) continue;
    throw new IpcError("EINVAL", `EINVAL: ${other} and memory do not go together; leave one out`);
  }
  return true;
}
