/**
 * What the messages of a connection go through: a socket that native code looks after, or something beside it that does
 * the same. The `Connection` in front of it has all that is the same for each: requests, iteration, holding messages
 * until a service is there again.
 */

import type { IpcError } from "../native/errors.ts";
import type { Reason } from "../native/layout.ts";
import type { Peer, Sent } from "./context.ts";
import type { SendOptions } from "./context-options.ts";
import type { Count } from "./count.ts";
import type { Descriptor } from "./descriptor.ts";
import type { InternetAddress } from "./internet-address.ts";
import type { Message, Payload } from "./message.ts";
import type { Statistics } from "./statistics.ts";

/** How one ended, and what it had taken to send and could not. */
export type ChannelEnd = {
  readonly reason: Reason;
  readonly errno: number;
  /** What was wrong, where the reason alone does not tell. */
  readonly error?: IpcError | undefined;
  readonly lost: Readonly<Count>;
};

/** Who is told what happens on a channel. What is told throws nothing. */
export type ChannelOwner = {
  /** A message came; it is a view, good until this returns. */
  onMessage(message: Message): void;
  /** The queue was over its high-water mark, and has emptied to half of it. */
  onDrain(queuedBytes: number): void;
  /** What became of messages that were handed over: what is queued since, or a code below zero. */
  onSent(sent: Sent): void;
  /** Nothing comes after. It is never told from within a call of its owner's. */
  onEnd(end: ChannelEnd): void;
};

export type Channel = {
  /** Who is at the other end, as the kernel saw it when the connection was made. */
  readonly peer: Peer;
  /** The native handle. Throws ENOTSUP where there is none. */
  readonly handle: number;
  /** Where the other end is, if that is over TCP. Throws ENOTSUP otherwise. */
  readonly address: InternetAddress;
  /** The same for this end. */
  readonly ownAddress: InternetAddress;
  /** Whether another process can go on with it (`copies`). */
  readonly movable: boolean;
  /** Whether all that had come was handed out. */
  readonly usedUp: boolean;
  /** Whether its end is on its way and counts no more what is lost from now on. */
  readonly over: boolean;
  /** From now on its owner is told what happens, to whom nothing is lost that came before. */
  open(owner: ChannelOwner): void;
  /** Its owner is told nothing any more. */
  leave(): void;
  /**
   * Takes a message, to be sent when this task is done or earlier; where it `gathers`, with what others hand over in the
   * same turn of Bun's loop. `onSent` is told of it, at once or later. Throws what makes no message.
   */
  schedule(payload: Payload, gathers: boolean): void;
  /** Takes one with descriptors, and returns what is queued: 0 if all is on its way. Throws if it was not taken. */
  write(payload: Payload, options: SendOptions): number;
  /** Sends what was scheduled, as far as it goes. */
  flush(): void;
  /** Reads nothing more, or goes on reading. */
  pause(paused: boolean): void;
  /** Ends it: after sending what was taken, or at once with `now`. `onEnd` follows. */
  close(now: boolean): void;
  /** Throws ECLOSED when it has ended. */
  statistics(): Statistics;
  /** Throws ENOTSUP where it cannot be given to another process, and EBUSY where that would lose something. */
  copies(): Descriptor[];
};

/** A channel that others may be made of. */
export type Carrier = Channel & {
  /** Changes the limit `messageBytesMax` from the next message on: what the other end may say, as more is known of it. */
  limitMessages(bytesMax: number): void;
};
