/**
 * One end of a connection through shared memory.
 *
 *     this side                                    the other
 *       write ──▶ ring ─────────────────────────▶ onData
 *      onData ◀── ring ◀───────────────────────── write
 *             ◀──── Unix connection ───▶            wakes who sleeps, brings what is too long for a ring, and
 *                                                   descriptors, and ends when the other side does
 */

import type { Connection } from "../ipc/connection.ts";
import type { Peer } from "../ipc/context.ts";
import type { Descriptor } from "../ipc/descriptor.ts";
import type { End, Lost } from "../ipc/handlers.ts";
import { loop, throwLater } from "../ipc/loop.ts";
import type { Message, Payload } from "../ipc/message.ts";
import { bytesOf } from "../ipc/message.ts";
import { patience } from "../ipc/numbers.ts";
import { IpcError } from "../native/errors.ts";
import type { Seal } from "../native/seal.ts";
import type { Segment } from "../native/shared-memory.ts";
import type { Hold } from "./hold.ts";
import { hub } from "./hub.ts";
import { Incoming } from "./incoming.ts";
import { Lookout } from "./lookout.ts";
import type { SocketSettings } from "./options.ts";
import { Outgoing, sendDescriptors } from "./outgoing.ts";
import { Corrupt } from "./ring.ts";
import { Stall } from "./stall.ts";

/** The two rings of one end: what it writes into, and what it reads from. */
export type Rings = { readonly out: Segment; readonly in: Segment };

/** Who is told instead of the handlers: it makes a connection of `serve` or `connect` of a socket. */
export type SocketOwner = {
  /** `isPassed`: the bytes are the message's own, and good for ever. The descriptors are the owner's. */
  onData(bytes: Uint8Array, isPassed: boolean, descriptors: readonly Descriptor[]): void;
  onRoom(): void;
  onEnd(end: End): void;
};

/** So many messages are handed out before others have their turn. */
const workMax = 256;

export abstract class MemorySocket implements AsyncDisposable {
  /** The service at one of the two ends. */
  abstract get service(): string;
  #link: Connection | undefined;
  #rings: Rings | undefined;
  #seal: Seal | undefined;
  /** Both are there while messages can come or go. */
  #outgoing: Outgoing | undefined;
  #incoming: Incoming | undefined;
  #owner: SocketOwner | undefined;
  #messageBytesMax = 0;
  #lookout = new Lookout(0);
  #stall = new Stall(0, () => undefined);
  readonly #ended = Promise.withResolvers<End>();
  #end: End | undefined;
  /** The Unix connection has ended; what the other side had still written is there to be read. */
  #over: End | undefined;
  /** The other side has said that it closes, and whether it leaves something unread. */
  #farewell: "end" | "unread" | undefined;
  #closing = false;
  #paused = false;
  #working = false;

  // ---- what its owner is told ----

  protected abstract get hears(): boolean;
  protected abstract tellData(bytes: Uint8Array): void | Promise<void>;
  protected abstract tellDrain(): void | Promise<void>;
  /** False if nobody wants to know. */
  protected abstract tellError(error: unknown): boolean;
  protected abstract tellClose(end: End): void | Promise<void>;

  // ---- asking ----

  /** Whether messages can be written. */
  get open(): boolean {
    return this.#outgoing !== undefined && !this.#closing && !this.#isForsaken;
  }

  /** Resolves when it has ended, with why; never rejects. */
  get ended(): Promise<End> {
    return this.#ended.promise;
  }

  /** Who is at the other end, as the kernel saw it when the connection was made. */
  get peer(): Peer {
    return this.#link?.peer ?? { uid: 0, gid: 0, pid: 0 };
  }

  /** The longest message that goes through the ring, and so the most that can be reserved. In bytes. */
  get ringBytesMax(): number {
    return this.#outgoing?.ringBytesMax ?? 0;
  }

  // ---- writing ----

  /**
   * Writes one message. Returns false if there is no room for it: it was not taken, and `onDrain` follows when there
   * is. One that is longer than the ring takes is passed in memory of its own. Throws ECLOSED, EMSGSIZE, and EBUSY
   * between `reserve` and `commit`.
   */
  write(payload: Payload): boolean {
    return this.put(bytesOf(payload), 0);
  }

  /** @internal The same for a message with so many descriptors, which `attach` was given before. */
  put(bytes: Uint8Array, attached: number): boolean {
    const outgoing = this.#writing();
    if (bytes.length > this.#messageBytesMax) throw this.#tooLong(bytes.length);
    if (this.#over !== undefined) return lose(this.#over, bytes.length);
    try {
      if (!outgoing.write(bytes, attached)) return false;
    } catch (error) {
      throw this.#mended(error);
    }
    if (!outgoing.isCorked) hub.expect(this);
    return true;
  }

  /** @internal Sends descriptors ahead of the message that is put with them. They stay the caller's. */
  attach(descriptors: readonly number[]): void {
    if (this.#link === undefined || this.#closing) this.#refuse();
    if (this.#outgoing === undefined) sendDescriptors(this.#link, descriptors);
    else this.#outgoing.attach(descriptors);
  }

  /** @internal Descriptors of messages that the other side has not come to. */
  get attached(): number {
    try {
      return this.#outgoing?.attached ?? 0;
    } catch (error) {
      throw this.#mended(error);
    }
  }

  /**
   * Room in the ring for a message of so many bytes, to be filled and sent by `commit`, without a copy; undefined if
   * there is none, and then `onDrain` follows. Until then nothing else can be written; `discard`, or another `reserve`,
   * gives it up. Throws ECLOSED and EMSGSIZE.
   *
   * @example
   * const room = socket.reserve(4);
   * if (room !== undefined) {
   *   new DataView(room.buffer, room.byteOffset).setUint32(0, 42);
   *   socket.commit();
   * }
   */
  reserve(bytes: number): Uint8Array | undefined {
    const outgoing = this.#writing();
    if (!Number.isInteger(bytes) || bytes < 0) {
      throw new IpcError("EINVAL", "EINVAL: a message has a whole number of bytes, from 0");
    }
    if (bytes > Math.min(outgoing.ringBytesMax, this.#messageBytesMax)) {
      throw this.#tooLong(bytes, "; write() passes what is longer than the ring takes");
    }
    try {
      return outgoing.reserve(bytes);
    } catch (error) {
      throw this.#mended(error);
    }
  }

  /** Sends what was reserved, or the first `bytes` of it. Throws EINVAL if that is more, or nothing was. */
  commit(bytes?: number): void {
    const outgoing = this.#writing();
    outgoing.commit(bytes);
    if (!outgoing.isCorked) hub.expect(this);
  }

  /** Gives up what was reserved. */
  discard(): void {
    this.#outgoing?.discard();
  }

  /**
   * Shows the other side all that `act` writes in one go, or after each 16 KiB: many small messages cost far less then.
   * What a handler writes is corked as it is.
   */
  cork<Result>(act: () => Result): Result {
    this.#outgoing?.cork();
    try {
      return act();
    } finally {
      this.#outgoing?.uncork();
      if (this.open && this.#outgoing?.isCorked === false) hub.expect(this);
    }
  }

  // ---- reading ----

  /**
   * Waits for the next message, and holds up this thread meanwhile: for programs that do nothing else, without `onData`.
   * The bytes are good until the next read. Undefined after `timeout` milliseconds, null when the connection has ended
   * and all was read. Throws EINVAL where there is an `onData`, and EBUSY within a handler that it would hold up.
   */
  read(options: { timeout?: number } = {}): Uint8Array | undefined | null {
    this.#mayRead();
    const timeout = patience("timeout", options.timeout);
    const until = timeout === undefined ? Infinity : performance.now() + timeout;
    this.#incoming?.unshow();
    this.#incoming?.release();
    let bytes = this.#tryRead();
    if (bytes === undefined) {
      do {
        this.#wait(until);
        bytes = this.#tryRead();
      } while (bytes === undefined && performance.now() < until);
    }
    return bytes;
  }

  #mayRead(): void {
    if (this.hears) {
      throw new IpcError("EINVAL", "EINVAL: messages go to onData; read() is for sockets without");
    }
    if (loop().handing) {
      throw new IpcError(
        "EBUSY",
        "EBUSY: read() waits, and cannot within a handler that others wait for; call it outside",
      );
    }
    if (this.#link === undefined && this.#end === undefined) this.#refuse();
  }

  #wait(until: number): void {
    try {
      this.#outgoing?.publish();
      const incoming = this.#incoming!;
      const { missing } = incoming;
      this.#stall.watch(missing);
      this.#lookout.wait(incoming, Math.min(until, this.#stall.until));
      if (missing !== undefined && performance.now() >= this.#stall.until) this.#stalled(missing);
    } catch (error) {
      this.#failed(error);
    }
  }

  /** The next message, undefined if there is none now, and null if there will never be one. */
  #tryRead(): Uint8Array | undefined | null {
    try {
      if (this.#closing) return null;
      const bytes = this.#incoming?.take();
      if (bytes !== undefined) return bytes;
      if (this.#over !== undefined) this.#finish(this.#over);
    } catch (error) {
      this.#failed(error);
    }
    return this.#incoming === undefined ? null : undefined;
  }

  /**
   * Within `onData`, or after `read`: keeps the bytes of this message as they are until `release`. Room in the ring is
   * not used again before that, so the other side comes to wait. Throws EINVAL elsewhere.
   */
  hold(): Hold {
    return (this.#incoming ?? this.#refuse()).hold();
  }

  /** Reads nothing more, so that the other side comes to wait, until `resume`. One that is gone makes an end of it. */
  pause(): void {
    this.#paused = this.#over === undefined;
  }

  resume(): void {
    this.#paused = false;
    this.listen();
  }

  // ---- closing ----

  /** Closes it. What was written can still be read by the other side. Resolves when it has ended. */
  async close(): Promise<void> {
    if (this.#end === undefined && !this.#closing) {
      this.#closing = true;
      if (this.#link === undefined) {
        this.#finish({ reason: "closed", errno: 0, lost: nothingLost() });
      } else if (this.#over === undefined) {
        this.#outgoing?.publish();
        // By its end the Unix connection tells of wakings that nobody reads, which are no loss, and not of messages.
        if (this.#link.open) this.#link.send(this.#leavesUnread ? "unread" : "end");
        void this.#link.close();
      } else if (!this.#working) {
        this.#finish(this.#over);
      }
    }
    await this.#ended.promise;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  get #leavesUnread(): boolean {
    try {
      return this.#incoming?.hasMore === true;
    } catch {
      return true;
    }
  }

  // ---- from its owner ----

  /** @internal From now on `owner` is told, and nothing is lost to it that came before. */
  give(owner: SocketOwner): void {
    this.#owner = owner;
    if (this.#end !== undefined) owner.onEnd(this.#end);
    else if (this.#over === undefined) this.listen();
    else if (!this.#working) this.#windUp(this.#over);
  }

  /** @internal Whether the other side is gone, while what it had still written is handed out. */
  get isLeft(): boolean {
    return this.#over !== undefined;
  }

  /** @internal Whether the two sides have agreed, and it has not ended. */
  get isBegun(): boolean {
    return this.#outgoing !== undefined;
  }

  // ---- from the Unix connection ----

  /** @internal The other side is there, and has not agreed yet. */
  meet(link: Connection): void {
    this.#link = link;
  }

  /** @internal There will be no agreement. */
  fail(end: End): void {
    void this.#link?.close({ now: true });
    this.#finish(end);
  }

  /** @internal The two sides have agreed. Takes over the rings; throws ECLOSED if it was closed meanwhile. */
  begin(link: Connection, rings: Rings, settings: SocketSettings, seal?: Seal): void {
    if (this.#end !== undefined) {
      closeRings(rings);
      seal?.close();
      this.#refuse();
    }
    this.#link = link;
    this.#rings = rings;
    this.#messageBytesMax = settings.messageBytesMax;
    this.#lookout = new Lookout(settings.spin);
    this.#stall = new Stall(settings.stallTimeout, (missing) => this.#stalled(missing));
    this.#seal = seal;
    this.#outgoing = new Outgoing(link, rings.out, seal);
    this.#incoming = new Incoming(link, rings.in, settings, seal);
    this.#owner?.onRoom();
    hub.watch(this);
  }

  /** @internal A frame came: somebody wakes us, passes a message, sends descriptors, or says that he closes. */
  heard(message: Message): void {
    const incoming = this.#incoming;
    // What nobody asks for is closed with the batch.
    if (incoming === undefined) return;
    try {
      if (message.length > 0) this.#hear(message.text(), message.descriptors, incoming);
      // Now: the loop that this comes from may look for more frames for a while before the hub has its turn.
      this.work();
      hub.watch(this);
    } catch (error) {
      this.#failed(error);
    }
  }

  #hear(text: string, descriptors: readonly Descriptor[], incoming: Incoming): void {
    const { length } = descriptors;
    try {
      if (text === "value" && length === 1) incoming.bring(descriptors[0]!);
      else if (text === "descriptors" && length > 0) incoming.keep(descriptors);
      else if ((text === "end" || text === "unread") && length === 0) this.#farewell = text;
      else throw new Corrupt("the other side has said what means nothing here");
    } catch (error) {
      for (const descriptor of descriptors) descriptor.close();
      throw error;
    }
  }

  /** @internal The Unix connection has ended, and the other side with it. */
  left(end: End): void {
    if (this.#end !== undefined || this.#link === undefined) return;
    // What was written and never read is not known, and not counted.
    this.#over = { ...this.#asSaid(end), lost: nothingLost() };
    this.#paused = false;
    try {
      this.#incoming?.freeze();
    } catch (error) {
      this.#failed(error);
      return;
    }
    // A handler may be in the middle of a message, and others come before the end.
    if (!this.#working) this.#windUp(this.#over);
  }

  /** The Unix connection tells of what was left unread of its own alone. */
  #asSaid({ reason, errno }: End): Pick<End, "reason" | "errno"> {
    if (!reason.startsWith("peer_")) return { reason, errno };
    const isInOrder =
      this.#farewell === undefined
        ? reason === "peer_closed" && this.#isAllRead
        : this.#farewell === "end";
    return { reason: isInOrder ? "peer_closed" : "peer_reset", errno: 0 };
  }

  get #isAllRead(): boolean {
    try {
      return this.#outgoing?.isAllRead !== false;
    } catch {
      return false;
    }
  }

  /** What belongs to a message did not come in time. Who is paused does not wait for it. */
  #stalled(missing: object): void {
    if (this.#incoming?.missing !== missing) return;
    this.#stall.watch(undefined);
    if (this.#paused) this.#stall.watch(missing);
    else
      this.#corrupt(
        new Corrupt("the other side has begun a message, and not gone on (stallTimeout)", {
          reason: "stalled",
        }),
      );
  }

  /** Hands out what the other side had still written; what is to be read is kept until it was. */
  #windUp(over: End): void {
    try {
      while (this.#hears && this.#handOut() > 0);
      const waits = !this.#hears && !this.#closing && this.#incoming?.hasMore === true;
      if (!waits) this.#finish(over);
    } catch (error) {
      this.#failed(error);
    }
  }

  // ---- from the hub ----

  /** @internal */
  work(): number {
    if (this.#working) return 0;
    const count = this.#handOut();
    if (this.#over !== undefined && this.#end === undefined) this.#windUp(this.#over);
    return count;
  }

  /** @internal */
  rest(): boolean {
    const incoming = this.#incoming;
    const outgoing = this.#outgoing;
    if (incoming === undefined || outgoing === undefined) return true;
    try {
      if (!outgoing.rest()) return false;
      // What it waits for then comes over the socket, or is asked for.
      return !this.#listens || incoming.rest();
    } catch (error) {
      this.#failed(error);
      return true;
    }
  }

  /** @internal */
  rouse(): void {
    this.#incoming?.rouse();
  }

  // ---- inside ----

  /** Somebody hears who did not before. */
  protected listen(): void {
    if (this.#incoming !== undefined) hub.watch(this);
  }

  get #listens(): boolean {
    return this.#hears && !this.#paused && !this.#closing && this.#incoming !== undefined;
  }

  /** The other side is gone, and what it had still written is to be read: there is nobody to write to. */
  get #isForsaken(): boolean {
    return this.#over !== undefined && !this.#hears;
  }

  get #hears(): boolean {
    return this.#owner !== undefined || this.hears;
  }

  #tellRoom(): void {
    if (this.#owner === undefined) this.#call(() => this.tellDrain());
    else this.#owner.onRoom();
  }

  /** Hands out messages, and tells of room. Returns how often it did. */
  #handOut(): number {
    const outgoing = this.#outgoing;
    const incoming = this.#incoming;
    if (outgoing === undefined || incoming === undefined) return 0;
    let count = 0;
    this.#working = true;
    outgoing.cork();
    try {
      if (this.#over === undefined && outgoing.regained()) {
        count += 1;
        this.#tellRoom();
      }
      while (count < workMax && this.#listens) {
        const bytes = incoming.take();
        if (bytes === undefined) break;
        count += 1;
        if (this.#owner === undefined) this.#hand(bytes);
        else this.#owner.onData(bytes, incoming.isPassed, incoming.descriptors);
        this.#incoming?.unshow();
        this.#incoming?.releaseSome();
      }
      this.#stall.watch(this.#incoming?.missing);
    } catch (error) {
      this.#failed(error);
    } finally {
      this.#working = false;
      // There is neither when a handler has made an end of it. What read() has returned stays.
      this.#incoming?.release();
      this.#outgoing?.uncork();
    }
    return count;
  }

  #writing(): Outgoing {
    return this.open ? this.#outgoing! : this.#refuse();
  }

  #refuse(): never {
    throw new IpcError(
      "ECLOSED",
      `ECLOSED: the memory socket of "${this.service}" is ${this.#state()}`,
      { service: this.service },
    );
  }

  #state(): string {
    if (this.#end !== undefined) return `closed (${this.#end.reason})`;
    if (this.#isForsaken) return "left by the other side, and only to be read";
    return this.#link === undefined ? "not connected yet" : "being closed";
  }

  #tooLong(bytes: number, hint = ""): IpcError {
    const most = Math.min(this.#messageBytesMax, hint === "" ? Infinity : this.ringBytesMax);
    return new IpcError(
      "EMSGSIZE",
      `EMSGSIZE: a message of ${bytes} bytes for "${this.service}"; ${most} are allowed${hint || " (messageBytesMax)"}`,
      { service: this.service },
    );
  }

  /** Ends this connection where somebody else wrote what makes no sense, and throws what else went wrong. */
  #failed(error: unknown): void {
    if (!(error instanceof Corrupt)) throw error;
    this.#corrupt(error);
  }

  #corrupt(cause: Corrupt): void {
    if (this.#end !== undefined) return;
    const text = `EMALFORMED: the memory socket of "${this.service}" was closed: ${cause.message}`;
    void this.#link?.close({ now: true });
    // It is no fault of this program: who does not want to know hears of it with the end.
    this.#tell(new IpcError("EMALFORMED", text, { service: this.service, cause }), false);
    this.#finish({ reason: cause.reason, errno: 0, lost: nothingLost() });
  }

  /** What a call throws to whoever made it. */
  #mended(error: unknown): unknown {
    if (!(error instanceof Corrupt)) return error;
    this.#corrupt(error);
    const text = `ECLOSED: the memory socket of "${this.service}" was closed: ${error.message}`;
    return new IpcError("ECLOSED", text, { service: this.service, cause: error });
  }

  #finish(end: End): void {
    if (this.#end !== undefined) return;
    this.#end = end;
    hub.leave(this);
    this.#stall.watch(undefined);
    this.#incoming?.close();
    this.#incoming = undefined;
    this.#outgoing = undefined;
    // Every view of them has no bytes from now on.
    if (this.#rings !== undefined) closeRings(this.#rings);
    this.#rings = undefined;
    this.#seal?.close();
    this.#owner?.onEnd(end);
    this.#call(() => this.tellClose(end));
    this.#ended.resolve(end);
  }

  /** As `#call`, without a function for each message. */
  #hand(bytes: Uint8Array): void {
    try {
      const result = this.tellData(bytes);
      if (result instanceof Promise) result.catch((error: unknown) => this.#tell(error));
    } catch (error) {
      this.#tell(error);
    }
  }

  #call(handler: () => void | Promise<void>): void {
    try {
      const result = handler();
      if (result instanceof Promise) result.catch((error: unknown) => this.#tell(error));
    } catch (error) {
      this.#tell(error);
    }
  }

  #tell(error: unknown, isOurs = true): void {
    try {
      if (!this.tellError(error) && isOurs) throwLater(error);
    } catch (second) {
      throwLater(second);
    }
  }
}

/** The other side is gone, while what it had still written is handed out. */
function lose({ lost }: End, bytes: number): boolean {
  lost.messages += 1;
  lost.bytes += bytes;
  return true;
}

export function nothingLost(): Lost {
  return { messages: 0, bytes: 0, requests: 0 };
}

export function closeRings(rings: Rings): void {
  rings.out.close();
  rings.in.close();
}
