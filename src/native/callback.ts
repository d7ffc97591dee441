/** A call from a native thread into this one's event loop. */

import { JSCallback } from "bun:ffi";
import type { Address } from "./symbols.ts";

/** Any thread may call `address`; `run` is then called in this thread's event loop, once per call. */
export class ThreadsafeCallback {
  readonly #callback: JSCallback;

  constructor(run: () => void) {
    this.#callback = new JSCallback(run, { args: [], returns: "void", threadsafe: true });
  }

  get address(): Address {
    return this.#callback.ptr as unknown as Address;
  }

  /** No native thread may call it any more. */
  close(): void {
    this.#callback.close();
  }
}
