/** Messages that say which they are, and tell if a byte of theirs is another's. */

import { pattern } from "../kit/random.ts";

export function numbered(number: number, bytes: number): Uint8Array {
  const message = pattern(bytes, number);
  new DataView(message.buffer).setUint32(0, number);
  return message;
}

/** The numbers of messages in the order they came; -1 for one that is not as it was made. */
export function numbersOf(messages: readonly Uint8Array[]): number[] {
  return messages.map((message) => {
    const number = new DataView(message.buffer, message.byteOffset).getUint32(0);
    return Buffer.compare(message, numbered(number, message.length)) === 0 ? number : -1;
  });
}

export function upTo(count: number): number[] {
  return Array.from({ length: count }, (_, number) => number);
}
