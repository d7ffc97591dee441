/** Bytes as the tests write them down: as text, and as hexadecimal digits. */

export const bytesOf = (text: string) => new TextEncoder().encode(text);
export const unhex = (digits: string) => Uint8Array.fromHex(digits);
export const hexOf = (bytes: Uint8Array | string) => Buffer.from(bytes).toString("hex");

/** Bytes as the vectors give them: as text if they are any, and as digits where they are not. */
export function vectorBytes({ text = "", bytes }: { text?: string; bytes?: string }): Uint8Array {
  return bytes === undefined ? bytesOf(text) : unhex(bytes);
}
