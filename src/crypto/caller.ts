/**
 * A client that asks for a sealed connection, over whatever channel leads to the service:
 *
 *     asking ──welcome──▶ proving, and done: the channel is a sealed one
 *        └──anything else, the end of the channel, the signal, or nothing for too long──▶ failed
 */

import type { Carrier, Channel, ChannelEnd, ChannelOwner } from "../ipc/channel.ts";
import type { ConnectOptions } from "../ipc/connect.ts";
import type { Deadline } from "../ipc/deadline.ts";
import type { FullLimits, Limits } from "../ipc/limits.ts";
import { fullLimits } from "../ipc/limits.ts";
import type { Message } from "../ipc/message.ts";
import { textOf } from "../ipc/numbers.ts";
import type { Caller, ClientSeal } from "../ipc/seal.ts";
import type { IpcErrorCode } from "../native/errors.ts";
import { IpcError } from "../native/errors.ts";
import { recordBytesMax, strangerLimits } from "./carrier-limits.ts";
import { about, formatHello, helloBytesMax, parseAnswer } from "./hello.ts";
import type { KeyPair } from "./key-pair.ts";
import { keysOf } from "./key-pair.ts";
import { type Agreed, Asking } from "./meeting.ts";
import { Preface } from "./preface.ts";
import { parsePublicKey } from "./public-key.ts";
import { SealedChannel } from "./sealed-channel.ts";

/** Where nobody has said how long all of it may take: far longer than a hello and its answer do, over whatever network. */
const timeoutMs = 5000;

export class KeyedCaller implements Caller {
  readonly limits: Limits;
  readonly #name: string;
  readonly #limits: FullLimits;
  readonly #keys: KeyPair;
  readonly #peer: string;
  readonly #about: string;
  /** There is no time that all of it may take. */
  readonly #isUsual: boolean;
  readonly #signal: AbortSignal | undefined;

  constructor(name: string, options: ConnectOptions, seal: ClientSeal) {
    const { keys, peer, service } = Object(seal) as Partial<ClientSeal>;
    if (keys === undefined || peer === undefined) {
      throw new IpcError(
        "EINVAL",
        "EINVAL: seal takes both: keys, which are this end's, and peer, the service's public key",
        { service: name },
      );
    }
    parsePublicKey(textOf("seal.peer", peer));
    this.#name = name;
    this.#keys = keysOf(keys);
    this.#peer = peer;
    this.#about = about(service === undefined ? name : textOf("seal.service", service));
    this.#isUsual = options.timeout === undefined;
    this.#signal = options.signal;
    this.#limits = fullLimits(options);
    this.limits = strangerLimits(this.#limits);
  }

  async meet(channel: Carrier, deadline: Deadline): Promise<Channel> {
    const asking = new Asking(this.#keys, this.#peer, this.#about);
    const make: Make = (agreed, preface) => {
      channel.limitMessages(recordBytesMax(this.#limits));
      return new SealedChannel(this.#name, channel, agreed, this.#limits, preface);
    };
    const asker = new Asker(this.#name, channel, asking, make);
    return await asker.meet(this.#isUsual ? deadline.within(timeoutMs) : deadline, this.#signal);
  }
}

/** The sealed channel, which owns the one beneath from then on. */
type Make = (agreed: Agreed, preface: Preface) => SealedChannel;

/** Owns the channel until it is agreed on. */
class Asker implements ChannelOwner {
  readonly #name: string;
  readonly #channel: Channel;
  readonly #asking: Asking;
  readonly #make: Make;
  readonly #agreed = Promise.withResolvers<SealedChannel>();
  readonly #preface = new Preface();
  #over = false;

  constructor(name: string, channel: Channel, asking: Asking, make: Make) {
    this.#name = name;
    this.#channel = channel;
    this.#asking = asking;
    this.#make = make;
  }

  async meet(deadline: Deadline, signal?: AbortSignal): Promise<SealedChannel> {
    const abort = () => this.#fail(signal?.reason);
    const late = deadline.expire((timeout) => this.#fail(this.#late(timeout)));
    signal?.addEventListener("abort", abort);
    try {
      this.#channel.open(this);
      if (signal?.aborted === true) abort();
      else
        this.#preface.say(this.#channel, new TextEncoder().encode(formatHello(this.#asking.asked)));
      return await this.#agreed.promise;
    } finally {
      clearTimeout(late);
      signal?.removeEventListener("abort", abort);
      this.#asking[Symbol.dispose]();
    }
  }

  #fail(error: unknown): void {
    if (this.#over) return;
    this.#over = true;
    this.#agreed.reject(error);
    this.#channel.close(true);
  }

  onMessage(message: Message): void {
    // After the welcome nothing comes before the proof has gone, and then it comes to the sealed channel.
    if (this.#over) return;
    try {
      const { agreed, proof } = this.#asking.finish(this.#welcomed(message));
      this.#over = true;
      this.#preface.heard(message.length);
      this.#channel.pause(true);
      this.#preface.say(this.#channel, proof);
      this.#agreed.resolve(this.#make(agreed, this.#preface));
    } catch (error) {
      this.#fail(this.#told(error));
    }
  }

  #welcomed({ bytes, length }: Message): string {
    if (length > helloBytesMax) throw this.#unsealed(`it answered with ${length} bytes`);
    let said: ReturnType<typeof parseAnswer>;
    try {
      said = parseAnswer(bytes);
    } catch (error) {
      throw this.#unsealed((error as Error).message);
    }
    if (!("error" in said)) return said.message;
    const { code, message } = said.error;
    const isBusy = code === "EBUSY";
    throw this.#error(isBusy ? code : "ECONNREFUSED", `it refused: ${message} (${code})`);
  }

  /** What a handshake says of itself, with whose it was. */
  #told(error: unknown): unknown {
    if (!(error instanceof IpcError) || error.service !== undefined) return error;
    return this.#error(error.code, error.message.replace(/^E[A-Z]+: /, ""));
  }

  onEnd({ reason }: ChannelEnd): void {
    const advice = "it may be full, or not be sealed: see what it says of itself";
    this.#fail(this.#error("ECONNRESET", `it ended the connection (${reason}); ${advice}`));
  }

  onSent(): void {
    // What became of it shows in the answer.
  }

  onDrain(): void {
    // There is nothing more to send.
  }

  #unsealed(why: string): IpcError {
    const advice =
      "serve it with seal: { keys, allow }, or connect without a seal if it is not to be sealed";
    return this.#error("ESEAL", `what it answered is of no sealed service: ${why}; ${advice}`);
  }

  #late(ms: number): IpcError {
    const advice =
      "is it served with seal: { keys, allow }, and does what leads there carry messages both ways?";
    return this.#error("ETIMEDOUT", `it said nothing within ${ms} ms; ${advice}`);
  }

  #error(code: IpcErrorCode, why: string): IpcError {
    return new IpcError(code, `${code}: no sealed connection to "${this.#name}": ${why}`, {
      service: this.#name,
    });
  }
}
