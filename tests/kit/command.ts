/** earshot's commands, and programs like them, as a user runs them: arguments, a keyboard, two outputs and a status. */

import { afterAll, expect } from "bun:test";
import { join } from "node:path";
import { until, within } from "./until.ts";

const root = join(import.meta.dir, "..", "..");
const running = new Set<Command>();

export type Ended = {
  /** Null if a signal ended it. */
  code: number | null;
  signal: NodeJS.Signals | number | null;
  stdout: string;
  /** The same, as it was written. */
  bytes: Uint8Array;
  stderr: string;
};

export type RunOptions = {
  /** The run directory; without one the environment's counts, which is this test's. */
  rundir?: string;
  env?: Record<string, string | undefined>;
  /** The folder it runs in; without one the repository. */
  folder?: string;
  /** All that will ever come from the keyboard. Without it nothing comes. */
  input?: string | Uint8Array | Bun.BunFile;
  /** Shell that wraps the command, whose words are `"$@"`, as in `ulimit -n 64; exec "$@"`. */
  shell?: string;
};

/** The words of one of earshot's commands. */
export function earshot(
  name: "service" | "client" | "list" | "query" | "keys" | "pack",
  ...words: string[]
): string[] {
  return [process.execPath, join(root, "src", "cli", `${name}.ts`), ...words];
}

export class Command implements AsyncDisposable {
  readonly pid: number;
  /** Resolves when it has ended and both outputs have been read. */
  readonly ended: Promise<Ended>;
  readonly #process: Bun.Subprocess<"pipe" | Bun.BunFile | Uint8Array, "pipe", "pipe">;
  readonly #words: string;
  readonly #stdout = new Output();
  readonly #stderr = new Output();
  #isOver = false;

  constructor(words: readonly string[], options: RunOptions & { keyboard?: boolean } = {}) {
    const { rundir, env, folder = root, input = new Uint8Array(), shell, keyboard } = options;
    const place = rundir === undefined ? {} : { EARSHOT_RUNDIR: rundir };
    this.#process = Bun.spawn({
      cmd: shell === undefined ? [...words] : ["sh", "-c", shell, "sh", ...words],
      cwd: folder,
      env: { ...process.env, ...place, ...env },
      stdin: keyboard === true ? "pipe" : typeof input === "string" ? Buffer.from(input) : input,
      stdout: "pipe",
      stderr: "pipe",
    });
    this.pid = this.#process.pid;
    this.#words = `process ${this.pid} (${words.slice(1).join(" ")})`;
    running.add(this);
    const read = [
      this.#stdout.read(this.#process.stdout),
      this.#stderr.read(this.#process.stderr),
      this.#process.exited,
    ];
    this.ended = Promise.all(read).then(() => {
      this.#isOver = true;
      // Bun keeps our end of it otherwise, until it is collected.
      this.hangUp();
      running.delete(this);
      const { exitCode: code, signalCode: signal } = this.#process;
      const { stdout, stderr } = this;
      return { code, signal, stdout, bytes: this.#stdout.bytes, stderr };
    });
  }

  /** What it has written so far. */
  get stdout(): string {
    return this.#stdout.text;
  }

  get stderr(): string {
    return this.#stderr.text;
  }

  /** Types on its keyboard. */
  type(text: string): void {
    const { stdin } = this.#process;
    if (typeof stdin !== "object" || !("write" in stdin)) throw new Error("it has no keyboard");
    void stdin.write(text);
    void stdin.flush();
  }

  /** Ends its input. */
  hangUp(): void {
    const { stdin } = this.#process;
    if (typeof stdin === "object" && "end" in stdin) void stdin.end();
  }

  /** Resolves when it has written `text` to stdout. */
  async says(text: string): Promise<void> {
    await this.#until(`${JSON.stringify(text)} on stdout`, () => this.stdout.includes(text));
  }

  async complains(text: string): Promise<void> {
    await this.#until(`${JSON.stringify(text)} on stderr`, () => this.stderr.includes(text));
  }

  signal(signal: NodeJS.Signals): void {
    this.#process.kill(signal);
  }

  async end(signal: NodeJS.Signals = "SIGTERM"): Promise<Ended> {
    this.signal(signal);
    return await this.whenEnded();
  }

  async whenEnded(): Promise<Ended> {
    return await within(`the end of ${this.#words}`, this.ended);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#isOver) await this.end("SIGKILL");
  }

  async #until(what: string, condition: () => boolean): Promise<void> {
    await until(
      () => `there is ${what} of ${this.#describe()}`,
      () => {
        if (condition()) return true;
        if (this.#isOver) throw new Error(`it ended without ${what}: ${this.#describe()}`);
        return false;
      },
    );
  }

  #describe(): string {
    return `${this.#words}\nstdout: ${this.stdout}\nstderr: ${this.stderr}`;
  }
}

class Output {
  text = "";
  readonly #parts: Uint8Array[] = [];

  async read(stream: ReadableStream<Uint8Array>): Promise<void> {
    const decoder = new TextDecoder();
    for await (const part of stream) {
      this.text += decoder.decode(part, { stream: true });
      this.#parts.push(part);
    }
  }

  get bytes(): Uint8Array {
    return Buffer.concat(this.#parts);
  }
}

/** Runs a command to its end. */
export async function run(words: readonly string[], options: RunOptions = {}): Promise<Ended> {
  await using command = new Command(words, options);
  return await command.whenEnded();
}

/** Starts a service, and resolves when it listens. */
export async function startService(
  words: readonly string[],
  options: RunOptions = {},
): Promise<Command> {
  const command = new Command(earshot("service", ...words), options);
  try {
    await command.says(": listening on ");
    return command;
  } catch (error) {
    await command[Symbol.asyncDispose]();
    throw error;
  }
}

/** Every file that runs commands calls this: those that a test leaves running fail it. */
export function leaveNoCommand(): void {
  afterAll(() => {
    expect([...running].map(({ pid }) => pid)).toEqual([]);
  });
}
