/** The formats of a context's switches, and the functions of ours that native code calls for them. */

import { Converter } from "../native/converter.ts";
import { IpcError } from "../native/errors.ts";
import { verdicts } from "../native/layout.ts";
import type { Address } from "../native/symbols.ts";
import type { Format } from "./format.ts";
import { convertWith } from "./format.ts";

const noCallback = 0 as Address;

/** Whose switches they are. */
export type ConvertersOwner = {
  /** Takes a piece of what a format has made. */
  hand(piece: Uint8Array): void;
  /** The format of that switch has failed. */
  fail(handle: number, error: IpcError): void;
};

export class Converters {
  readonly #owner: ConvertersOwner;
  readonly #in = new Converter((handle, bytes) => this.#convert(handle, "in", bytes));
  readonly #out = new Converter((handle, bytes) => this.#convert(handle, "out", bytes));
  /** By their switches' handles, which native code calls us with. */
  readonly #formats = new Map<number, Format>();
  #running = false;

  constructor(owner: ConvertersOwner) {
    this.#owner = owner;
  }

  /** One of the formats' functions is running, in the middle of a wait. */
  get running(): boolean {
    return this.#running;
  }

  /** What native code is to call for that switch from now on. */
  add(handle: number, format: Format): readonly [Address, Address] {
    this.#formats.set(handle, format);
    return [
      format.in === undefined ? noCallback : this.#in.address,
      format.out === undefined ? noCallback : this.#out.address,
    ];
  }

  #convert(handle: number, way: "in" | "out", bytes: Uint8Array): number {
    this.#running = true;
    try {
      const convert = this.#formats.get(handle)![way]!;
      return convertWith(convert, bytes, (piece) => this.#owner.hand(piece));
    } catch (cause) {
      const text = `EFORMAT: a switch's format failed: ${textOf(cause)}`;
      this.#owner.fail(handle, new IpcError("EFORMAT", text, { cause }));
      return verdicts.failed;
    } finally {
      this.#running = false;
    }
  }

  remove(handle: number): void {
    this.#formats.delete(handle);
  }

  /** Native code must not call us any more. */
  close(): void {
    this.#formats.clear();
    this.#in.close();
    this.#out.close();
  }
}

/** What was thrown may be anything, even what has no text. */
function textOf(error: unknown): string {
  try {
    return error instanceof Error ? error.message : String(error);
  } catch {
    return "it threw something that has no text";
  }
}
