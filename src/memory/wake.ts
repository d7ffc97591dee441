/** How the other side is woken when it has said that it sleeps. */

import type { Connection } from "../ipc/connection.ts";
import { loop } from "../ipc/loop.ts";
import { rests } from "../native/memory-layout.ts";
import type { Segment } from "../native/shared-memory.ts";

/** `at` is the word that it may sleep on, in bytes. */
export function wake(how: number, link: Connection, segment: Segment, at: number): void {
  if (how === rests.word) segment.wake(at);
  else if (how === rests.poller && link.open) {
    link.send("");
    // Now, and not when this task is done: it may be about to sleep.
    loop().context.flush();
  }
}
