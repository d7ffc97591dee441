/**
 * What the messages of a connection of `serve` or `connect` go through when it was made through shared memory: a memory
 * socket, and before it a queue of what its ring does not take, or the other side has not agreed to yet.
 *
 *     open ──close──▶ draining ──all is in the ring, or for too long it was not──▶ closing ──▶ over
 *       └──the other side is gone, breaks a rule, or does not read──────────────────────────────▲
 */

import type { Channel, ChannelOwner } from "../ipc/channel.ts";
import type { Peer, Sent } from "../ipc/context.ts";
import type { SendOptions } from "../ipc/context-options.ts";
import { add, noCount } from "../ipc/count.ts";
import type { Descriptor } from "../ipc/descriptor.ts";
import { numbersOf } from "../ipc/descriptor.ts";
import type { End } from "../ipc/handlers.ts";
import type { InternetAddress } from "../ipc/internet-address.ts";
import type { FullLimits } from "../ipc/limits.ts";
import type { Inbox, Payload } from "../ipc/message.ts";
import { bytesOf, Message } from "../ipc/message.ts";
import { timerMsMax } from "../ipc/numbers.ts";
import type { Statistics } from "../ipc/statistics.ts";
import { noStatistics } from "../ipc/statistics.ts";
import { codes, errorOf, IpcError, isClosed } from "../native/errors.ts";
import type { Reason } from "../native/layout.ts";
import { Arrival } from "./arrival.ts";
import type { SocketOwner } from "./audience.ts";
import type { MemorySocket } from "./memory-socket.ts";
import { headerBytes, Queue } from "./queue.ts";
import type { Side } from "./side.ts";

const noFailure = { errno: 0, syscall: 0, detail: 0 };

const nothing = new Uint8Array(0);

export class MemoryChannel implements Channel, SocketOwner {
  readonly peer: Peer;
  readonly movable = false;
  /** There is always more to come, or nothing: batches there are none. */
  readonly usedUp = true;
  /** What is lost is counted until its owner is told of the end. */
  readonly over = false;
  readonly #socket: MemorySocket;
  readonly #side: Side;
  readonly #limits: FullLimits;
  #owner: ChannelOwner | undefined;
  readonly #queue = new Queue();
  /** The queue was over its mark, and the owner waits for it to drain. */
  #pressed = false;
  #closing = false;
  #draining: ReturnType<typeof setTimeout> | undefined;
  /** Why it ends, where its socket would say something else. */
  #why: Reason | undefined;
  #end: End | undefined;
  #inbox: Inbox | undefined;
  readonly #received = noCount();
  readonly #sent = noCount();
  readonly #lost = noCount();
  /** @internal Told when it is over, with its last figures. */
  onOver: ((figures: Statistics) => void) | undefined;

  constructor(socket: MemorySocket, limits: FullLimits) {
    this.#socket = socket;
    this.#side = socket.side;
    this.#limits = limits;
    this.peer = socket.peer;
  }

  get handle(): number {
    throw this.#cannot("be bound to another");
  }

  get address(): InternetAddress {
    return this.#isNowhere();
  }

  get ownAddress(): InternetAddress {
    return this.#isNowhere();
  }

  #isNowhere(): never {
    throw errorOf(codes.not_available.number, noFailure, { service: this.#socket.service });
  }

  copies(): Descriptor[] {
    throw this.#cannot("be given to another process");
  }

  #cannot(what: string): IpcError {
    const { service } = this.#socket;
    return new IpcError(
      "ENOTSUP",
      `ENOTSUP: the connection to "${service}" goes through memory, and cannot ${what}; connect with transport: "unix" for that`,
      { service },
    );
  }

  open(owner: ChannelOwner): void {
    this.#owner = owner;
    this.#side.give(this);
  }

  leave(): void {
    this.#owner = undefined;
  }

  // ---- sending ----

  schedule(payload: Payload): void {
    const bytes = bytesOf(payload);
    const total = bytes.length + headerBytes;
    this.#tell(this.#take(bytes, payload, 0), total);
  }

  /** What is queued then, or a code below zero. */
  #take(bytes: Uint8Array, payload: Payload, attached: number): number {
    const total = bytes.length + headerBytes;
    if (this.#end !== undefined || this.#side.isLeft) return this.#lose(total);
    try {
      if (this.#queue.length === 0 && this.#side.isBegun && this.#side.put(bytes, attached)) {
        this.#note(total);
        return 0;
      }
      if (this.#queue.bytes + total > this.#limits.queueBytesMax) this.#pump();
    } catch (error) {
      // The other side is gone, or wrote what it may not; its end is on its way.
      if (isClosed(error)) return this.#lose(total);
      throw error;
    }
    if (this.#queue.bytes + total > this.#limits.queueBytesMax) return this.#overflow(total);
    // What is the caller's may change when this has returned.
    const kept = typeof payload === "string" ? bytes : new Uint8Array(bytes);
    this.#queue.push({ bytes: kept, attached });
    if (this.#queue.bytes > this.#limits.queueBytesHigh) this.#pressed = true;
    return this.#queue.bytes;
  }

  #lose(total: number): number {
    add(this.#lost, 1, total);
    return codes.ended.number;
  }

  #overflow(total: number): number {
    if (this.#limits.queuePolicy === "refuse") {
      this.#pressed = true;
      return codes.queue_full.number;
    }
    this.#lose(total);
    this.#why = "queue_limit";
    this.#shut();
    return codes.ended.number;
  }

  #note(total: number): void {
    add(this.#sent, 1, total);
  }

  readonly #telling: Sent = { result: 0, messages: 0, bytes: 0 };

  #tell(result: number, bytes: number): void {
    const sent = this.#telling;
    sent.result = result;
    sent.messages = bytes === 0 ? 0 : 1;
    sent.bytes = bytes;
    this.#owner?.onSent(sent);
  }

  write(payload: Payload, options: SendOptions): number {
    const bytes = bytesOf(payload);
    const numbers = Array.from(numbersOf(options.descriptors ?? []));
    if (this.#end !== undefined) throw this.#failure("ended");
    if (numbers.length > 0) {
      const waiting = this.#queue.attached + this.#side.attached;
      if (waiting + numbers.length > this.#limits.descriptorsHeld)
        throw this.#failure("descriptors_too_many");
      if (this.#queue.bytes + bytes.length + headerBytes > this.#limits.queueBytesMax) this.#pump();
      this.#checkRoom(bytes.length + headerBytes);
      this.#side.attach(numbers);
    }
    const result = this.#take(bytes, payload, numbers.length);
    if (result === codes.queue_full.number) throw this.#failure("queue_full");
    if (result < 0) throw this.#failure("ended");
    return result;
  }

  /** Once its descriptors were sent a message is not refused any more. */
  #checkRoom(total: number): void {
    if (this.#queue.bytes + total <= this.#limits.queueBytesMax) return;
    if (this.#overflow(total) === codes.queue_full.number) throw this.#failure("queue_full");
    throw this.#failure("ended");
  }

  #failure(name: "ended" | "descriptors_too_many" | "queue_full"): IpcError {
    return errorOf(codes[name].number, noFailure, { service: this.#socket.service });
  }

  flush(): void {
    if (this.#queue.length === 0) return;
    this.#pumpQuietly();
    this.#tell(this.#end === undefined ? this.#queue.bytes : codes.ended.number, 0);
    // It is told later, as it is told everything.
    if (this.#hasDrained()) setImmediate(() => this.#relieve());
  }

  #pumpQuietly(): void {
    try {
      this.#pump();
    } catch (error) {
      if (!isClosed(error)) throw error;
    }
  }

  /** Puts into the ring what there is room for now. */
  #pump(): void {
    if (this.#queue.length > 0 && this.#side.isBegun) this.#side.cork(() => this.#putAll());
  }

  #putAll(): void {
    for (let next = this.#queue.peek(); next !== undefined; next = this.#queue.peek()) {
      if (this.#end !== undefined || !this.#side.put(next.bytes, next.attached)) return;
      this.#queue.shift();
      this.#note(next.bytes.length + headerBytes);
    }
  }

  #hasDrained(): boolean {
    return this.#pressed && this.#queue.bytes <= this.#limits.queueBytesHigh / 2;
  }

  #relieve(): void {
    if (!this.#hasDrained() || this.#end !== undefined || this.#closing) return;
    this.#pressed = false;
    this.#tell(this.#queue.bytes, 0);
    this.#owner?.onDrain(this.#queue.bytes);
  }

  // ---- asking ----

  statistics(): Statistics {
    if (this.#end !== undefined) throw this.#failure("ended");
    return this.figures();
  }

  /** @internal The same, whether it is over or not. */
  figures(): Statistics {
    const isOver = this.#end !== undefined;
    return {
      ...noStatistics(),
      messagesReceived: this.#received.messages,
      messagesSent: this.#sent.messages,
      bytesReceived: this.#received.bytes,
      bytesSent: this.#sent.bytes,
      queuedBytes: this.#queue.bytes,
      messagesLost: this.#lost.messages,
      connectionsOpen: isOver ? 0 : 1,
      descriptors: isOver ? 0 : 1,
      reasons: this.#end === undefined ? {} : { [this.#end.reason]: 1 },
    };
  }

  // ---- closing ----

  pause(paused: boolean): void {
    if (paused) this.#side.pause();
    else if (!this.#closing) this.#side.resume();
  }

  close(now: boolean): void {
    if (this.#end !== undefined || (this.#closing && !now)) return;
    this.#closing = true;
    // Nobody may ever have owned it.
    if (this.#owner === undefined) this.#side.give(this);
    this.#side.pause();
    this.#pumpQuietly();
    if (now || this.#queue.length === 0) this.#shut();
    else {
      const patience = Math.min(this.#limits.drainTimeout, timerMsMax);
      this.#draining = setTimeout(() => this.#shut(), patience);
    }
  }

  #shut(): void {
    this.#closing = true;
    clearTimeout(this.#draining);
    this.#side.close(this.#queue.length === 0 && this.#lost.messages === 0);
  }

  // ---- from the socket ----

  onData(bytes: Uint8Array, isPassed: boolean, descriptors: readonly Descriptor[]): void {
    const owner = this.#owner;
    if (owner === undefined || this.#closing) {
      for (const descriptor of descriptors) descriptor.close();
      return;
    }
    add(this.#received, 1, headerBytes + bytes.length);
    const inbox = isPassed || bytes.length === 0 ? undefined : this.#inboxOf(bytes);
    const arrival = descriptors.length === 0 ? undefined : new Arrival(descriptors);
    owner.onMessage(
      inbox === undefined
        ? new Message(undefined, 0, bytes.length, isPassed ? bytes : nothing, arrival?.take)
        : new Message(inbox, bytes.byteOffset, bytes.length, undefined, arrival?.take),
    );
    arrival?.over();
    if (inbox !== undefined) inbox.generation += 1;
  }

  #inboxOf(bytes: Uint8Array): Inbox {
    const known = this.#inbox;
    if (known !== undefined && known.bytes.buffer === bytes.buffer) return known;
    this.#inbox = { bytes: Buffer.from(bytes.buffer), generation: 0 };
    return this.#inbox;
  }

  onRoom(): void {
    const queued = this.#queue.bytes;
    this.#pumpQuietly();
    if (this.#queue.bytes < queued) this.#tell(this.#queue.bytes, 0);
    this.#relieve();
    if (this.#closing && this.#queue.length === 0) this.#shut();
  }

  onEnd(end: End): void {
    this.#end = { ...end, reason: this.#why ?? end.reason };
    this.#closing = true;
    clearTimeout(this.#draining);
    // Not within whatever call of the owner's it may have shown in.
    setImmediate(() => this.#finish());
  }

  #finish(): void {
    const { errno, error } = this.#end!;
    add(this.#lost, this.#queue.length, this.#queue.bytes);
    this.#queue.clear();
    // It was not in order for this side then.
    if (this.#end!.reason === "peer_closed" && this.#lost.messages > 0)
      this.#end = { ...this.#end!, reason: "peer_reset" };
    const { reason } = this.#end!;
    this.#owner?.onEnd({ reason, errno, error, lost: this.#lost });
    this.onOver?.(this.figures());
  }
}
