/** `serve`: a name, and what to do with what arrives. */

import { loop } from "./loop.ts";
import type { ServeHandlers, ServeOptions } from "./service.ts";
import { Service } from "./service.ts";

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
export function serve(
  name: string,
  handlers: ServeHandlers = {},
  options: ServeOptions = {},
): Promise<Service> {
  return new Promise((resolve) => {
    const { signal } = options;
    signal?.throwIfAborted();
    const service = new Service(name, handlers, options);
    const abort = () => void service.close();
    signal?.addEventListener("abort", abort);
    service.onClosed = () => signal?.removeEventListener("abort", abort);
    loop().soon();
    resolve(service);
  });
}
