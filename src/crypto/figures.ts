/**
 * What is counted of a sealed connection: its owner's messages, as if there were no seal. Beneath each of them is longer by
 * what the seal adds, and more is said than they are:
 *
 *     beneath  | what was said first |  messages, each with its seal  | that this side ends |
 *     counted  |                     |  messages                      |                     |
 */

import type { Count } from "../ipc/count.ts";
import { add, noCount } from "../ipc/count.ts";
import type { Statistics } from "../ipc/statistics.ts";
import { noStatistics } from "../ipc/statistics.ts";
import { constants } from "../native/layout.ts";
import { tagBytes } from "../native/seal.ts";
import type { Preface } from "./preface.ts";

const headerBytes = constants.header_bytes;
/** What says that this side ends: a message of no bytes, and a record of none. */
const farewell = { messages: 2, bytes: 2 * headerBytes + tagBytes } as const;

export class Figures {
  readonly #preface: Preface;
  /** What the channel beneath has taken of the owner's, and what came; and what was not even given to it. */
  readonly #handed = noCount();
  readonly #received = noCount();
  readonly #refused = noCount();
  /** Messages of all kinds that are known to wait no more. */
  #sent = 0;
  #hasLeft = false;

  constructor(preface: Preface) {
    this.#preface = preface;
  }

  // ---- counting ----

  /** The channel beneath has taken messages, of so many bytes with their headers and without their seals. */
  hand(messages: number, bytes: number): void {
    add(this.#handed, messages, bytes);
  }

  /** A message of so many bytes was not given to it. */
  refuse(bytes: number): void {
    add(this.#refused, 1, bytes);
  }

  /** A message came. */
  receive(bytes: number): void {
    add(this.#received, 1, bytes);
  }

  /** What says that the other side ends came, of `length` bytes. */
  hearEnd(length: number): void {
    this.#preface.heard(length);
  }

  /** This side says that it ends. */
  leave(): void {
    this.#hasLeft = true;
    add(this.#preface.sent, farewell.messages, farewell.bytes);
  }

  get hasLeft(): boolean {
    return this.#hasLeft;
  }

  // ---- what waits ----

  get #handedInAll(): number {
    return this.#preface.sent.messages + this.#handed.messages;
  }

  /** The fewest bytes of the owner's that so many beneath can be: of those that were handed over some may be gone. */
  leastOf(queued: number): number {
    if (queued === 0) this.#sent = this.#handedInAll;
    return queued - (this.#handedInAll - this.#sent) * tagBytes;
  }

  /** What waits without what the seal has added to each of those that wait. */
  queueOf({ queuedBytes, messagesSent, messagesLost }: Statistics): number {
    this.#sent = messagesSent;
    const waiting = Math.max(0, this.#handedInAll - messagesSent - messagesLost);
    return Math.max(0, queuedBytes - waiting * tagBytes);
  }

  // ---- telling ----

  /** The owner's, of those of the channel beneath. */
  of(beneath: Statistics): Statistics {
    const { sent, received } = this.#preface;
    const messagesSent = Math.max(0, beneath.messagesSent - sent.messages);
    const messagesReceived = Math.max(0, beneath.messagesReceived - received.messages);
    return {
      ...beneath,
      messagesSent,
      bytesSent: Math.max(0, beneath.bytesSent - sent.bytes - messagesSent * tagBytes),
      messagesReceived,
      bytesReceived: Math.max(
        0,
        beneath.bytesReceived - received.bytes - messagesReceived * tagBytes,
      ),
      queuedBytes: this.queueOf(beneath),
    };
  }

  /**
   * What the owner has lost, of what was lost beneath. That is what was handed over last: that this side ends, before that
   * messages of the owner's, and before those what was said first.
   */
  lostOf(lost: Readonly<Count>): Count {
    const handed = this.#handed;
    const refused = this.#refused;
    const unsaid = this.#hasLeft ? Math.min(lost.messages, farewell.messages) : 0;
    const messages = lost.messages - unsaid;
    const bytes = lost.bytes - unsaid * headerBytes - (unsaid > 0 ? tagBytes : 0);
    const isMore = messages > handed.messages;
    const plain = isMore ? handed.bytes : Math.max(0, bytes - messages * tagBytes);
    return {
      messages: Math.min(messages, handed.messages) + refused.messages,
      bytes: plain + refused.bytes,
    };
  }

  /** The last, when there is no channel beneath any more, and the owner has lost so much if that is known. */
  last(lost: Readonly<Count> = this.#refused): Statistics {
    const gone = {
      messages: lost.messages - this.#refused.messages,
      bytes: lost.bytes - this.#refused.bytes,
    };
    return {
      ...noStatistics(),
      messagesReceived: this.#received.messages,
      bytesReceived: this.#received.bytes,
      messagesSent: this.#handed.messages - gone.messages,
      bytesSent: this.#handed.bytes - gone.bytes,
      messagesLost: lost.messages,
    };
  }
}
