/** One end of a conversation, as the programs on Bun's event loop see it. */

import { codes, errorOf, IpcError, isClosed } from "../native/errors.ts";
import { constants } from "../native/layout.ts";
import type { Channel, ChannelEnd } from "./channel.ts";
import type { Peer, Sent } from "./context.ts";
import type { SendOptions } from "./context-options.ts";
import { add, type Count, noCount } from "./count.ts";
import type { Descriptor } from "./descriptor.ts";
import { numbersOf } from "./descriptor.ts";
import type { ClientHandlers, End, Lost } from "./handlers.ts";
import type { InternetAddress } from "./internet-address.ts";
import type { FullLimits } from "./limits.ts";
import { throwLater } from "./loop.ts";
import type { Payload } from "./message.ts";
import { bytesOf, type Message, sizeBound } from "./message.ts";
import { patience } from "./numbers.ts";
import { Requests } from "./requests.ts";
import type { Statistics } from "./statistics.ts";
import { noStatistics } from "./statistics.ts";
import { Unread } from "./unread.ts";

const headerBytes = constants.header_bytes;
const endedCode = codes.ended.number;
const nothingLost: Lost = { messages: 0, bytes: 0, requests: 0 };

export type RequestOptions = SendOptions & {
  signal?: AbortSignal | undefined;
  /** In milliseconds. Without one, a request waits until the connection ends. */
  timeout?: number | undefined;
};

/** A message that waits for the service to be found again; whether a request waits for its answer. */
type Held = { bytes: Uint8Array; asks: boolean };

/**
 * @example
 * const pong = await connect("pong");
 * pong.send("one way");
 * const answer = await pong.request("hello", { timeout: 1000 });
 * for await (const message of pong) console.log(message.text());
 * await pong.close();
 */
export class Connection implements AsyncDisposable {
  /** The name of the service at one of the two ends. */
  readonly service: string;
  readonly #handlers: ClientHandlers;
  readonly #limits: FullLimits;
  readonly #requests = new Requests();
  readonly #unread: Unread;
  /** By `pause`. What nobody reads makes the peer wait as well, of itself. */
  #paused = false;
  readonly #ended = Promise.withResolvers<End>();
  #end: End | undefined;
  /** What its messages go through; none while it is looked for. */
  #channel: Channel | undefined;
  #closing = false;
  /** At once: what arrived meanwhile is nobody's. */
  #closedNow = false;
  /** Sending failed, and the Disconnection that says why is on its way. */
  #broken = false;
  /** Messages handed over when what they were to go through had ended already. */
  #tooLate = noCount();
  /** Bytes that wait in the channel, as last heard, and that it was given since. */
  #queued = 0;
  #scheduled = 0;
  /** In the order in which they were sent. */
  #held: Held[] = [];
  #heldBytes = 0;
  #peer: Peer = { uid: 0, gid: 0, pid: 0 };
  /** What the channel was given to send, as much of it as is known to be with the kernel, and what was handed over. */
  #taken = noCount();
  #sent = noCount();
  #received = noCount();
  /** The last, while there is no channel. */
  #statistics: Statistics | undefined;
  /** @internal Set by whoever made it: how to find the service again, if it is to be found. */
  onLost: ((end: End) => boolean) | undefined;
  /** @internal Told when it has ended. */
  onEnded: (() => void) | undefined;
  /**
   * @internal What is sent goes when Bun's loop comes round, and not with the task: for who hands on what others send,
   * each piece of which is a task of its own.
   */
  gathers = false;

  /** @internal */
  constructor(service: string, handlers: ClientHandlers, limits: FullLimits) {
    this.service = service;
    this.#handlers = handlers;
    this.#limits = limits;
    this.#unread = new Unread(limits.queueBytesHigh, () => this.#readOrNot());
  }

  /** Whether messages can be sent: false once it was closed, or has ended. */
  get open(): boolean {
    const lost = this.#broken && this.onLost === undefined;
    return this.#end === undefined && !this.#closing && !lost;
  }

  /** Resolves when the connection has ended, with why and what was lost; never rejects. */
  get ended(): Promise<End> {
    return this.#ended.promise;
  }

  /** Bytes that were taken to be sent and are not with the kernel. */
  get queuedBytes(): number {
    // What was heard last may have been sent since, without a word.
    if (this.#queued > 0) this.#queued = this.#queuedNow();
    return this.#lastQueued;
  }

  get #lastQueued(): number {
    return this.#queued + this.#scheduled + this.#heldBytes;
  }

  #queuedNow(): number {
    try {
      return this.#channel?.statistics().queuedBytes ?? this.#queued;
    } catch (error) {
      // Its end is on its way, and counts what is lost.
      if (isClosed(error)) return this.#queued;
      throw error;
    }
  }

  /** Who is at the other end, as the kernel saw it when the connection was made; and whose key it has, where it is sealed. */
  get peer(): Peer {
    return this.#peer;
  }

  /** Where the other end is, if that is over TCP. Throws ENOTSUP otherwise, and ECLOSED when it has ended. */
  get remote(): InternetAddress {
    return this.#open().address;
  }

  /** Where this end is, if that is over TCP. Throws as `remote` does. */
  get local(): InternetAddress {
    return this.#open().ownAddress;
  }

  /**
   * A copy of its socket, to be given to another process, which goes on with `connect(name, { descriptor })`; this one
   * closes its own then. Throws EBUSY if it is in the middle of a message, or something waits to be sent.
   */
  copies(): Descriptor[] {
    return this.#open().copies();
  }

  /** @internal Whether it can go on in another process, now or when it is at rest. */
  get movable(): boolean {
    return this.#channel?.movable === true;
  }

  /**
   * @internal Ends it here at once and returns its socket, with which it goes on elsewhere and nothing is lost.
   * Undefined while it is not at rest: something of it was not handed out yet, is unanswered, or is half on its way.
   */
  detach(): Descriptor | undefined {
    const waits = this.#requests.waiting || this.#unread.waiting;
    if (!this.open || waits || !this.movable || this.#channel?.usedUp !== true) return undefined;
    try {
      const [copy] = this.copies();
      this.#shut(true);
      return copy;
    } catch (error) {
      if (error instanceof IpcError) return undefined;
      throw error;
    }
  }

  /** The figures of this connection; once it has ended, the last. With `reconnect`, they begin anew each time. */
  statistics(): Statistics {
    if (this.#statistics !== undefined) return { ...this.#statistics };
    try {
      return this.#channel?.statistics() ?? this.#figures(this.#sent, nothingLost);
    } catch (error) {
      if (!isClosed(error)) throw error;
      // Its end is on its way, and will say what was lost.
      return this.#figures(this.#sent, nothingLost);
    }
  }

  /** The figures of a connection whose channel has ended. */
  #figures(sent: Count, lost: Lost): Statistics {
    return {
      ...noStatistics(),
      messagesReceived: this.#received.messages,
      messagesSent: sent.messages,
      bytesReceived: this.#received.bytes,
      bytesSent: sent.bytes,
      messagesLost: lost.messages,
    };
  }

  /**
   * Sends one message. Returns false when more is queued than the high-water mark allows: the message is taken, and
   * the `drain` handler follows. Throws ECLOSED, EMSGSIZE, or ENOBUFS where the queue policy is to refuse.
   *
   * `descriptors` go along with it and stay the sender's, to close when this has returned; the other side must have
   * asked for them with its own option of that name. They do not wait for a service to be found again: ECLOSED then.
   */
  send(payload: Payload, options?: SendOptions): boolean {
    if (options?.descriptors === undefined) return this.#take(payload, false);
    return this.#takeWith(payload, options.descriptors);
  }

  #takeWith(payload: Payload, descriptors: readonly (number | Descriptor)[]): boolean {
    this.#checkOpen();
    const channel = this.#channel;
    if (channel === undefined || this.#broken) {
      numbersOf(descriptors);
      throw new IpcError(
        "ECLOSED",
        `ECLOSED: "${this.service}" is gone and is looked for; descriptors do not wait until it is there again`,
        { service: this.service },
      );
    }
    this.#checkSize(payload);
    const queued = channel.write(payload, { descriptors });
    const bytes = bytesOf(payload).length + headerBytes;
    this.onSent({ result: queued, messages: 1, bytes });
    return queued <= this.#limits.queueBytesHigh;
  }

  #take(payload: Payload, asks: boolean): boolean {
    this.#checkOpen();
    const channel = this.#channel;
    if (channel === undefined || this.#broken) return this.#hold(payload, asks);
    const bound = headerBytes + sizeBound(payload);
    if (bound > this.#limits.messageBytesMax) this.#checkSize(payload);
    if (this.#lastQueued + bound > this.#limits.queueBytesHigh) {
      // Only what the kernel really does not take counts.
      channel.flush();
      if (this.#broken) return this.#take(payload, asks);
      if (this.#limits.queuePolicy === "refuse") this.#checkRoom(bytesOf(payload).length);
    }
    this.#scheduled += bound;
    try {
      channel.schedule(payload, this.gathers);
    } catch (error) {
      this.#scheduled = Math.max(0, this.#scheduled - bound);
      throw error;
    }
    return !this.#broken && this.#queued <= this.#limits.queueBytesHigh;
  }

  /** Resolves when `send` may be called again: at once if it may now. Rejects if the connection ends first. */
  async drained(): Promise<void> {
    this.#checkOpen();
    this.#channel?.flush();
    while (this.queuedBytes > this.#limits.queueBytesHigh) {
      this.#checkOpen();
      this.#draining ??= Promise.withResolvers<void>();
      await this.#draining.promise;
    }
  }
  #draining: PromiseWithResolvers<void> | undefined;

  /**
   * Sends a message and resolves with the next one that answers it: for peers that answer each in order, as `pong`
   * does. What arrives while requests wait is taken for their answers and not handed to `message`. Rejects with
   * ETIMEDOUT or the signal's reason (the late answer is then dropped), or ECONNRESET if the connection ends.
   */
  request(payload: Payload, options: RequestOptions = {}): Promise<Message> {
    try {
      options.signal?.throwIfAborted();
      patience("timeout", options.timeout);
      if (options.descriptors === undefined) this.#take(payload, true);
      else this.#takeWith(payload, options.descriptors);
    } catch (error) {
      return Promise.reject(error);
    }
    // The answer may lie behind what makes the peer wait.
    this.#unread.resume();
    return this.#requests.add(this.service, options);
  }

  /**
   * Reads nothing more, so that the peer comes to wait, until `resume`: for whoever hands messages on to somebody who
   * is slower. Those of the batch that is being handed out still come, 256 KiB of them at most, or the one message that
   * is larger. Answers to requests are not read either. A peer that is gone makes an end of it: what it had still sent
   * comes, and then the end. Lasts over a reconnection, and does nothing once the connection has ended.
   *
   * @example
   * message(from, { bytes }) { if (!to.send(bytes)) from.pause(); }   // and in the drain handler of `to`:
   * drain() { from.resume(); }
   */
  pause(): void {
    if (this.#paused) return;
    this.#paused = true;
    this.#readOrNot();
  }

  /** Goes on reading after `pause`. */
  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#readOrNot();
  }

  /** Whether `pause` was called, and `resume` was not since. */
  get paused(): boolean {
    return this.#paused;
  }

  /**
   * The messages that arrive, each with bytes of its own, for a connection without a `message` handler. What nobody
   * reads makes the peer wait. Ends when the connection does; throws if it ended otherwise than in order.
   */
  async *[Symbol.asyncIterator](): AsyncGenerator<Message, void, undefined> {
    while (true) {
      const message = this.#unread.take();
      if (message !== undefined) yield message;
      else if (this.#end !== undefined) break;
      else await this.#unread.arrived();
    }
    const { reason } = this.#end;
    if (reason !== "closed" && reason !== "peer_closed") throw this.#resetError();
  }

  /**
   * Closes it. What was taken is still sent, unless `now` is set; what arrives from then on is read no more, so first
   * wait for the answers that are wanted. Resolves when it has ended.
   */
  async close(options: { now?: boolean } = {}): Promise<void> {
    this.#shut(options.now === true);
    await this.#ended.promise;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #shut(now: boolean): void {
    if (this.#end !== undefined || (this.#closing && !now)) return;
    this.#closing = true;
    this.#closedNow = now;
    const channel = this.#channel;
    if (channel === undefined) {
      this.finish({ reason: "closed", errno: 0, lost: nothingLost });
      return;
    }
    channel.flush();
    channel.close(now);
  }

  /** @internal Messages that came and wait to be iterated. */
  get unread(): number {
    return this.#unread.length;
  }

  /** @internal What it is natively. Throws ENOTSUP if it is nothing there, and ECLOSED while it is looked for. */
  get handle(): number {
    return this.#open().handle;
  }

  #open(): Channel {
    this.#checkOpen();
    if (this.#channel !== undefined) return this.#channel;
    throw this.#closedError();
  }

  /** @internal Its socket is somebody else's now. */
  surrendered(): void {
    this.#channel?.leave();
    this.#channel = undefined;
    this.#closing = true;
    this.#statistics ??= this.#figures(this.#sent, nothingLost);
    const requests = this.#requests.fail(this.#resetError("closed"));
    this.#end = { reason: "closed", errno: 0, lost: { ...nothingLost, requests } };
    this.#draining?.reject(this.#resetError());
    this.#draining = undefined;
    this.#unread.end();
    this.onEnded?.();
    this.#ended.resolve(this.#end);
  }

  // ---- from the channel ----

  /** @internal Its messages go through `channel` from now on. */
  attach(channel: Channel): void {
    this.#channel = channel;
    this.#peer = channel.peer;
    this.#queued = 0;
    this.#broken = false;
    this.#taken = noCount();
    this.#sent = noCount();
    this.#received = noCount();
    this.#statistics = undefined;
    channel.open(this);
    if (this.#paused || this.#unread.paused) this.#readOrNot();
    const held = this.#held;
    this.#held = [];
    this.#heldBytes = 0;
    for (const { bytes, asks } of held) this.#take(bytes, asks);
    const waited = held.length > 0 || this.#draining !== undefined;
    if (waited && this.#queued <= this.#limits.queueBytesHigh) this.#relieve();
  }

  /** @internal */
  opened(): void {
    this.#call(() => this.#handlers.open?.(this));
  }

  /** @internal The service was found again. */
  reconnected(lost: Lost): void {
    this.#call(() => this.#handlers.reconnected?.(this, lost));
  }

  /** @internal */
  onSent({ result, messages, bytes }: Sent): void {
    this.#scheduled = 0;
    this.#queued = Math.max(0, result);
    if (result < 0) {
      this.#broken = true;
      // The channel counts what it could not take, unless it had its end made out before these came.
      if (this.#channel?.over === true) {
        add(this.#tooLate, messages, bytes);
        return;
      }
      if (result !== endedCode) return;
    }
    const taken = this.#taken;
    add(taken, messages, bytes);
    if (result !== 0) return;
    this.#sent.messages = taken.messages;
    this.#sent.bytes = taken.bytes;
  }

  /** @internal */
  onMessage(message: Message): void {
    add(this.#received, 1, headerBytes + message.length);
    if (this.#closedNow) return;
    if (this.#requests.answer(message)) return;
    const { message: handler } = this.#handlers;
    if (handler === undefined) this.#call(() => this.#unread.put(message.copy()));
    else this.#call(() => handler(this, message));
  }

  /** @internal */
  onDrain(queuedBytes: number): void {
    this.#queued = queuedBytes;
    this.#relieve();
  }

  #relieve(): void {
    this.#draining?.resolve();
    this.#draining = undefined;
    this.#call(() => this.#handlers.drain?.(this));
  }

  /** @internal */
  onEnd({ reason, errno, error, lost: unsent }: ChannelEnd): void {
    this.#channel = undefined;
    this.#broken = false;
    this.#scheduled = 0;
    this.#queued = 0;
    // Those whose messages are held are answered by the next connection.
    const kept = this.#held.filter(({ asks }) => asks).length;
    const lost: Lost = {
      messages: unsent.messages + this.#tooLate.messages,
      bytes: unsent.bytes + this.#tooLate.bytes,
      requests: this.#requests.fail(this.#resetError(reason, error), kept),
    };
    this.#tooLate = noCount();
    const sent = {
      messages: this.#taken.messages - unsent.messages,
      bytes: this.#taken.bytes - unsent.bytes,
    };
    this.#statistics = { ...this.#figures(sent, lost), reasons: { [reason]: 1 } };
    const end: End = error === undefined ? { reason, errno, lost } : { reason, errno, error, lost };
    if (!this.#closing && this.onLost?.(end) === true) {
      this.#call(() => this.#handlers.disconnected?.(this, end));
    } else {
      this.finish(end);
    }
  }

  /** @internal It has ended, and is not looked for any more. */
  finish({ lost, ...how }: End): void {
    if (this.#end !== undefined) return;
    const messages = this.#held.length;
    const requests = this.#requests.fail(this.#resetError(how.reason, how.error));
    const end: End = {
      ...how,
      lost: {
        messages: lost.messages + messages,
        bytes: lost.bytes + this.#heldBytes,
        requests: lost.requests + requests,
      },
    };
    this.#end = end;
    if (this.#statistics !== undefined) this.#statistics.messagesLost += messages;
    this.#held = [];
    this.#heldBytes = 0;
    this.#draining?.reject(this.#resetError());
    this.#draining = undefined;
    this.#unread.end();
    this.onEnded?.();
    this.#call(() => this.#handlers.close?.(this, end));
    this.#ended.resolve(end);
  }

  // ---- inside ----

  /** Without a service: keeps the message until there is one again. */
  #hold(payload: Payload, asks: boolean): boolean {
    // A copy, which the `slice` of a Buffer would not be.
    const bytes = new Uint8Array(bytesOf(payload));
    this.#checkSize(bytes);
    this.#checkRoom(bytes.length);
    this.#held.push({ bytes, asks });
    this.#heldBytes += bytes.length + headerBytes;
    return this.#heldBytes <= this.#limits.queueBytesHigh;
  }

  /** There is one pause of the channel, and two who may want it: whoever called `pause`, and the messages that nobody reads. */
  #readOrNot(): void {
    this.#channel?.pause(this.#paused || this.#unread.paused);
  }

  #call(handler: () => void | Promise<void>): void {
    try {
      const result = handler();
      if (result instanceof Promise) result.catch((error: unknown) => this.#failed(error));
    } catch (error) {
      this.#failed(error);
    }
  }

  #failed(error: unknown): void {
    const { error: handler } = this.#handlers;
    if (handler === undefined) {
      throwLater(error);
      return;
    }
    try {
      const result = handler(this, error);
      if (result instanceof Promise) result.catch(throwLater);
    } catch (second) {
      throwLater(second);
    }
  }

  #checkOpen(): void {
    if (!this.open) throw this.#closedError();
  }

  #checkSize(payload: Payload): void {
    const { length } = bytesOf(payload);
    if (length <= this.#limits.messageBytesMax || this.#limits.raw) return;
    throw new IpcError(
      "EMSGSIZE",
      `EMSGSIZE: a message of ${length} bytes for "${this.service}"; ${this.#limits.messageBytesMax} are allowed ` +
        "(messageBytesMax)",
      { service: this.service },
    );
  }

  #checkRoom(payloadBytes: number): void {
    if (this.queuedBytes + payloadBytes + headerBytes <= this.#limits.queueBytesMax) return;
    throw errorOf(codes.queue_full.number, { errno: 0, syscall: 0, detail: 0 }, this);
  }

  #closedError(): IpcError {
    const why =
      this.#end === undefined
        ? this.#closing
          ? "being closed"
          : "broken: its peer is gone"
        : `closed (${this.#end.reason})`;
    return new IpcError("ECLOSED", `ECLOSED: the connection to "${this.service}" is ${why}`, {
      service: this.service,
    });
  }

  #resetError(
    reason: string = this.#end?.reason ?? "closed",
    cause: IpcError | undefined = this.#end?.error,
  ): IpcError {
    const why = cause === undefined ? "" : `: ${cause.message}`;
    return new IpcError(
      "ECONNRESET",
      `ECONNRESET: the connection to "${this.service}" ended (${reason})${why}`,
      { service: this.service, cause },
    );
  }
}
