/**
 * One side of a memory socket, behind what its users call: what it holds, what it hands out, and how it ends.
 *
 *     alone ──meet──▶ met ──begin──▶ begun ──the other side is gone──▶ over: the rest is handed out ──▶ ended
 *       └──────────────┴──fail, close──┴──close, or what makes no sense───────────────────────────────────▲
 */

import type { Agreed } from "../crypto/meeting.ts";
import type { Connection } from "../ipc/connection.ts";
import type { Peer } from "../ipc/context.ts";
import { add } from "../ipc/count.ts";
import type { End } from "../ipc/handlers.ts";
import type { Message } from "../ipc/message.ts";
import { IpcError } from "../native/errors.ts";
import { Audience, type SocketOwner, type Told } from "./audience.ts";
import { Farewell, nothingLost, senseless } from "./farewell.ts";
import { hub, type Watched } from "./hub.ts";
import type { Incoming } from "./incoming.ts";
import type { SocketSettings } from "./options.ts";
import { sendDescriptors, Unsent } from "./outgoing.ts";
import { Corrupt } from "./ring.ts";
import { closeRings, type Rings, stalled, Traffic } from "./traffic.ts";

/** So many messages are handed out before others have their turn. */
const workMax = 256;

export class Side implements Watched {
  readonly #audience: Audience;
  #link: Connection | undefined;
  /** With the key that it has shown to be its own. */
  #peer: Peer | undefined;
  /** It is there while messages can come or go. */
  #traffic: Traffic | undefined;
  readonly #farewell = new Farewell();
  readonly #ended = Promise.withResolvers<End>();
  #end: End | undefined;
  /** The Unix connection has ended; what the other side had still written is there to be read. */
  #over: End | undefined;
  #closing = false;
  #paused = false;
  #working = false;

  constructor(told: Told) {
    this.#audience = new Audience(told);
  }

  // ---- asking ----

  /** The Unix connection, once there is one. */
  get link(): Connection | undefined {
    return this.#link;
  }

  get ended(): Promise<End> {
    return this.#ended.promise;
  }

  get peer(): Peer {
    return this.#peer ?? this.#link?.peer ?? { uid: 0, gid: 0, pid: 0 };
  }

  /** Whether messages can be written. */
  get open(): boolean {
    return this.#traffic !== undefined && !this.#closing && !this.#isForsaken;
  }

  /** Whether the two sides have agreed, and it has not ended. */
  get isBegun(): boolean {
    return this.#traffic !== undefined;
  }

  /** Whether it ever was, or is on its way. */
  get isKnown(): boolean {
    return this.#link !== undefined || this.#end !== undefined;
  }

  /** Whether the other side is gone, while what it had still written is handed out. */
  get isLeft(): boolean {
    return this.#over !== undefined;
  }

  /** What is written into and read from, if there is anything of that. */
  get traffic(): Traffic | undefined {
    return this.#traffic;
  }

  get incoming(): Incoming {
    return this.#traffic?.incoming ?? this.refuse();
  }

  get #isSealed(): boolean {
    return this.#traffic?.seal !== undefined;
  }

  /** The other side is gone, and what it had still written is to be read: there is nobody to write to. */
  get #isForsaken(): boolean {
    return this.#over !== undefined && !this.#audience.hears;
  }

  get #listens(): boolean {
    return this.#audience.hears && !this.#paused && !this.#closing && this.#traffic !== undefined;
  }

  // ---- writing ----

  /** What messages are written by. Throws ECLOSED. */
  writing(): Traffic {
    return this.open ? this.#traffic! : this.refuse();
  }

  /** Writes one message with so many descriptors, which `attach` was given before. False if there is no room. */
  put(bytes: Uint8Array, attached: number): boolean {
    const { outgoing, messageBytesMax } = this.writing();
    if (bytes.length > messageBytesMax) throw this.tooLong(bytes.length);
    if (this.#over !== undefined) return lose(this.#over, bytes.length);
    try {
      if (!outgoing.write(bytes, attached)) return this.#waits();
    } catch (error) {
      throw this.mended(error);
    }
    this.#expect();
    return true;
  }

  /** Room for a message, or undefined. */
  reserve(bytes: number): Uint8Array | undefined {
    try {
      const room = this.writing().outgoing.reserve(bytes);
      if (room === undefined) this.#waits();
      return room;
    } catch (error) {
      throw this.mended(error);
    }
  }

  commit(bytes: number | undefined): void {
    this.writing().outgoing.commit(bytes);
    this.#expect();
  }

  cork<Result>(act: () => Result): Result {
    this.#traffic?.outgoing.cork();
    try {
      return act();
    } finally {
      this.#traffic?.outgoing.uncork();
      if (this.open) this.#expect();
    }
  }

  /** For room. Whoever writes in a turn of the hub's sees it before it would sleep for it. */
  #waits(): false {
    hub.wait(this);
    return false;
  }

  /** What the other side was shown may be answered soon. */
  #expect(): void {
    if (this.#audience.hears && this.#traffic?.outgoing.isCorked === false) hub.expect(this);
  }

  /** Sends descriptors ahead of the message that is put with them. They stay the caller's. */
  attach(descriptors: readonly number[]): void {
    if (this.#link === undefined || this.#closing) this.refuse();
    if (this.#traffic === undefined) sendDescriptors(this.#link, descriptors);
    else this.#traffic.outgoing.attach(descriptors);
  }

  /** Descriptors of messages that the other side has not come to. */
  get attached(): number {
    try {
      return this.#traffic?.outgoing.attached ?? 0;
    } catch (error) {
      throw this.mended(error);
    }
  }

  // ---- reading ----

  /** The next message, undefined if there is none now, and null if there will never be one. */
  take(): Uint8Array | undefined | null {
    try {
      if (this.#closing) return null;
      const bytes = this.#traffic?.incoming.take();
      if (bytes !== undefined) return bytes;
      if (this.#over !== undefined) this.#conclude(this.#over);
    } catch (error) {
      this.#failed(error);
    }
    return this.#traffic === undefined ? null : undefined;
  }

  /** Holds up this thread until there may be a message, or `until`. */
  wait(until: number): void {
    try {
      // Handlers that were called may have made an end of this, or brought about what is waited for.
      if (hub.settle() === 0) this.#traffic?.wait(until);
    } catch (error) {
      this.#failed(error);
    }
  }

  pause(): void {
    this.#paused = this.#over === undefined;
  }

  resume(): void {
    this.#paused = false;
    this.listen();
  }

  /** Who hears may have changed. */
  listen(): void {
    this.#audience.ask();
    if (this.#traffic !== undefined) hub.watch(this);
  }

  // ---- from its owner ----

  /** From now on `owner` is told, and nothing is lost to it that came before. */
  give(owner: SocketOwner): void {
    this.#audience.give(owner);
    if (this.#end !== undefined) owner.onEnd(this.#end);
    else if (this.#over === undefined) this.listen();
    else if (!this.#working) this.#windUp(this.#over);
  }

  /** Where something of what was to be sent is lost, a sealed side says nothing of its end: it would vouch for all of it. */
  close(isWhole = true): void {
    if (this.#end !== undefined || this.#closing) return;
    this.#closing = true;
    if (this.#link === undefined) {
      this.#finish({ reason: "closed", errno: 0, lost: nothingLost() });
    } else if (this.#over === undefined) {
      this.#traffic?.outgoing.publish();
      this.#traffic?.incoming.release();
      // By its end the Unix connection tells of wakings that nobody reads, which are no loss, and not of messages.
      if (this.#link.open && (isWhole || !this.#isSealed))
        this.#link.send(this.#traffic?.farewell ?? "end");
      void this.#link.close();
    } else if (!this.#working) {
      this.#finish(this.#over);
    }
  }

  // ---- from the Unix connection ----

  /** The other side is there, and has not agreed yet. */
  meet(link: Connection): void {
    this.#link = link;
  }

  /** There will be no agreement. */
  fail(end: End): void {
    void this.#link?.close({ now: true });
    this.#finish(end);
  }

  /** The two sides have agreed. Takes over the rings; throws ECLOSED if it was closed meanwhile. */
  begin(link: Connection, rings: Rings, settings: SocketSettings, agreed?: Agreed): void {
    if (this.#end !== undefined) {
      closeRings(rings);
      agreed?.seal.close();
      this.refuse();
    }
    this.#link = link;
    if (agreed !== undefined) this.#peer = { ...link.peer, publicKey: agreed.publicKey };
    this.#traffic = new Traffic(link, rings, settings, agreed?.seal, () => this.#stalled());
    this.#audience.begin();
    hub.watch(this);
  }

  /** A frame came: somebody wakes us, passes a message, sends descriptors, or says that he closes. */
  heard(message: Message): void {
    const traffic = this.#traffic;
    // What nobody asks for is closed with the batch.
    if (traffic === undefined) return;
    try {
      if (message.length > 0) this.#hear(message, traffic.incoming);
      // Now: the loop that this comes from may look for more frames for a while before the hub has its turn.
      this.work();
      hub.watch(this);
    } catch (error) {
      this.#failed(error);
    }
  }

  #hear(message: Message, incoming: Incoming): void {
    const { descriptors } = message;
    const { length } = descriptors;
    try {
      if (length === 0) this.#farewell.hear(message.bytes, this.#isSealed);
      else if (length === 1 && message.text() === "value") incoming.bring(descriptors[0]!);
      else if (message.text() === "descriptors") incoming.keep(descriptors);
      else throw new Corrupt(senseless);
    } catch (error) {
      for (const descriptor of descriptors) descriptor.close();
      throw error;
    }
  }

  /** The Unix connection has ended, and the other side with it. */
  left(end: End): void {
    if (this.#end !== undefined || this.#link === undefined) return;
    this.#over = this.#farewell.end(end, this.#traffic?.isAllRead !== false);
    this.#paused = false;
    try {
      this.#traffic?.incoming.freeze();
    } catch (error) {
      this.#failed(error);
      return;
    }
    // A handler may be in the middle of a message, and others come before the end.
    if (!this.#working) this.#windUp(this.#over);
  }

  /** Hands out what the other side had still written; what is to be read is kept until it was. */
  #windUp(over: End): void {
    try {
      while (this.#audience.hears && this.#handOut() > 0);
      const waits =
        !this.#audience.hears && !this.#closing && this.#traffic?.incoming.hasMore === true;
      if (!waits) this.#conclude(over);
    } catch (error) {
      this.#failed(error);
    }
  }

  /** All that the other side had written was handed out, unless this one closes. Throws `Corrupt` if that was not all. */
  #conclude(over: End): void {
    const seal = this.#closing ? undefined : this.#traffic?.seal;
    const { service } = this.#audience;
    this.#finish(seal === undefined ? over : this.#farewell.unsealed(over, service, seal));
  }

  // ---- from the hub ----

  work(): number {
    if (this.#working) return 0;
    const count = this.#handOut();
    if (this.#over !== undefined && this.#end === undefined) this.#windUp(this.#over);
    return count;
  }

  rest(): boolean {
    const traffic = this.#traffic;
    if (traffic === undefined) return true;
    try {
      if (!traffic.outgoing.rest()) return false;
      // What it waits for then comes over the socket, or is asked for.
      return !this.#listens || traffic.incoming.rest();
    } catch (error) {
      this.#failed(error);
      return true;
    }
  }

  rouse(): void {
    this.#traffic?.incoming.rouse();
  }

  /** Hands out messages, and tells of room. Returns how often it did. */
  #handOut(): number {
    const traffic = this.#traffic;
    if (traffic === undefined) return 0;
    const { outgoing, incoming } = traffic;
    let count = 0;
    this.#working = true;
    outgoing.cork();
    try {
      if (this.#over === undefined && outgoing.regained()) {
        count += 1;
        this.#audience.room();
      }
      while (count < workMax && this.#listens) {
        const bytes = incoming.take();
        if (bytes === undefined) break;
        count += 1;
        this.#audience.message(bytes, incoming);
        if (this.#traffic === undefined) break;
        incoming.unshow();
        incoming.releaseSome();
      }
      this.#traffic?.watchStall();
    } catch (error) {
      this.#failed(error);
    } finally {
      this.#working = false;
      // There is neither when a handler has made an end of it. What read() has returned stays.
      this.#traffic?.incoming.release();
      this.#traffic?.outgoing.uncork();
    }
    return count;
  }

  // ---- what goes wrong ----

  refuse(): never {
    const { service } = this.#audience;
    const text = `ECLOSED: the memory socket of "${service}" is ${this.#state()}`;
    throw new IpcError("ECLOSED", text, { service });
  }

  #state(): string {
    if (this.#end !== undefined) return `closed (${this.#end.reason})`;
    if (this.#isForsaken) return "left by the other side, and only to be read";
    return this.#link === undefined ? "not connected yet" : "being closed";
  }

  tooLong(bytes: number, hint = ""): IpcError {
    const { messageBytesMax, outgoing } = this.#traffic!;
    const most = Math.min(messageBytesMax, hint === "" ? Infinity : outgoing.ringBytesMax);
    const { service } = this.#audience;
    return new IpcError(
      "EMSGSIZE",
      `EMSGSIZE: a message of ${bytes} bytes for "${service}"; ${most} are allowed${hint || " (messageBytesMax)"}`,
      { service },
    );
  }

  /** What belongs to a message did not come in time. */
  #stalled(): void {
    const traffic = this.#traffic;
    if (traffic?.isStalled !== true) return;
    if (this.#paused) traffic.forgiveStall();
    else this.#corrupt(stalled());
  }

  /** Ends this connection where somebody else wrote what makes no sense, and throws what else went wrong. */
  #failed(error: unknown): void {
    if (!(error instanceof Corrupt)) throw error;
    this.#corrupt(error);
  }

  #corrupt(cause: Corrupt): void {
    if (this.#end !== undefined) return;
    const { service } = this.#audience;
    const text = `EMALFORMED: the memory socket of "${service}" was closed: ${cause.message}`;
    const error = new IpcError("EMALFORMED", text, { service, cause });
    void this.#link?.close({ now: true });
    // It is no fault of this program: who does not want to know hears of it with the end.
    this.#audience.error(error, false);
    this.#finish({ reason: cause.reason, errno: 0, error, lost: nothingLost() });
  }

  /** What a call throws to whoever made it. */
  mended(error: unknown): unknown {
    if (error instanceof Unsent) {
      this.close(false);
      return error.cause;
    }
    if (!(error instanceof Corrupt)) return error;
    this.#corrupt(error);
    const { service } = this.#audience;
    const text = `ECLOSED: the memory socket of "${service}" was closed: ${error.message}`;
    return new IpcError("ECLOSED", text, { service, cause: error });
  }

  #finish(end: End): void {
    if (this.#end !== undefined) return;
    this.#end = end;
    hub.leave(this);
    const traffic = this.#traffic;
    this.#traffic = undefined;
    traffic?.close();
    this.#audience.end(end);
    this.#ended.resolve(end);
  }
}

/** The other side is gone, while what it had still written is handed out. */
function lose({ lost }: End, bytes: number): boolean {
  add(lost, 1, bytes);
  return true;
}
