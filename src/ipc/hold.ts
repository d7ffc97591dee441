/** Keeps Bun's event loop open, which by itself ends when nothing of Bun's own is waited for. */

/** The longest timer there is: some 24 days. */
const farOffMs = 2 ** 31 - 1;

export class Hold {
  #timer: ReturnType<typeof setInterval> | undefined;

  take(): void {
    this.#timer ??= setInterval(() => undefined, farOffMs);
  }

  release(): void {
    if (this.#timer === undefined) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}
