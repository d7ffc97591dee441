/** What a zygote, or a process of a pool, is started with, and the flags that keep it free of threads. */

import type { Orphans } from "../native/zygote.ts";

/** In the first argument of `entry.ts`, as JSON. */
export type Settings = {
  mode: Mode;
  /** To be imported. */
  module: string;
  /** The process that started it. */
  owner: number;
  graceMs: number;
  orphans: Orphans;
  /** What `threadless` has changed in the environment, to be put back. */
  environment: Record<string, string | null>;
};

/** How clones are made: by a fork of a warmed process, or of processes that were started and warmed ahead. */
export type Mode = "fork" | "pool";

/** The descriptors of such a process, besides 0, 1 and 2: those of a zygote, and in a pool the control and a connection. */
export const places = { control: 3, lifelineIn: 4, lifelineOut: 5, connection: 4 } as const;

/**
 * With these a Bun process has one thread until it asks for what needs another: the collector and the compilers work on
 * the one that runs JavaScript, memory is given back at once and not by a thread that looks for it, and modules are
 * compiled where they are imported. Memory comes in small arenas, so that what a limit counts is what is used. The timer by
 * which Bun collects what little garbage there is in idle moments would have each clone write to pages that it could share;
 * garbage that grows is collected all the same.
 *
 * And what a clone does once it does not compile: the compiler of what has been called some thirty times, or has gone round
 * five hundred, would write to a quarter of all pages that an idle clone has of its own. It waits for ten times as many,
 * which code that is to be fast comes by within a millisecond.
 */
export const threadless: Readonly<Record<string, string>> = {
  BUN_JSC_useConcurrentGC: "0",
  BUN_JSC_useConcurrentJIT: "0",
  BUN_JSC_numberOfGCMarkers: "1",
  BUN_JSC_useWarmUpMarkedBlocks: "0",
  BUN_JSC_thresholdForJITAfterWarmUp: "5000",
  BUN_JSC_thresholdForJITSoon: "1000",
  BUN_FEATURE_FLAG_DISABLE_ASYNC_TRANSPILER: "1",
  BUN_GC_TIMER_DISABLE: "1",
  MIMALLOC_PURGE_DELAY: "0",
  // In KiB.
  MIMALLOC_ARENA_RESERVE: "16384",
};

/** What they were before. */
export function formerEnvironment(): Record<string, string | null> {
  return Object.fromEntries(
    Object.keys(threadless).map((name) => [name, process.env[name] ?? null]),
  );
}

export function restoreEnvironment(former: Record<string, string | null>): void {
  for (const [name, value] of Object.entries(former)) {
    if (value === null) delete process.env[name];
    else process.env[name] = value;
  }
}
