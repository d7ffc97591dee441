/** One thing that a context reports. */

import type { IpcError } from "../native/errors.ts";
import type { Reason } from "../native/layout.ts";
import { constants, EventType, Event as Layout, reasons } from "../native/layout.ts";
import type { Descriptor } from "./descriptor.ts";
import type { Arrivals, Inbox } from "./message.ts";
import { Message } from "./message.ts";

/** Words of one record in the events area. */
export const eventWords = Layout.size / 4;
const flagLoan = constants.event_flag_loan << 8;
const flagDescriptors = constants.event_flag_descriptors << 8;

/** Takes over what is held for a message's receiver, and is given up with the batch otherwise. */
export type Held = {
  /** The buffer of a message too large for the inbox. */
  loan(address: number, length: number): Uint8Array;
  /** The descriptors that an event's detail speaks of, in the batch of that generation. */
  descriptors(detail: number, generation: number): readonly Descriptor[];
};

/**
 * An event. `type` says which of the other members mean something; the rest are 0, "none" or undefined.
 *
 * @example
 * for (const event of context) {
 *   if (event.type === EventType.MessageRx) context.schedule(event.connection, event.message.bytes);
 * }
 */
export class Event {
  readonly type: EventType;
  /** The handle it is about: of a connection, service, timer or external descriptor. */
  readonly source: number;
  /** The service whose connection it is about; 0 for connections made with `connect`. */
  readonly service: number;
  /** Why a connection ended, or what went wrong. */
  readonly reason: Reason;
  /** In an Error event for something that this side asked for: why it could not be done. */
  readonly error: IpcError | undefined;
  readonly #length: number;
  readonly #offset: number;
  readonly #detail: number;
  readonly #data: number;
  readonly #inbox: Inbox;
  readonly #loan: Uint8Array | undefined;
  readonly #arrivals: Arrivals | undefined;
  #message: Message | undefined;

  /** @internal Reads the record that begins at word `at`. */
  constructor(events: Uint32Array, at: number, inbox: Inbox, held: Held, error?: IpcError) {
    const head = events[at]!;
    this.type = (head & 0xff) as EventType;
    this.source = events[at + 1]!;
    this.service = events[at + 2]!;
    this.reason = reasons[head >>> 16]!;
    this.error = error;
    this.#offset = events[at + 3]!;
    this.#length = events[at + 4]!;
    this.#detail = events[at + 5]! | 0;
    this.#data = events[at + 6]! + events[at + 7]! * 2 ** 32;
    this.#inbox = inbox;
    this.#loan = (head & flagLoan) === 0 ? undefined : held.loan(this.#data, this.#length);
    this.#arrivals = (head & flagDescriptors) === 0 ? undefined : this.#arrivalsOf(held);
  }

  /** The connection it is about; the same as `source`. */
  get connection(): number {
    return this.source;
  }

  /** MessageRx: what arrived, good until the next wait. */
  get message(): Message {
    this.#message ??=
      this.#loan === undefined
        ? new Message(this.#inbox, this.#offset, this.#length, undefined, this.#arrivals)
        : new Message(undefined, 0, this.#length, this.#loan, this.#arrivals);
    return this.#message;
  }

  #arrivalsOf(held: Held): Arrivals {
    const { generation } = this.#inbox;
    return () => held.descriptors(this.#detail, generation);
  }

  /** Disconnection, Error: the system's error number, 0 if it had no part in it. */
  get errno(): number {
    return this.type === EventType.Disconnection || this.type === EventType.Error
      ? this.#detail
      : 0;
  }

  /** SwitchRx, SwitchTx: which of the two, as `switch` was given them, 0 or 1. Disconnection of a switch: which one it showed at. */
  get end(): number {
    return this.#offset;
  }

  /** SwitchRx, SwitchTx: how many since the last such event. */
  get bytes(): number {
    return this.type === EventType.SwitchRx || this.type === EventType.SwitchTx ? this.#data : 0;
  }

  /** Connection, and Error for a refused peer: the peer's process, 0 where the system does not tell. */
  get pid(): number {
    if (this.#isRefusal) return this.#data;
    return this.type === EventType.Connection ? this.#detail : 0;
  }

  /** Connection, and Error for a refused peer: the peer's user. */
  get uid(): number {
    return this.type === EventType.Connection || this.#isRefusal ? this.#length : 0;
  }

  /** Connection: the peer's group. */
  get gid(): number {
    return this.type === EventType.Connection ? this.#offset : 0;
  }

  /** Disconnection: what this side had taken to send and could not. Error with `error`: what was not taken. */
  get lost(): { messages: number; bytes: number } {
    return this.type === EventType.Disconnection || this.error !== undefined
      ? { messages: this.#length, bytes: this.#data }
      : { messages: 0, bytes: 0 };
  }

  /** MessageTx: what `schedule` was given to report. */
  get token(): number {
    return this.type === EventType.MessageTx ? this.#data : 0;
  }

  /** Timer: how many periods have passed since its last event, at least 1. */
  get periods(): number {
    return this.type === EventType.Timer ? this.#data : 0;
  }

  /** External: the descriptor that was added. */
  get descriptor(): number {
    return this.type === EventType.External ? this.#detail : -1;
  }

  /** Drain: bytes that are still queued. */
  get queuedBytes(): number {
    return this.type === EventType.Drain ? this.#data : 0;
  }
  /** Whether it is a service's trouble, and not about what this side asked for. */
  get #isRefusal(): boolean {
    return this.type === EventType.Error && this.error === undefined;
  }
}
