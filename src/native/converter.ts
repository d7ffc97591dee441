/** A function of JavaScript that native code calls, on the same thread and in the middle of a call, with bytes. */

import { JSCallback, toArrayBuffer } from "bun:ffi";
import type { Address } from "./symbols.ts";

/** The bytes are its own to keep. What it returns goes back to native code; it may not throw. */
export type Convert = (argument: number, bytes: Uint8Array) => number;

export class Converter {
  readonly #callback: JSCallback;

  constructor(convert: Convert) {
    this.#callback = new JSCallback(
      (argument: number, bytes: number | null, length: number) =>
        convert(argument, copyOf(bytes, length)),
      { args: ["ptr", "ptr", "u32"], returns: "i32" },
    );
  }

  get address(): Address {
    return this.#callback.ptr as unknown as Address;
  }

  /** Native code must not call it any more. */
  close(): void {
    this.#callback.close();
  }
}

/** Native memory is good during the call alone, and a view would outlive it. */
function copyOf(bytes: number | null, length: number): Uint8Array {
  if (bytes === null || length === 0) return new Uint8Array(0);
  return new Uint8Array(toArrayBuffer(bytes as never, 0, length)).slice();
}
