/**
 * The first answer of a service, which may be none: a sealed one tells whoever speaks to it without a seal that it is, in
 * one message as `crypto/hello.ts` has it, and ends the connection.
 *
 *     first ──anything else──▶ an answer
 *       └──to the letter what a sealed service says──▶ held ──the end──▶ a refusal
 *                                                       └──more, or neither for too long──▶ an answer
 *
 * Nothing tells the two apart for certain: a service without a seal may say any bytes, these as well, and hang up. So it is
 * taken for a refusal only where all of it fits: it is the first that comes, no other writing of the same, not what was sent
 * (as whoever echoes it would have it), and the next that happens is the end. What it said is told along with it, so that
 * nothing is lost where it was an answer after all.
 */

import type { Refusal } from "../crypto/hello.ts";
import { helloBytesMax, refusalIn } from "../crypto/hello.ts";
import { CommandError } from "./command.ts";

/** A sealed service ends it at once; so long the end may take on its way. In milliseconds. */
export const endMs = 2000;

export class FirstAnswer {
  #sent: Uint8Array | undefined;
  #isOver = false;
  #held: { readonly bytes: Uint8Array; readonly refusal: Refusal } | undefined;

  /** Something goes to the service. */
  send(bytes: Uint8Array): void {
    // No refusal is longer.
    this.#sent ??= bytes.slice(0, helloBytesMax + 1);
  }

  /** It is held until it shows what comes behind it. */
  get held(): boolean {
    return this.#held !== undefined;
  }

  /** Something came. Returns what are answers for certain, now. */
  hear(bytes: Uint8Array): Uint8Array[] {
    if (this.#isOver) return [...this.release(), bytes];
    this.#isOver = true;
    const refusal = refusalIn(bytes);
    const isEcho = this.#sent !== undefined && Buffer.compare(bytes, this.#sent) === 0;
    if (refusal === undefined || isEcho) return [bytes];
    this.#held = { bytes: bytes.slice(), refusal };
    return [];
  }

  /** The end does not come: what was held is an answer. */
  release(): Uint8Array[] {
    const held = this.#held;
    this.#held = undefined;
    return held === undefined ? [] : [held.bytes];
  }

  /** The end has come. Throws a CommandError if what was held is a refusal by that. */
  end(service: string): void {
    const held = this.#held;
    if (held === undefined) return;
    this.#held = undefined;
    const { message, code } = held.refusal;
    throw new CommandError(
      `"${service}" is sealed: say who you are with --keys FILE, and whom you mean with --peer KEY; it said: ` +
        `${message} (${code})`,
    );
  }
}
