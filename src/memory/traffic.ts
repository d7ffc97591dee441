/** What goes both ways through shared memory, from when the two sides have agreed until the end: its rings, and who uses them. */

import type { Connection } from "../ipc/connection.ts";
import type { Seal } from "../native/seal.ts";
import type { Segment } from "../native/shared-memory.ts";
import { farewell } from "./farewell.ts";
import { Incoming } from "./incoming.ts";
import { Lookout } from "./lookout.ts";
import type { SocketSettings } from "./options.ts";
import { Outgoing } from "./outgoing.ts";
import { Corrupt } from "./ring.ts";
import { Stall } from "./stall.ts";

/** The two rings of one end: what it writes into, and what it reads from. */
export type Rings = { readonly out: Segment; readonly in: Segment };

export class Traffic {
  readonly outgoing: Outgoing;
  readonly incoming: Incoming;
  readonly messageBytesMax: number;
  readonly #rings: Rings;
  readonly #seal: Seal | undefined;
  readonly #lookout: Lookout;
  readonly #stall: Stall;

  /** Takes over the rings and the seal. `onStalled` is told, outside of all calls, when a message does not go on. */
  constructor(
    link: Connection,
    rings: Rings,
    settings: SocketSettings,
    seal: Seal | undefined,
    onStalled: () => void,
  ) {
    this.outgoing = new Outgoing(link, rings.out, seal);
    this.incoming = new Incoming(link, rings.in, settings, seal);
    this.messageBytesMax = settings.messageBytesMax;
    this.#rings = rings;
    this.#seal = seal;
    this.#lookout = new Lookout(settings.spin);
    this.#stall = new Stall(settings.stallTimeout, onStalled);
  }

  /** Holds up this thread until there may be a message, or `until`. Throws `Corrupt` if one does not go on. */
  wait(until: number): void {
    this.outgoing.publish();
    this.watchStall();
    this.#lookout.wait(this.incoming, Math.min(until, this.#stall.until));
    const { until: stallsAt } = this.#stall;
    if (stallsAt !== Infinity && performance.now() >= stallsAt && this.isStalled) throw stalled();
  }

  /** Sees to it that what is missing of a message comes in its time. */
  watchStall(): void {
    this.#stall.watch(this.incoming.missing);
  }

  /** Whether that is missing still. */
  get isStalled(): boolean {
    return this.#stall.isOver(this.incoming.missing);
  }

  /** Who is paused does not wait for it: its time begins anew. */
  forgiveStall(): void {
    this.#stall.watch(undefined);
    this.watchStall();
  }

  /** Whether the other side has read all that it was shown. */
  get isAllRead(): boolean {
    try {
      return this.outgoing.isAllRead;
    } catch {
      return false;
    }
  }

  /** Whether the other side has written what was not read. */
  get #leavesUnread(): boolean {
    try {
      return this.incoming.hasMore;
    } catch {
      return true;
    }
  }

  /** What tells the other side that this one closes. */
  get farewell(): string | Uint8Array {
    return farewell(this.#leavesUnread ? "unread" : "end", this.#seal);
  }

  /** What all that was read is sealed with, if it is. */
  get seal(): Seal | undefined {
    return this.#seal;
  }

  /** Every view of the rings has no bytes from now on. */
  close(): void {
    this.#stall.watch(undefined);
    this.incoming.close();
    closeRings(this.#rings);
    this.#seal?.close();
  }
}

export function closeRings(rings: Rings): void {
  rings.out.close();
  rings.in.close();
}

export function stalled(): Corrupt {
  return new Corrupt("the other side has begun a message, and not gone on (stallTimeout)", {
    reason: "stalled",
  });
}
