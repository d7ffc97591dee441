/** How the other side is woken when it has said that it sleeps. */

import type { Connection } from "../ipc/connection.ts";
import { isClosed } from "../native/errors.ts";
import { rests } from "../native/memory-layout.ts";
import type { Segment } from "../native/shared-memory.ts";

/** What has descriptors, though it be none, is sent at once, and not when this task is done: that may be about to sleep. */
const now = { descriptors: [] };

/** `at` is the word that it may sleep on, in bytes. */
export function wake(how: number, link: Connection, segment: Segment, at: number): void {
  if (how === rests.word) segment.wake(at);
  else if (how === rests.poller && link.open) sendFrame(link);
}

function sendFrame(link: Connection): void {
  try {
    link.send("", now);
  } catch (error) {
    // It has ended, and that is told in its turn; there is nobody to wake.
    if (!isClosed(error)) throw error;
  }
}
