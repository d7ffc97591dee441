/** A socket that native code looks after, in the context of this thread's loop. */

import { isClosed } from "../native/errors.ts";
import { EventType } from "../native/layout.ts";
import type { Carrier, ChannelOwner } from "./channel.ts";
import type { Peer, Sent } from "./context.ts";
import type { SendOptions } from "./context-options.ts";
import type { Descriptor } from "./descriptor.ts";
import type { Event } from "./event.ts";
import type { InternetAddress } from "./internet-address.ts";
import { loop } from "./loop.ts";
import type { Payload } from "./message.ts";
import type { Statistics } from "./statistics.ts";

export class NativeChannel implements Carrier {
  readonly handle: number;
  readonly peer: Peer;
  readonly movable = true;
  readonly #loop = loop();
  readonly #context = this.#loop.context;
  #owner: ChannelOwner | undefined;
  /** Its Disconnection is being handled. */
  #ending = false;

  constructor(handle: number, peer: Peer = loop().context.peer(handle)) {
    this.handle = handle;
    this.peer = peer;
  }

  get address(): InternetAddress {
    return this.#context.address(this.handle);
  }

  get ownAddress(): InternetAddress {
    return this.#context.ownAddress(this.handle);
  }

  get usedUp(): boolean {
    return this.#context.usedUp;
  }

  get over(): boolean {
    return this.#ending || this.#context.endsInBatch(this.handle);
  }

  open(owner: ChannelOwner): void {
    this.#owner = owner;
    this.#loop.add(this.handle, this);
  }

  leave(): void {
    this.#loop.remove(this.handle);
  }

  schedule(payload: Payload, gathers: boolean): void {
    this.#context.schedule(this.handle, payload);
    if (gathers) this.#loop.soon();
    else this.#loop.sending();
  }

  write(payload: Payload, options: SendOptions): number {
    const queued = this.#context.write(this.handle, payload, options);
    this.#loop.sent();
    return queued;
  }

  flush(): void {
    this.#context.flush();
  }

  pause(paused: boolean): void {
    try {
      this.#context.pause(this.handle, paused);
    } catch (error) {
      if (!isClosed(error)) throw error;
    }
    this.#loop.soon();
  }

  limitMessages(bytesMax: number): void {
    try {
      this.#context.limitMessages(this.handle, bytesMax);
    } catch (error) {
      if (!isClosed(error)) throw error;
    }
  }

  close(now: boolean): void {
    try {
      this.#context.closeHandle(this.handle, { now });
    } catch (error) {
      // It has ended by itself, or is draining already; either way its end is on its way.
      if (!isClosed(error)) throw error;
    }
    this.#loop.soon();
  }

  statistics(): Statistics {
    return this.#context.statistics(this.handle);
  }

  copies(): Descriptor[] {
    return this.#context.copies(this.handle);
  }

  // ---- from the loop ----

  onSent(sent: Sent): void {
    this.#owner!.onSent(sent);
  }

  onEvent(event: Event): void {
    switch (event.type) {
      case EventType.MessageRx:
        this.#owner!.onMessage(event.message);
        break;
      case EventType.Drain:
        this.#owner!.onDrain(event.queuedBytes);
        break;
      case EventType.Disconnection:
        this.#end(event);
        break;
      default:
        break;
    }
  }

  #end({ reason, errno, lost }: Event): void {
    this.#ending = true;
    // What is still to be sent shows now that it cannot be.
    this.#context.flush();
    this.#loop.remove(this.handle);
    this.#owner!.onEnd({ reason, errno, lost });
  }
}
