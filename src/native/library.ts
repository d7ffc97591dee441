/**
 * Opens libearshot-ipc, once and only when first asked for. A library is never closed: a view or a callback could
 * outlive it.
 */

import type { FFIFunction, Pointer } from "bun:ffi";
import { CString, dlopen, toArrayBuffer } from "bun:ffi";
import { readFileSync } from "node:fs";
import { IpcError } from "./errors.ts";
import { faultOf, host } from "./fault.ts";
import type { Manifest } from "./manifest.ts";
import { faultOfAbi } from "./manifest.ts";
import type { Place } from "./place.ts";
import { placeOf } from "./place.ts";
import type { Address, Calls, NativeType } from "./symbols.ts";
import { ipcSymbols } from "./symbols.ts";

const types: Record<NativeType, FFIFunction["returns"]> = {
  pointer: "ptr",
  bytes: "buffer",
  function: "ptr",
  i32: "i32",
  u32: "u32",
  i64: "i64",
  void: "void",
};

export type IpcLibrary = {
  readonly path: string;
  readonly calls: Calls<typeof ipcSymbols>;
  /** The address of an exported function, for the system to call. */
  address(symbol: keyof typeof ipcSymbols): Address;
  manifest(): Manifest;
};

let opened: IpcLibrary | undefined;

export function ipcLibrary(): IpcLibrary {
  opened ??= open();
  return opened;
}

function open(): IpcLibrary {
  const place = placeOf("earshot-ipc");
  const { path } = place;
  const bytes = attempt(place, "read", () => readFileSync(path));
  refuse(place, faultOf(bytes, host()));
  // By itself and first: one of another ABI may lack functions, and that would be told instead.
  const { earshot_ipc_abi } = ipcSymbols;
  refuse(place, faultOfAbi(callsOf(load(place, { earshot_ipc_abi })).earshot_ipc_abi()));
  const symbols = load(place, ipcSymbols);
  const calls = callsOf(symbols);
  return {
    path,
    calls,
    address: (symbol) => (symbols[symbol] as unknown as { ptr: Address }).ptr,
    manifest: () =>
      JSON.parse(
        new CString(calls.earshot_ipc_manifest() as unknown as Pointer).toString(),
      ) as Manifest,
  };
}

type Loaded = ReturnType<typeof dlopen>["symbols"];

function load(place: Place, wanted: Partial<typeof ipcSymbols>): Loaded {
  return attempt(place, "loaded", () => dlopen(place.path, declare(wanted)).symbols);
}

function callsOf(symbols: Loaded): Calls<typeof ipcSymbols> {
  return symbols as unknown as Calls<typeof ipcSymbols>;
}

function attempt<Value>(place: Place, what: string, act: () => Value): Value {
  try {
    return act();
  } catch (cause) {
    const said = cause instanceof Error ? cause.message : String(cause);
    throw errorOf(place, `could not be ${what}: ${said}`, cause);
  }
}

function refuse(place: Place, fault: string | undefined): void {
  if (fault !== undefined) throw errorOf(place, fault);
}

function errorOf({ path, advice }: Place, fault: string, cause?: unknown): IpcError {
  return new IpcError("ELIBRARY", `ELIBRARY: ${path} ${fault}; ${advice}`, { path, cause });
}

function declare(wanted: Partial<typeof ipcSymbols>): Record<string, FFIFunction> {
  return Object.fromEntries(
    Object.entries(wanted).map(([name, signature]) => [
      name,
      { args: signature.arguments.map((type) => types[type]!), returns: types[signature.result]! },
    ]),
  );
}

/** Memory that native code owns, as an array buffer; nothing happens when it is collected. */
export function borrow(address: Address, bytes: number): ArrayBuffer {
  return toArrayBuffer(address as unknown as Pointer, 0, bytes);
}

/**
 * Memory that goes when nobody sees it any more: `release(address, context)`, a native function that any thread may
 * call, is called then.
 */
export function own(
  address: Address,
  bytes: number,
  context: Address,
  release: Address,
): ArrayBuffer {
  return toOwnedArrayBuffer(address, 0, bytes, context, release);
}

/** The declarations leave out the last two, which Bun documents. */
const toOwnedArrayBuffer = toArrayBuffer as unknown as (
  address: Address,
  offset: number,
  bytes: number,
  context: Address,
  release: Address,
) => ArrayBuffer;
