/**
 * Opens the native libraries, each once and only when first asked for: a program that seals nothing never maps
 * libearshot-seal. A library is never closed: a view or a callback could outlive it.
 */

import type { FFIFunction, Pointer } from "bun:ffi";
import { CString, dlopen, toArrayBuffer } from "bun:ffi";
import { readFileSync } from "node:fs";
import { IpcError } from "./errors.ts";
import { faultOf, host } from "./fault.ts";
import { abiVersion } from "./layout.ts";
import type { Manifest } from "./manifest.ts";
import { faultOfAbi } from "./manifest.ts";
import { memoryAbiVersion } from "./memory-layout.ts";
import type { Place } from "./place.ts";
import { placeOf } from "./place.ts";
import { sealAbiVersion } from "./seal-layout.ts";
import type { Address, Calls, NativeType, SymbolTable } from "./symbols.ts";
import { ipcSymbols, memorySymbols, sealSymbols, zygoteSymbols } from "./symbols.ts";
import { zygoteAbiVersion } from "./zygote-layout.ts";

const types: Record<NativeType, FFIFunction["returns"]> = {
  pointer: "ptr",
  bytes: "buffer",
  function: "ptr",
  i32: "i32",
  u32: "u32",
  i64: "i64",
  void: "void",
};

export type Library<Symbols extends SymbolTable> = {
  readonly path: string;
  readonly calls: Calls<Symbols>;
  /** The address of an exported function, for the system to call. */
  address(symbol: keyof Symbols): Address;
  manifest(): Manifest;
};

export type IpcLibrary = Library<typeof ipcSymbols>;
export type SealLibrary = Library<typeof sealSymbols>;

export const ipcLibrary = lazily("ipc", abiVersion, ipcSymbols);
export const sealLibrary = lazily("seal", sealAbiVersion, sealSymbols);
export const memoryLibrary = lazily("memory", memoryAbiVersion, memorySymbols);
export const zygoteLibrary = lazily("zygote", zygoteAbiVersion, zygoteSymbols);

/** `name` is as in the names of its file and of its functions; `abi` the number that this side was written for. */
function lazily<Symbols extends SymbolTable>(
  name: string,
  abi: number,
  symbols: Symbols,
): () => Library<Symbols> {
  let opened: Library<Symbols> | undefined;
  return () => {
    opened ??= open(name, abi, symbols);
    return opened;
  };
}

function open<Symbols extends SymbolTable>(
  name: string,
  abi: number,
  symbols: Symbols,
): Library<Symbols> {
  const place = placeOf(`earshot-${name}`);
  const { path } = place;
  const bytes = attempt(place, "read", () => readFileSync(path));
  refuse(place, faultOf(bytes, host()));
  // By itself and first: one of another ABI may lack functions, and that would be told instead.
  const asked = `earshot_${name}_abi`;
  const answer = load(place, { [asked]: symbols[asked]! })[asked] as unknown as () => number;
  refuse(place, faultOfAbi(answer(), abi));
  const loaded = load(place, symbols);
  const describe = loaded[`earshot_${name}_manifest`] as unknown as () => Pointer;
  return {
    path,
    calls: loaded as unknown as Calls<Symbols>,
    address: (symbol) => (loaded[symbol as string] as unknown as { ptr: Address }).ptr,
    manifest: () => JSON.parse(new CString(describe()).toString()) as Manifest,
  };
}

type Loaded = ReturnType<typeof dlopen>["symbols"];

function load(place: Place, wanted: SymbolTable): Loaded {
  return attempt(place, "loaded", () => dlopen(place.path, declare(wanted)).symbols);
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

function declare(wanted: SymbolTable): Record<string, FFIFunction> {
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
