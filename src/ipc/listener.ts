/** Sockets that listen already when this process gets them. */

import { errorOf, systemFailure } from "../native/errors.ts";
import { Failure } from "../native/layout.ts";
import { ipcLibrary } from "../native/library.ts";
import { Struct } from "../native/struct.ts";

/** More than a socket address holds on any system. */
const pathBytesMax = 256;

/**
 * Takes a descriptor that this process was started with for its own, so that it does not outlive an exec, and returns
 * the path that clients find it by, "" if it has none. Throws ENOTSOCK, EINVAL or EBADF if it is no Unix stream socket,
 * does not listen, or is not open.
 */
export function inherit(descriptor: number): string {
  const path = new Uint8Array(pathBytesMax);
  const failure = new Struct(Failure);
  const { calls } = ipcLibrary();
  const length = calls.earshot_ipc_inherit(descriptor, path, path.length, failure.bytes);
  if (length < 0) throw errorOf(length, systemFailure(failure), { descriptor });
  return Buffer.from(path.buffer, 0, length).toString();
}
