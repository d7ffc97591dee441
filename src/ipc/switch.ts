/** Two connections bound together on Bun's event loop: what arrives on one leaves by the other, without JavaScript. */

import { IpcError, isClosed } from "../native/errors.ts";
import { EventType } from "../native/layout.ts";
import type { Connection } from "./connection.ts";
import type { Event } from "./event.ts";
import type { Format } from "./format.ts";
import { loop } from "./loop.ts";

/** Why a switch is over. */
export type SwitchEnd = {
  /** `peer_closed`: both sides had no more to say, or one of them was gone; `closed`: by this side. */
  reason: Event["reason"];
  /** The system's error number, 0 if it had no part in it. */
  errno: number;
  /** Which of the two showed it, as `bind` was given them. */
  end: 0 | 1;
  /** What a function of its format threw. */
  error: unknown;
};

export class Switch implements Disposable {
  readonly #received: [number, number] = [0, 0];
  readonly #sent: [number, number] = [0, 0];
  readonly #ended = Promise.withResolvers<SwitchEnd>();
  #handle: number;
  #error: unknown;

  /** @internal */
  constructor(handle: number) {
    this.#handle = handle;
    loop().add(handle, this);
  }

  /** Resolves when it is over; never rejects. */
  get ended(): Promise<SwitchEnd> {
    return this.#ended.promise;
  }

  /** Bytes that have come from each of the two. */
  get received(): readonly [number, number] {
    return this.#received;
  }

  /** Bytes that have gone to each of the two. */
  get sent(): readonly [number, number] {
    return this.#sent;
  }

  /** Ends it at once, and with it both connections. Closing twice is no error. */
  close(): void {
    if (this.#handle === 0) return;
    try {
      loop().context.closeHandle(this.#handle);
    } catch (error) {
      // It has ended by itself, and what tells of it is on its way.
      if (isClosed(error)) return;
      throw error;
    }
    this.#finish({ reason: "closed", errno: 0, end: 0, error: undefined });
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** @internal */
  onSent(): void {
    // Nobody sends to a switch.
  }

  /** @internal */
  onEvent(event: Event): void {
    const end = event.end as 0 | 1;
    if (event.type === EventType.SwitchRx) this.#received[end] += event.bytes;
    else if (event.type === EventType.SwitchTx) this.#sent[end] += event.bytes;
    else if (event.type === EventType.Error) this.#error = event.error?.cause;
    else if (event.type === EventType.Disconnection) {
      this.#finish({ reason: event.reason, errno: event.errno, end, error: this.#error });
    }
  }

  #finish(end: SwitchEnd): void {
    loop().remove(this.#handle);
    this.#handle = 0;
    this.#ended.resolve(end);
  }
}

/**
 * Binds two connections: what arrives on one leaves by the other from now on, as it is, half-close and back-pressure
 * included. Both are over for their owners, without a word. What had come to one and was handed out already is its
 * owner's to pass on before; what was not yet goes along. If it throws, at least one of them had ended, and the other goes on. With a format, `other`
 * speaks something of its own, and `one` messages.
 *
 * @example
 * const bound = bind(remote, await connect("pong"));
 * const { reason } = await bound.ended;
 */
export function bind(one: Connection, other: Connection, format?: Format): Switch {
  for (const { unread, service } of [one, other]) {
    if (unread === 0) continue;
    throw new IpcError(
      "EBUSY",
      `EBUSY: ${unread} messages from "${service}" wait to be read; read them before it is bound, or handle them as they come`,
      { service },
    );
  }
  const { context } = loop();
  const handle = context.switch(one.handle, other.handle, format);
  one.surrendered();
  other.surrendered();
  return new Switch(handle);
}
