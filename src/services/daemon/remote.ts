/** Somebody from a network who has come to a daemon, whatever carries what they say: what the greeting needs of it. */

import type { Connection } from "../../ipc/connection.ts";
import type { InternetAddress } from "../../ipc/internet-address.ts";

export interface Remote {
  /** Where they are. */
  readonly address: InternetAddress;
  /** Where they came to. */
  readonly destination: InternetAddress;
  /** Whether something can be said to them. */
  readonly open: boolean;
  /** Takes nothing more from them before they are joined. */
  pause(): void;
  send(bytes: string | Uint8Array): void;
  /** When what was sent has gone, or cannot go. */
  close(): void;
  /** Binds them to a service, and takes over both. Throws if one of the two has ended. */
  join(local: Connection): Bound;
}

/** A remote and its service, as long as they talk: in both pairs the remote comes first. A `Switch` is one. */
export interface Bound {
  /** Bytes that have come from each of the two. */
  readonly received: readonly [number, number];
  /** Bytes that have gone to each of the two. */
  readonly sent: readonly [number, number];
  /** Resolves when it is over; never rejects. */
  readonly ended: Promise<unknown>;
  /** Ends it at once. */
  close(): void;
}

/** Where remotes come from. */
export interface Listener {
  readonly address: InternetAddress;
  /** No more come, and those who are not joined go: after what was sent to them, or at once with `now`. */
  close(now: boolean): Promise<void>;
}
