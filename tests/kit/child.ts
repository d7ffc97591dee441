/**
 * A process of its own that does what it is asked: a line of JSON in, a line of JSON out. The other side of it is
 * `answer.ts`.
 */

import { within } from "./until.ts";

const running = new Set<Child>();

export type Exit = { code: number | null; signal: string | null; stderr: string };

export type StartOptions = {
  /** Commands of the shell that come before the process takes its place, such as `ulimit -n 64`. */
  shell?: string;
  env?: Record<string, string>;
};

type Pending = { resolve(value: unknown): void; reject(error: Error): void };

/** What went wrong in the child when it did what it was asked. */
export class ChildError extends Error {
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

export class Child implements AsyncDisposable {
  readonly pid: number;
  /** Resolves when the process has ended, however that came. */
  readonly exited: Promise<Exit>;
  readonly #process: Bun.Subprocess<"pipe", "pipe", "pipe">;
  readonly #pending = new Map<number, Pending>();
  #asked = 0;
  #exit: Exit | undefined;

  /** Starts the script at `url` with `settings`, which it gets as its first argument in JSON. */
  static async start(url: URL, settings: unknown = {}, options: StartOptions = {}): Promise<Child> {
    const child = new Child(Bun.fileURLToPath(url), settings, options);
    try {
      await child.ask("ready");
      return child;
    } catch (error) {
      await child.kill();
      throw error;
    }
  }

  private constructor(script: string, settings: unknown, { shell, env }: StartOptions) {
    const command = [process.execPath, script, JSON.stringify(settings)];
    this.#process = Bun.spawn({
      cmd: shell === undefined ? command : ["sh", "-c", `${shell}; exec "$@"`, "sh", ...command],
      env: { ...process.env, ...env },
      stdin: "pipe",
      stdout: "pipe",
      stderr: "pipe",
    });
    this.pid = this.#process.pid;
    running.add(this);
    const stderr = new Response(this.#process.stderr).text();
    const read = this.#read();
    this.exited = this.#process.exited.then(async () => {
      await read;
      const { exitCode: code, signalCode } = this.#process;
      const signal = signalCode === null ? null : String(signalCode);
      const exit = { code, signal, stderr: await stderr };
      this.#exit = exit;
      running.delete(this);
      for (const { reject } of this.#pending.values()) reject(this.#gone());
      this.#pending.clear();
      return exit;
    });
  }

  /** Resolves with what the script's `command` returns, rejects with what it throws. */
  ask<Answer = unknown>(command: string, argument?: unknown): Promise<Answer> {
    if (this.#exit !== undefined) return Promise.reject(this.#gone());
    const id = ++this.#asked;
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    this.#pending.set(id, { resolve, reject });
    void this.#process.stdin.write(`${JSON.stringify({ id, command, argument })}\n`);
    void this.#process.stdin.flush();
    return within(`an answer of ${this.pid} to ${command}`, promise) as Promise<Answer>;
  }

  /** Lets it end by itself: there is nothing more to do. */
  async finish(): Promise<Exit> {
    void this.#process.stdin.end();
    return await within(`the end of ${this.pid}`, this.exited);
  }

  async kill(signal: NodeJS.Signals = "SIGKILL"): Promise<Exit> {
    this.#process.kill(signal);
    return await within(`the end of ${this.pid}`, this.exited);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#exit === undefined) await this.kill();
  }

  async #read(): Promise<void> {
    const decoder = new TextDecoder();
    let text = "";
    for await (const part of this.#process.stdout) {
      text += decoder.decode(part, { stream: true });
      const lines = text.split("\n");
      text = lines.pop()!;
      for (const line of lines) this.#take(line);
    }
  }

  #take(line: string): void {
    const { id, value, error } = JSON.parse(line) as {
      id: number;
      value?: unknown;
      error?: { code: string; message: string };
    };
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    if (error === undefined) pending?.resolve(value);
    else pending?.reject(new ChildError(error.code, error.message));
  }

  #gone(): Error {
    const { code, signal, stderr } = this.#exit!;
    return new Error(`process ${this.pid} has ended (${signal ?? code})\n${stderr}`);
  }
}

/** Those that nobody has waited for. */
export function childrenLeft(): number[] {
  return [...running].map((child) => child.pid);
}
