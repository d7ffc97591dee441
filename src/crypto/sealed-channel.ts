/**
 * What the messages of a connection go through when they are sealed: a channel beneath, over which each message goes as
 * one record, and which may lead anywhere. What the seal adds, 16 bytes to a message and what was said before the first,
 * is counted nowhere: limits, queues and figures are those of the messages themselves.
 */

import type { Channel, ChannelEnd, ChannelOwner } from "../ipc/channel.ts";
import type { Peer, Sent } from "../ipc/context.ts";
import type { SendOptions } from "../ipc/context-options.ts";
import type { Descriptor } from "../ipc/descriptor.ts";
import { numbersOf } from "../ipc/descriptor.ts";
import type { InternetAddress } from "../ipc/internet-address.ts";
import type { FullLimits } from "../ipc/limits.ts";
import type { Message, Payload } from "../ipc/message.ts";
import { bytesOf } from "../ipc/message.ts";
import type { Statistics } from "../ipc/statistics.ts";
import { codes, errorOf, IpcError, isClosed } from "../native/errors.ts";
import { constants, type Reason } from "../native/layout.ts";
import type { Seal } from "../native/seal.ts";
import { tagBytes } from "../native/seal.ts";
import { broken, cutOff } from "./broken.ts";
import { Figures } from "./figures.ts";
import { sealKinds } from "./kinds.ts";
import type { Agreed } from "./meeting.ts";
import type { Preface } from "./preface.ts";

const headerBytes = constants.header_bytes;
const noFailure = { errno: 0, syscall: 0, detail: 0 };
/** What longer records are written into is let go of. */
const keptBytesMax = 1024 * 1024;
/** What all channels of this thread write their records into, each of which is handed on before there is another. */
let room = new Uint8Array(64 * 1024);

const nothing = new Uint8Array();

export class SealedChannel implements Channel, ChannelOwner {
  readonly movable = false;
  readonly peer: Peer;
  readonly #beneath: Channel;
  readonly #seal: Seal;
  readonly #limits: FullLimits;
  readonly #figures: Figures;
  readonly #service: string;
  #owner: ChannelOwner | undefined;
  /** Bytes that wait beneath, as last heard, or a few more; and that it was given since. */
  #queued = 0;
  #scheduled = 0;
  /** The queue was over its mark, and the owner waits for it to drain. */
  #pressed = false;
  /** This side is just saying that it ends. */
  #leaving = false;
  /** The other side is about to say that it ends, and has. */
  #endsNext = false;
  #hasEnded = false;
  /** Why it ends, where the channel beneath would say something else. */
  #why: { reason: Reason; error?: IpcError | undefined } | undefined;
  #end: ChannelEnd | undefined;
  /** @internal Told when it is over, with how it ended beneath and how for its owner. */
  onOver: ((beneath: Reason, told: Reason) => void) | undefined;

  /** The channel beneath is paused, or nothing can have come yet: what comes before `open` is not the other end's. */
  constructor(
    service: string,
    beneath: Channel,
    { seal, publicKey }: Agreed,
    limits: FullLimits,
    preface: Preface,
  ) {
    this.peer = { ...beneath.peer, publicKey };
    this.#service = service;
    this.#beneath = beneath;
    this.#seal = seal;
    this.#limits = limits;
    this.#figures = new Figures(preface);
    beneath.open(this);
  }

  get handle(): number {
    throw this.#cannot("be bound to another: what is sealed would leave it as it came");
  }

  get address(): InternetAddress {
    return this.#beneath.address;
  }

  get ownAddress(): InternetAddress {
    return this.#beneath.ownAddress;
  }

  get usedUp(): boolean {
    return this.#beneath.usedUp;
  }

  get over(): boolean {
    return this.#beneath.over;
  }

  copies(): Descriptor[] {
    throw this.#cannot(
      "be given to another process: it would not have the keys of what comes next",
    );
  }

  #cannot(what: string): IpcError {
    return new IpcError(
      "ENOTSUP",
      `ENOTSUP: the connection to "${this.#service}" is sealed, and cannot ${what}; connect without a seal for that`,
      { service: this.#service },
    );
  }

  open(owner: ChannelOwner): void {
    this.#owner = owner;
    const end = this.#end;
    if (end === undefined) this.#beneath.pause(false);
    // Not within a call of the owner's.
    else setImmediate(() => this.#owner?.onEnd(end));
  }

  leave(): void {
    this.#owner = undefined;
    this.#beneath.leave();
  }

  // ---- sending ----

  schedule(payload: Payload, gathers: boolean): void {
    const bytes = bytesOf(payload);
    const total = headerBytes + bytes.length;
    const refused = this.#refuse(total);
    if (refused !== undefined) {
      this.#tell(refused, 1, total);
      return;
    }
    const record = this.#record(bytes);
    this.#scheduled += total;
    this.#give(() => this.#beneath.schedule(record, gathers));
  }

  write(payload: Payload, options: SendOptions): number {
    const bytes = bytesOf(payload);
    if (numbersOf(options.descriptors ?? []).length > 0) {
      throw this.#cannot("send descriptors: whoever lies between the two ends could exchange them");
    }
    const total = headerBytes + bytes.length;
    const refused = this.#refuse(total);
    if (refused !== undefined) throw this.#failure(refused);
    const record = this.#record(bytes);
    const queued = this.#give(() => this.#beneath.write(record, options));
    this.#figures.hand(1, total);
    this.#hear(queued);
    return this.#queued;
  }

  /** What is sealed has to go: the other end would miss it. */
  #give<Result>(give: () => Result): Result {
    try {
      return give();
    } catch (error) {
      if (!isClosed(error)) this.#break("system");
      throw error;
    }
  }

  /** Good until the next. */
  #record(bytes: Uint8Array): Uint8Array {
    const length = bytes.length + tagBytes;
    if (length > constants.message_bytes_limit) {
      throw new IpcError(
        "EMSGSIZE",
        `EMSGSIZE: a message of ${bytes.length} bytes; no sealed message is longer than ` +
          `${constants.message_bytes_limit - tagBytes}`,
        { service: this.#service },
      );
    }
    const out = roomFor(length);
    this.#seal.seal(sealKinds.message, bytes, out);
    return out.subarray(0, length);
  }

  /** A code if so many bytes more cannot be taken. */
  #refuse(total: number): number | undefined {
    if (this.#end !== undefined) {
      this.#figures.refuse(total);
      return codes.ended.number;
    }
    const { queueBytesMax, queuePolicy } = this.#limits;
    if (this.#queued + this.#scheduled + total <= queueBytesMax) return undefined;
    // Only what the kernel really does not take counts.
    this.#beneath.flush();
    if (this.#queued > 0) this.#queued = this.#queuedNow(this.#queued);
    if (this.#queued + total <= queueBytesMax) return undefined;
    if (queuePolicy === "refuse") {
      this.#pressed = true;
      return codes.queue_full.number;
    }
    this.#figures.refuse(total);
    this.#break("queue_limit");
    return codes.ended.number;
  }

  #failure(code: number): IpcError {
    return errorOf(code, noFailure, { service: this.#service });
  }

  readonly #telling: Sent = { result: 0, messages: 0, bytes: 0 };

  #tell(result: number, messages: number, bytes: number): void {
    const sent = this.#telling;
    sent.result = result;
    sent.messages = messages;
    sent.bytes = bytes;
    this.#owner?.onSent(sent);
  }

  flush(): void {
    this.#beneath.flush();
  }

  onSent({ result, messages, bytes }: Sent): void {
    if (this.#leaving) return;
    const plain = bytes - messages * tagBytes;
    this.#scheduled = Math.max(0, this.#scheduled - plain);
    // Those that come when its end is made out are the owner's to count.
    if (result >= 0 || !this.#beneath.over) this.#figures.hand(messages, plain);
    if (result >= 0) this.#hear(result);
    this.#tell(result < 0 ? result : this.#queued, messages, plain);
  }

  /** So many bytes wait beneath. How many messages those are is asked for only where the mark may lie in between. */
  #hear(queued: number): void {
    const { queueBytesHigh } = this.#limits;
    const least = this.#figures.leastOf(queued);
    const isClear = queued <= queueBytesHigh || least > queueBytesHigh;
    this.#queued = isClear ? queued : this.#queuedNow(queued);
    if (this.#queued > queueBytesHigh) this.#pressed = true;
  }

  #queuedNow(otherwise: number): number {
    try {
      return this.#figures.queueOf(this.#beneath.statistics());
    } catch (error) {
      if (isClosed(error)) return otherwise;
      throw error;
    }
  }

  onDrain(queuedBytes: number): void {
    if (!this.#pressed) return;
    this.#pressed = false;
    this.#queued = this.#queuedNow(queuedBytes);
    this.#owner?.onDrain(this.#queued);
  }

  // ---- receiving ----

  pause(paused: boolean): void {
    this.#beneath.pause(paused);
  }

  onMessage(message: Message): void {
    if (this.#why !== undefined) return;
    if (this.#endsNext || message.length === 0) {
      this.#hearEnd(message);
      return;
    }
    const length = message.length - tagBytes;
    if (length > this.#limits.messageBytesMax) {
      this.#break("message_too_long");
      return;
    }
    try {
      if (this.#owner === undefined) throw untimely();
      // In place: nobody else sees what it lies in.
      this.#seal.open(sealKinds.message, message.bytes, message.bytes);
    } catch (error) {
      this.#break("malformed", broken(this.#service, error));
      return;
    }
    this.#figures.receive(headerBytes + length);
    this.#owner.onMessage(message.beginning(length));
  }

  /** The other side says that it ends, in two messages. */
  #hearEnd({ bytes, length }: Message): void {
    this.#figures.hearEnd(length);
    try {
      if (this.#hasEnded) throw untimely();
      if (this.#endsNext) {
        this.#seal.open(sealKinds.end, bytes, bytes);
        this.#hasEnded = true;
      }
      this.#endsNext = true;
    } catch (error) {
      this.#break("malformed", broken(this.#service, error));
    }
  }

  // ---- ending ----

  #break(reason: Reason, error?: IpcError): void {
    this.#why ??= { reason, error };
    this.#beneath.close(true);
  }

  close(now: boolean): void {
    this.#say(now);
    this.#beneath.close(now);
  }

  /** Says that this side ends, behind all that was sent; nothing where something of that is to be lost. */
  #say(now: boolean): void {
    const isOver = this.#figures.hasLeft || this.#why !== undefined || this.#end !== undefined;
    if (isOver) return;
    this.#beneath.flush();
    if (now && this.#waits) return;
    const record = new Uint8Array(tagBytes);
    this.#seal.seal(sealKinds.end, nothing, record);
    this.#leaving = true;
    this.#figures.leave();
    for (const bytes of [nothing, record]) this.#beneath.schedule(bytes, false);
    this.#beneath.flush();
    this.#leaving = false;
  }

  /** Whether something waits beneath that would be lost now, or all of it is lost already. */
  get #waits(): boolean {
    try {
      return this.#beneath.statistics().queuedBytes > 0;
    } catch (error) {
      if (isClosed(error)) return true;
      throw error;
    }
  }

  onEnd(end: ChannelEnd): void {
    const { reason, errno } = end;
    if (reason === "peer_closed" && !this.#hasEnded) {
      this.#why ??= { reason: "truncated", error: broken(this.#service, cutOff) };
    }
    this.#end = { reason, errno, ...this.#why, lost: this.#figures.lostOf(end.lost) };
    this.#seal.close();
    this.onOver?.(reason, this.#end.reason);
    this.#owner?.onEnd(this.#end);
  }

  // ---- asking ----

  statistics(): Statistics {
    if (this.#end !== undefined) throw this.#failure(codes.ended.number);
    return this.#figures.of(this.#beneath.statistics());
  }

  /** @internal The same, whether it is over or not. */
  figures(): Statistics {
    try {
      if (this.#end === undefined) return this.#figures.of(this.#beneath.statistics());
    } catch (error) {
      if (!isClosed(error)) throw error;
    }
    return this.#figures.last(this.#end?.lost);
  }
}

function roomFor(length: number): Uint8Array {
  if (length <= room.length) return room;
  if (length > keptBytesMax) return new Uint8Array(length);
  room = new Uint8Array(keptBytesMax);
  return room;
}

function untimely(): IpcError {
  return new IpcError(
    "ESEAL",
    "ESEAL: it came before it was agreed on how to seal, or after the end",
  );
}
