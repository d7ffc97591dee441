/**
 * Whom a sealed service lets in: each who comes has to say a hello with a key that is allowed, and to prove it, before
 * the service hears of him.
 *
 *     waiting ──hello──▶ welcomed ──proof──▶ accepted: the channel is a sealed one
 *        └──anything else, nothing for too long, or too many who come after──▶ turned away, counted and told of
 */

import type { Carrier, ChannelEnd, ChannelOwner } from "../ipc/channel.ts";
import type { FullLimits, Limits } from "../ipc/limits.ts";
import { fullLimits } from "../ipc/limits.ts";
import type { Message } from "../ipc/message.ts";
import { patience } from "../ipc/numbers.ts";
import type { Guard, ServiceSeal } from "../ipc/seal.ts";
import type { ServeOptions } from "../ipc/service.ts";
import type { Statistics } from "../ipc/statistics.ts";
import { noStatistics, sumOf } from "../ipc/statistics.ts";
import type { Offerer } from "../ipc/transport.ts";
import { IpcError } from "../native/errors.ts";
import type { Reason } from "../native/layout.ts";
import { recordBytesMax, strangerLimits } from "./carrier-limits.ts";
import type { Refusal } from "./hello.ts";
import {
  about,
  formatRefusal,
  formatWelcome,
  helloBytesMax,
  parseHello,
  strangerBytesMax,
} from "./hello.ts";
import type { KeyPair } from "./key-pair.ts";
import { keysOf } from "./key-pair.ts";
import { type Agreed, answer, checkProof } from "./meeting.ts";
import { Preface } from "./preface.ts";
import { parsePublicKey } from "./public-key.ts";
import { SealedChannel } from "./sealed-channel.ts";
import { crowded, full, pushedOut, Strangers } from "./strangers.ts";

/** Far longer than a hello and a proof take, over whatever network; so long a stranger may hold a connection. */
const timeoutMs = 5000;

export class KeyedGuard implements Guard {
  readonly limits: Limits;
  readonly timeout: number | undefined;
  readonly #name: string;
  readonly #full: FullLimits;
  readonly #keys: KeyPair;
  readonly #allowed: ReadonlySet<string>;
  readonly #newcomers = new Set<Newcomer>();
  /** Those of them who are not turned away. */
  readonly #strangers = new Strangers<Newcomer>();
  readonly #channels = new Set<SealedChannel>();
  /** Of those that are over. */
  #past = noStatistics();
  #accepted = 0;
  /** By how much more often a reason was told of than it shows in the figures beneath. */
  readonly #reasons: Partial<Record<Reason, number>> = {};

  constructor(name: string, options: ServeOptions, seal: ServiceSeal) {
    const { keys, allow, timeout } = Object(seal) as Partial<ServiceSeal>;
    if (keys === undefined || !Array.isArray(allow) || allow.length === 0) {
      throw new IpcError(
        "EINVAL",
        "EINVAL: seal takes both: keys, which are this end's, and allow, a list of the public keys of those who may connect",
        { service: name },
      );
    }
    for (const key of allow) parsePublicKey(String(key));
    this.#name = name;
    this.#keys = keysOf(keys);
    this.#allowed = new Set(allow);
    this.timeout = patience("seal.timeout", timeout ?? timeoutMs);
    this.#full = fullLimits(options);
    this.limits = strangerLimits(this.#full);
  }

  admit(channel: Carrier, to: Offerer): void {
    const newcomer = new Newcomer(this, channel, to);
    this.#newcomers.add(newcomer);
    this.#strangers.come(newcomer)?.giveWay();
  }

  /** @internal How long his messages may be who has a key that is allowed, be it that somebody says again what he said. */
  get recordBytesMax(): number {
    return recordBytesMax(this.#full);
  }

  /** @internal */
  answer(hello: Message): { message: string; agreed: Agreed } {
    return answer(this.#keys, this.#allowed, parseHello(hello.bytes), about(this.#name));
  }

  /** @internal */
  get canGreet(): boolean {
    return this.#strangers.canGreet;
  }

  /** @internal What is left to him is to prove who he is. */
  greet(newcomer: Newcomer): void {
    this.#strangers.greet(newcomer)?.giveWay();
  }

  /** @internal He has proved who he is. */
  accept(newcomer: Newcomer, to: Offerer): void {
    this.#newcomers.delete(newcomer);
    this.#strangers.delete(newcomer);
    const { channel, agreed, preface } = newcomer;
    const sealed = new SealedChannel(this.#name, channel, agreed!, this.#full, preface);
    this.#channels.add(sealed);
    this.#accepted += 1;
    sealed.onOver = (beneath, told) => {
      this.#channels.delete(sealed);
      this.#past = sumOf([this.#past, sealed.figures()]);
      this.#move(beneath, told);
    };
    to.accept(sealed);
  }

  /** @internal */
  turnAway(reason: Reason, why: string, newcomer: Newcomer, to: Offerer): void {
    this.#strangers.delete(newcomer);
    this.#add(reason, 1);
    this.tell(reason, why, newcomer, to);
  }

  /** @internal */
  tell(reason: Reason, why: string, { channel }: Newcomer, to: Offerer): void {
    const { uid, pid } = channel.peer;
    const error = new IpcError(
      "ESEAL",
      `ESEAL: a client of "${this.#name}" was turned away: ${why}`,
      { service: this.#name },
    );
    to.trouble({ reason, errno: 0, uid, pid, error });
  }

  /** @internal One with whom nothing was agreed on is over. */
  gone(newcomer: Newcomer, beneath: Reason): void {
    this.#newcomers.delete(newcomer);
    this.#strangers.delete(newcomer);
    if (newcomer.isTurnedAway) this.#add(beneath, -1);
  }

  #move(from: Reason, to: Reason): void {
    if (from === to) return;
    this.#add(from, -1);
    this.#add(to, 1);
  }

  #add(reason: Reason, count: number): void {
    this.#reasons[reason] = (this.#reasons[reason] ?? 0) + count;
  }

  statistics(beneath: Statistics): Statistics {
    const open = Array.from(this.#channels, (channel) => channel.figures());
    const sum = sumOf([this.#past, ...open]);
    const { reasons } = sumOf([
      { ...noStatistics(), reasons: beneath.reasons },
      { ...noStatistics(), reasons: this.#reasons },
    ]);
    const told = Object.entries(reasons).filter(([, count]) => count > 0);
    return {
      ...sum,
      connectionsAccepted: this.#accepted,
      connectionsMade: beneath.connectionsMade,
      connectionsOpen: this.#channels.size,
      descriptors: beneath.descriptors,
      reasons: Object.fromEntries(told),
    };
  }

  stop(): void {
    for (const newcomer of this.#newcomers) newcomer.close();
  }
}

/** Somebody who has come, and of whom nothing is known yet. */
class Newcomer implements ChannelOwner {
  readonly channel: Carrier;
  readonly preface = new Preface();
  /** What is agreed on, if he proves that he has the key. */
  agreed: Agreed | undefined;
  isTurnedAway = false;
  readonly #guard: KeyedGuard;
  readonly #to: Offerer;
  readonly #late: ReturnType<typeof setTimeout> | undefined;

  constructor(guard: KeyedGuard, channel: Carrier, to: Offerer) {
    this.#guard = guard;
    this.channel = channel;
    this.#to = to;
    const { timeout } = guard;
    if (timeout !== undefined) this.#late = setTimeout(() => this.#isLate(timeout), timeout);
    channel.open(this);
  }

  onMessage(message: Message): void {
    if (this.isTurnedAway) return;
    this.preface.heard(message.length);
    if (this.agreed === undefined) this.#hello(message);
    else this.#proof(this.agreed, message);
  }

  #hello(message: Message): void {
    if (message.length > helloBytesMax) {
      const why = `a hello has at most ${helloBytesMax} bytes, and this had ${message.length}`;
      this.#turnAway("message_too_long", { code: "EPROTO", message: `${why}; ${advice}` });
      return;
    }
    if (!this.#guard.canGreet) {
      this.#turnAway("connections_limit", { code: "EBUSY", message: `${crowded}; try again` });
      return;
    }
    try {
      const { message: welcome, agreed } = this.#guard.answer(message);
      this.agreed = agreed;
      if (this.#to.isFull()) {
        this.#turnAway("connections_limit", { code: "EMFILE", message: full });
        return;
      }
      // Before he can have anything to say.
      this.channel.limitMessages(this.#guard.recordBytesMax);
      this.#say(formatWelcome(welcome));
      this.#guard.greet(this);
    } catch (error) {
      const isKeys = error instanceof IpcError;
      const why = error instanceof Error ? error.message.replace(/^E[A-Z]+: /, "") : String(error);
      const text = isKeys ? why : `${why}; ${advice}`;
      const refusal: Refusal = { code: isKeys ? "EKEY" : "EPROTO", message: text };
      this.#turnAway(isKeys ? "not_allowed" : "malformed", refusal);
    }
  }

  #proof({ seal }: Agreed, { bytes }: Message): void {
    clearTimeout(this.#late);
    try {
      checkProof(seal, bytes);
    } catch {
      // He takes whatever comes now for a record.
      const why =
        "it could not prove that it has the key it named; somebody may have played an old hello again";
      this.#turnAway("not_allowed", undefined, why);
      return;
    }
    // A welcome holds no place: whoever says an old hello again would have one.
    if (this.#to.isFull()) this.#turnAway("connections_limit", undefined, full);
    else this.#guard.accept(this, this.#to);
  }

  /** He has waited longest, and there are too many. */
  giveWay(): void {
    // Who is welcome takes whatever comes now for a record.
    const refusal: Refusal = { code: "EBUSY", message: `${pushedOut}; try again` };
    const isWelcome = this.agreed !== undefined;
    this.#turnAway("connections_limit", isWelcome ? undefined : refusal, pushedOut);
  }

  #isLate(ms: number): void {
    const why = `no ${this.agreed === undefined ? "hello" : "proof"} came within ${ms} ms`;
    const refusal: Refusal = { code: "EPROTO", message: `${why}; ${advice}` };
    this.#turnAway("stalled", this.agreed === undefined ? refusal : undefined, why);
  }

  #turnAway(reason: Reason, refusal: Refusal | undefined, why = refusal?.message ?? ""): void {
    clearTimeout(this.#late);
    this.isTurnedAway = true;
    if (refusal !== undefined) this.#say(formatRefusal(refusal));
    this.#guard.turnAway(reason, why, this, this.#to);
    this.channel.close(refusal === undefined);
  }

  #say(text: string): void {
    this.preface.say(this.channel, new TextEncoder().encode(text));
  }

  close(): void {
    clearTimeout(this.#late);
    this.channel.close(true);
  }

  onEnd({ reason }: ChannelEnd): void {
    clearTimeout(this.#late);
    this.agreed?.seal.close();
    if (reason === "message_too_long" && !this.isTurnedAway) {
      const why = `it announced more than ${strangerBytesMax} bytes before anything was agreed on; ${advice}`;
      this.#guard.tell(reason, why, this, this.#to);
    }
    this.#guard.gone(this, reason);
  }

  onSent(): void {
    // What became of it shows in what comes.
  }

  onDrain(): void {
    // There is nothing more to send.
  }
}

const advice = "this service is sealed: connect with seal: { keys, peer }";
