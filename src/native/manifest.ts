/** What the library says of its own ABI, as `zig/ipc/c/manifest.zig` makes it. */

import { IpcError } from "./errors.ts";
import { abiVersion } from "./layout.ts";

export type Manifest = {
  abi: number;
  structs: Record<
    string,
    { size: number; fields: Record<string, [offset: number, bytes: number]> }
  >;
  enums: Record<string, Record<string, number>>;
  constants: Record<string, number>;
  functions: Record<string, { arguments: string[]; result: string }>;
};

/** Refuses a library of another ABI. Everything else is held against it by a test. */
export function checkAbi(found: number, path: string): void {
  if (found === abiVersion) return;
  throw new IpcError(
    "ELIBRARY",
    `ELIBRARY: ${path} speaks ABI ${found}, and this version of earshot speaks ${abiVersion}; ` +
      "build it again with: bun run build",
    { path },
  );
}
