/**
 * How much one WebSocket may say before all others are heard. Bun reads one again and again while there is more to read,
 * and comes to nobody else meanwhile; one that is paused has only what was read of it handed out. So it goes on when all
 * others have had their turn.
 */

/** Few are handled at once, and so many are one system call to the other side. */
const messagesMax = 256;
/** The same of long ones: half of what Bun reads at once. */
const bytesMax = 256 * 1024;

export class Turn {
  readonly #onChange: () => void;
  #messages = 0;
  #bytes = 0;
  #isOver = false;

  /** `onChange` is called when it is over, and when the next begins. */
  constructor(onChange: () => void) {
    this.#onChange = onChange;
  }

  /** Whether it has said as much as it may, and is to be paused. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** To be called for each message, with its length. Whether it was the last. */
  count(bytes: number): boolean {
    this.#messages += 1;
    this.#bytes += bytes;
    if (this.#messages === 1) setImmediate(this.#next);
    if (this.#isOver || (this.#messages < messagesMax && this.#bytes < bytesMax)) return false;
    this.#isOver = true;
    this.#onChange();
    return true;
  }

  readonly #next = (): void => {
    this.#messages = 0;
    this.#bytes = 0;
    if (!this.#isOver) return;
    this.#isOver = false;
    this.#onChange();
  };
}
