/** Memory that two processes share: rings, and messages that are too long for one. A shape of libearshot-memory. */

import { borrow, memoryLibrary, own } from "./library.ts";
import { memoryErrorOf } from "./memory-errors.ts";
import { memoryConstants } from "./memory-layout.ts";
import type { Address } from "./symbols.ts";

function checked(result: number): number {
  if (result >= 0) return result;
  throw memoryErrorOf(result);
}

/** The memory of a ring, as this process has it mapped. */
export class Segment {
  readonly ringBytes: number;
  /** The head, the records, and the records once more. */
  readonly memory: ArrayBuffer;
  #address: Address | undefined;

  /**
   * Maps what a descriptor stands for, which can be closed then. Throws EMALFORMED if it is anything else than a ring of
   * that size, as it may come from anybody.
   */
  constructor(descriptor: number, ringBytes: number) {
    const address = new BigUint64Array(1);
    const { earshot_memory_ring_map: map } = memoryLibrary().calls;
    checked(map(descriptor, ringBytes, address));
    this.ringBytes = ringBytes;
    this.#address = Number(address[0]) as Address;
    this.memory = borrow(this.#address, memoryConstants.head_bytes + 2 * ringBytes);
  }

  /** New memory for a ring. Returns its descriptor, which is the caller's. */
  static create(ringBytes: number): number {
    return checked(memoryLibrary().calls.earshot_memory_ring_create(ringBytes));
  }

  /** Sleeps, with all of this thread, while the word there is `seen`, for so long at most; may return for no reason. */
  sleep(at: number, seen: number, ns: number): void {
    if (this.#address === undefined) return;
    memoryLibrary().calls.earshot_memory_sleep((this.#address + at) as Address, seen, ns);
  }

  /** Wakes whoever sleeps on the word there. */
  wake(at: number): void {
    if (this.#address === undefined) return;
    memoryLibrary().calls.earshot_memory_wake((this.#address + at) as Address);
  }

  /** Unmaps it. Every view of it has no bytes from now on. Closing twice is no error. */
  close(): void {
    const address = this.#address;
    if (address === undefined) return;
    this.#address = undefined;
    this.memory.transfer();
    memoryLibrary().calls.earshot_memory_ring_unmap(address, this.ringBytes);
  }
}

/** Looking once is much quicker than asking whether somebody wants the processor, which is done ever less often in vain. */
const looksPerVainYield = { least: 32, most: 2048 };
/** What `earshot_memory_yield` says: there are other processors, others had this one, nobody wanted it, somebody computes. */
const yielding = { never: 0, others: 1, nobody: 2, crowd: 3 } as const;
let yielded: number = yielding.others;
let looksPerYield = looksPerVainYield.least;
let looks = 0;

/**
 * For who looks for something again and again: lets others run where this process has a single processor, since whoever is
 * looked for might not otherwise. Returns whether they did.
 */
export function yieldProcessor(): boolean {
  if (yielded === yielding.never) return false;
  if (yielded === yielding.nobody && ++looks < looksPerYield) return false;
  looks = 0;
  yielded = memoryLibrary().calls.earshot_memory_yield();
  const { least, most } = looksPerVainYield;
  looksPerYield = yielded === yielding.nobody ? Math.min(2 * looksPerYield, most) : least;
  return yielded !== yielding.nobody && yielded !== yielding.never;
}

/**
 * Whether somebody computes on the only processor that this process has. He would keep it for milliseconds with each look,
 * while whoever sleeps instead is woken before him. When that was 10 ms ago, he is let run once to see whether he still does.
 */
export function isCrowded(): boolean {
  if (yielded !== yielding.crowd) return false;
  yielded = memoryLibrary().calls.earshot_memory_yield();
  return yielded === yielding.crowd;
}

/** A message in memory of its own. */
export const value = {
  /** Returns a descriptor, which is the caller's. */
  create(bytes: Uint8Array): number {
    return checked(memoryLibrary().calls.earshot_memory_value_create(bytes, bytes.length));
  },

  /**
   * The bytes behind a descriptor, which can be closed then. They go when nobody sees them any more. Throws EMALFORMED
   * if it is anything else than such a message of that length.
   */
  open(descriptor: number, bytes: number): Uint8Array {
    const address = new BigUint64Array(1);
    const library = memoryLibrary();
    checked(library.calls.earshot_memory_value_map(descriptor, bytes, address));
    const unmap = library.address("earshot_memory_value_unmap");
    return new Uint8Array(own(Number(address[0]) as Address, bytes, bytes as Address, unmap));
  },
};
