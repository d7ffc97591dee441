/**
 * A child process that is spoken to in lines, kept on one processor.
 *
 * It has a session of its own, so that an interrupt at the keyboard reaches only the benchmark,
 * which then ends its children itself.
 */

import { pinCommand } from "./native.ts";

const answerMillisecondsMax = 20_000; // the slowest row answers a round within one second
const stopMilliseconds = 1_000; // then it is killed
const complaintBytesMax = 2_000; // of what a failed child said, the end tells the reason

const living = new Set<Child>();

export class Child {
  readonly #name: string;
  readonly #process: Bun.Subprocess<"pipe", "pipe", "pipe">;
  readonly #output: AsyncIterator<Uint8Array>;
  readonly #decoder = new TextDecoder();
  readonly #complained: Promise<void>;
  #received = "";
  #complaint = "";

  constructor(name: string, command: string[], cpu: number | null) {
    this.#name = name;
    this.#process = Bun.spawn(pinCommand(command, cpu), {
      stdin: "pipe",
      stdout: "pipe",
      stderr: "pipe",
      detached: true,
    });
    this.#output = this.#process.stdout[Symbol.asyncIterator]();
    this.#complained = this.#listen();
    living.add(this);
  }

  get pid(): number {
    return this.#process.pid;
  }

  tell(line: string): void {
    this.#process.stdin.write(`${line}\n`);
    this.#process.stdin.flush();
  }

  /** The next line the child prints. Throws if it ends, or is silent for too long. */
  async line(): Promise<string> {
    let timer: Timer | undefined;
    const silence = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        reject(new Error(`${this.#name} did not answer in ${answerMillisecondsMax} ms`));
      }, answerMillisecondsMax);
    });
    try {
      return await Promise.race([this.#readLine(), silence]);
    } finally {
      clearTimeout(timer);
    }
  }

  /**
   * Waits for the line by which it says that it is there, which begins with `greeting`. `before`
   * begins one that may come first.
   */
  async ready(greeting = "ready", before?: string): Promise<void> {
    let line = await this.line();
    if (before !== undefined && line.startsWith(before)) line = await this.line();
    if (line.startsWith(greeting)) return;
    throw new Error(`${this.#name} said "${line}" instead of "${greeting}"`);
  }

  /** Why it has ended; null while it runs. */
  async complaint(): Promise<Error | null> {
    return this.#process.exitCode === null && this.#process.signalCode === null
      ? null
      : await this.#ended();
  }

  /** Waits until it ends by itself. Throws if it does not, or ends in any other way than well. */
  async ended(): Promise<void> {
    const insist = setTimeout(() => this.killNow(), answerMillisecondsMax);
    const code = await this.#process.exited;
    clearTimeout(insist);
    living.delete(this);
    if (code !== 0) throw await this.#ended();
  }

  /** Lets the child end by itself, by closing its input, and insists after a while. */
  async stop(): Promise<void> {
    this.#process.stdin.end();
    await this.#gone();
  }

  async terminate(): Promise<void> {
    this.#process.kill("SIGTERM");
    await this.#gone();
  }

  killNow(): void {
    this.#process.kill("SIGKILL");
  }

  async #gone(): Promise<void> {
    const insist = setTimeout(() => this.killNow(), stopMilliseconds);
    await this.#process.exited;
    clearTimeout(insist);
    living.delete(this);
  }

  async #readLine(): Promise<string> {
    let end = this.#received.indexOf("\n");
    while (end < 0) {
      const { done, value } = await this.#output.next();
      if (done) throw await this.#ended();
      const searched = this.#received.length;
      this.#received += this.#decoder.decode(value, { stream: true });
      end = this.#received.indexOf("\n", searched);
    }
    const line = this.#received.slice(0, end);
    this.#received = this.#received.slice(end + 1);
    return line;
  }

  async #ended(): Promise<Error> {
    await this.#process.exited;
    await this.#complained;
    const how = this.#process.signalCode ?? `code ${this.#process.exitCode}`;
    const why = this.#complaint.trim();
    return new Error(`${this.#name} ended (${how})${why === "" ? "" : `: ${why}`}`);
  }

  async #listen(): Promise<void> {
    const decoder = new TextDecoder();
    for await (const chunk of this.#process.stderr) {
      const text = this.#complaint + decoder.decode(chunk, { stream: true });
      this.#complaint = text.slice(-complaintBytesMax);
    }
  }
}

/** For the end of the benchmark, whatever the reason. */
export function killChildren(): void {
  for (const child of living) child.killNow();
  living.clear();
}
