/** What both sides of libearshot-memory read: this side's idea of its ABI, as `layout.ts` is for libearshot-ipc. */

/** The ABI this side was written for. */
export const memoryAbiVersion = 1;

/** What a record of a ring holds. The last two may come together, as their sum. */
export const kinds = {
  message: 0,
  /** The message is in memory of its own, whose descriptor comes over the socket; the payload is its length, as a u64. */
  passed: 1,
  /** Descriptors belong to the message, and come over the socket. */
  attended: 2,
} as const;

/** How a side of a ring sleeps, and so how it is woken. */
export const rests = {
  awake: 0,
  /** On the word that the other side changes. */
  word: 1,
  /** In Bun's loop, which a frame over the socket wakes. */
  poller: 2,
} as const;

/** The layout of a ring; see `earshot/memory.h`. */
export const memoryConstants = {
  version: 1,
  head_bytes: 65_536,
  record_bytes: 8,
  ring_bytes_min: 65_536,
  ring_bytes_max: 2 ** 30,
  tail_at: 64,
  head_at: 128,
  reader_rests_at: 192,
  writer_rests_at: 256,
} as const;
