/**
 * How a memory socket ends: what the other side has said of it, and what there was to be seen. Where it is sealed, what is
 * said is too, and counts when it has been opened behind all messages.
 */

import { broken, cutOff } from "../crypto/broken.ts";
import { sealKinds } from "../crypto/kinds.ts";
import type { End, Lost } from "../ipc/handlers.ts";
import { type Seal, tagBytes } from "../native/seal.ts";
import { Corrupt } from "./ring.ts";

const encoder = new TextEncoder();

export class Farewell {
  /** Whether it leaves something unread, if it has said that it closes. */
  #said: "end" | "unread" | undefined;
  /** The same as it came, where it has to be opened first. */
  #record: Uint8Array | undefined;

  /** Throws `Corrupt` if that is no farewell. */
  hear(bytes: Uint8Array, isSealed: boolean): void {
    if (!isSealed) this.#said = understood(bytes);
    else if (this.#record !== undefined) throw new Corrupt(senseless);
    else this.#record = bytes.slice();
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

  /**
   * The same when all messages have been read that the seal has sealed. Throws `Corrupt` if what was said is not what comes
   * after them.
   */
  unsealed(end: End, service: string, seal: Seal): End {
    if (!end.reason.startsWith("peer_")) return end;
    const record = this.#record;
    if (record !== undefined) {
      const isInOrder = opened(seal, record) === "end";
      return { ...end, reason: isInOrder ? "peer_closed" : "peer_reset" };
    }
    if (end.reason === "peer_reset") return end;
    return { ...end, reason: "truncated", error: broken(service, cutOff) };
  }
}

/** What is sent to say it. */
export function farewell(text: "end" | "unread", seal: Seal | undefined): string | Uint8Array {
  if (seal === undefined) return text;
  const bytes = encoder.encode(text);
  const record = new Uint8Array(bytes.length + tagBytes);
  seal.seal(sealKinds.end, bytes, record);
  return record;
}

export const senseless = "the other side has said what means nothing here";

function understood(bytes: Uint8Array): "end" | "unread" {
  const text = new TextDecoder().decode(bytes);
  if (text === "end" || text === "unread") return text;
  throw new Corrupt(senseless);
}

function opened(seal: Seal, record: Uint8Array): "end" | "unread" {
  const out = new Uint8Array(Math.max(0, record.length - tagBytes));
  try {
    seal.open(sealKinds.end, record, out);
  } catch (cause) {
    throw new Corrupt("that the other side ends is not the next that it has sealed", { cause });
  }
  return understood(out);
}

export function nothingLost(): Lost {
  return { messages: 0, bytes: 0, requests: 0 };
}
