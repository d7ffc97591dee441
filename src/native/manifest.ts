/** What the library says of its own ABI, as `zig/library/manifest.zig` makes it. */

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

/** What is wrong with a library of another ABI. Everything else is held against it by a test. */
export function faultOfAbi(found: number, wanted: number): string | undefined {
  if (found === wanted) return undefined;
  return `speaks ABI ${found}, and this version of earshot speaks ${wanted}`;
}
