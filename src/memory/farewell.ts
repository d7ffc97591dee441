/** How a memory socket ends: what the other side has said of it, and what there was to be seen. */

import type { End, Lost } from "../ipc/handlers.ts";

export class Farewell {
  /** Whether it leaves something unread, if it has said that it closes. */
  #said: "end" | "unread" | undefined;

  /** False if that is no farewell. */
  hear(text: string): boolean {
    if (text !== "end" && text !== "unread") return false;
    this.#said = text;
    return true;
  }

  /** What to make of the end of the Unix connection, which knows of what was left unread of its own alone. */
  end({ reason, errno }: End, isAllRead: boolean): End {
    // What was written and never read is not known, and not counted.
    const lost = nothingLost();
    if (!reason.startsWith("peer_")) return { reason, errno, lost };
    const isInOrder =
      this.#said === undefined ? reason === "peer_closed" && isAllRead : this.#said === "end";
    return { reason: isInOrder ? "peer_closed" : "peer_reset", errno: 0, lost };
  }
}

export function nothingLost(): Lost {
  return { messages: 0, bytes: 0, requests: 0 };
}
