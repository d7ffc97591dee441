/** A lock on an open file, which keeps out those alone who ask for it. */

import { errorOf, systemFailure } from "../native/errors.ts";
import { Failure } from "../native/layout.ts";
import { ipcLibrary } from "../native/library.ts";
import { Struct } from "../native/struct.ts";

/**
 * Takes it, without waiting; false if another descriptor has it, in whatever process. The file is to be open for writing.
 * There is nothing to give back: the lock goes when the descriptor is closed, and with its process, however that ends.
 */
export function takeLock(descriptor: number): boolean {
  const failure = new Struct(Failure);
  const result = ipcLibrary().calls.earshot_ipc_lock(descriptor, failure.bytes);
  if (result < 0) throw errorOf(result, systemFailure(failure));
  return result === 1;
}
