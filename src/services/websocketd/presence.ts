/** Whether whoever is at the other end of a WebSocket is still there, which TCP alone may not tell for hours. */

export type Asked = {
  /** Bytes that wait for it. */
  readonly waiting: number;
  /** Nothing is read from it. */
  readonly isPaused: boolean;
  readonly ping: () => void;
};

export class Presence {
  /** Something came since it was last asked whether it is there. */
  #heard = true;
  /** What waited for it then, and whether it had to be asked. */
  #waited = 0;
  #asked = false;

  /** A message, a ping or a pong came. */
  heard(): void {
    this.#heard = true;
  }

  /**
   * Whether there was a sign of life since this was last called; if not it is asked for one, and without an answer until
   * the next call it is not there.
   */
  isThere({ waiting, isPaused, ping }: Asked): boolean {
    // Behind much that waits for it a ping takes its time, but then it reads.
    const isAlive = this.#heard || waiting < this.#waited;
    this.#waited = waiting;
    this.#heard = false;
    // One that has to wait is not read, so its answer is not heard. To ask it shows whether its machine still listens.
    if (isAlive && !isPaused) {
      this.#asked = false;
      return true;
    }
    const isThere = !this.#asked || isPaused;
    this.#asked = true;
    if (isThere) ping();
    return isThere;
  }
}
