/**
 * Opens libearshot-ipc, once and only when first asked for. A library is never closed: a view or a callback could
 * outlive it.
 */

import type { FFIFunction, Pointer } from "bun:ffi";
import { CString, dlopen, suffix, toArrayBuffer } from "bun:ffi";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { IpcError } from "./errors.ts";
import type { Manifest } from "./manifest.ts";
import { checkAbi } from "./manifest.ts";
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
  const path = join(import.meta.dir, "..", "..", "zig-out", "lib", `libearshot-ipc.${suffix}`);
  if (!existsSync(path)) {
    throw new IpcError("ELIBRARY", `ELIBRARY: ${path} is not built; build it with: bun run build`, {
      path,
    });
  }
  const declarations = Object.fromEntries(
    Object.entries(ipcSymbols).map(([name, signature]) => [
      name,
      { args: signature.arguments.map((type) => types[type]!), returns: types[signature.result]! },
    ]),
  );
  let symbols: ReturnType<typeof dlopen>["symbols"];
  try {
    symbols = dlopen(path, declarations).symbols;
  } catch (cause) {
    throw new IpcError(
      "ELIBRARY",
      `ELIBRARY: ${path} could not be loaded: ${cause instanceof Error ? cause.message : cause}; ` +
        "build it again with: bun run build",
      { path, cause },
    );
  }
  const calls = symbols as unknown as Calls<typeof ipcSymbols>;
  checkAbi(calls.earshot_ipc_abi(), path);
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
