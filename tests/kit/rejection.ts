/** What a promise is rejected with: that it is, and by an error of earshot's. */

import { expect } from "bun:test";
import { IpcError } from "../../src/index.ts";

export async function rejection(promise: Promise<unknown>): Promise<IpcError> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(IpcError);
  return error as IpcError;
}
