/** What a zygote says, as JSON, before it waits for requests. All that it says later begins with a byte that is no brace. */

export type Word =
  | { kind: "ready"; warmMs: number }
  | { kind: "fault"; code: string; message: string; stack: string | undefined };

const brace = 0x7b;

export function readWord(bytes: Uint8Array): Word | undefined {
  return bytes[0] === brace ? (JSON.parse(new TextDecoder().decode(bytes)) as Word) : undefined;
}
