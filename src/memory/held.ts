/**
 * Descriptors that came over memory sockets and wait for the messages they belong to, by the users who sent them: one
 * process can have many connections, and all of them together must not use up what there is.
 */

export class Held {
  readonly #counts = new Map<number, number>();

  /** False, and they do not count, if that would be more than `most` for this user. */
  hold(uid: number, count: number, most: number): boolean {
    const held = (this.#counts.get(uid) ?? 0) + count;
    if (held > most) return false;
    this.#counts.set(uid, held);
    return true;
  }

  letGo(uid: number, count: number): void {
    if (count === 0) return;
    const left = (this.#counts.get(uid) ?? 0) - count;
    if (left > 0) this.#counts.set(uid, left);
    else this.#counts.delete(uid);
  }
}

/** Those that users send with messages, as `descriptors.held` limits them. */
export const attendedHeld = new Held();
/** Those that messages are passed by, which are limited by `passedHeldMax`. */
export const passedHeld = new Held();
