/** A program at a terminal: what is typed there, and what it shows. */

import { until, within } from "./until.ts";

export class Terminal implements AsyncDisposable {
  readonly #process: Bun.Subprocess;
  #shown = "";

  constructor(words: readonly string[], env: Record<string, string>) {
    const decoder = new TextDecoder();
    this.#process = Bun.spawn({
      cmd: [...words],
      env: { ...process.env, ...env },
      // Given so, and not as a `Bun.Terminal` made before, it is the one whose Ctrl-C reaches the program.
      terminal: {
        data: (_, bytes) => {
          this.#shown += decoder.decode(bytes, { stream: true });
        },
      },
    });
  }

  /** All that has been shown, what was typed included, with plain newlines. */
  get shown(): string {
    return this.#shown.replaceAll("\r\n", "\n");
  }

  type(text: string): void {
    this.#process.terminal!.write(text);
  }

  signal(signal: NodeJS.Signals): void {
    this.#process.kill(signal);
  }

  /** Closes it, as a window is closed. */
  hangUp(): void {
    this.#process.terminal!.close();
  }

  async shows(text: string): Promise<void> {
    await until(
      () => `the terminal shows ${JSON.stringify(text)}; it shows ${JSON.stringify(this.shown)}`,
      () => this.shown.includes(text),
    );
  }

  async whenEnded(): Promise<{ code: number | null; signal: NodeJS.Signals | number | null }> {
    await within("the end of a program at a terminal", this.#process.exited);
    return { code: this.#process.exitCode, signal: this.#process.signalCode };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#process.kill("SIGKILL");
    await this.#process.exited;
    this.#process.terminal!.close();
  }
}

/** Where there are none, such tests are left out. */
export const hasTerminals = typeof Bun.Terminal === "function" && process.platform !== "win32";
