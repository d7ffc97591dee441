/** Messages that are counted, and their bytes with them: on the wire, where nothing else is said. */

export type Count = { messages: number; bytes: number };

export const noCount = (): Count => ({ messages: 0, bytes: 0 });

/** So many messages more, of so many bytes with their headers. */
export function add(count: Count, messages: number, bytes: number): void {
  count.messages += messages;
  count.bytes += bytes;
}
