/**
 * What `client` does over shared memory, or sealed, inside Bun's loop: the same as it does by a `Context`, which knows of
 * sockets alone.
 */

import { connect } from "../ipc/connect.ts";
import type { Connection } from "../ipc/connection.ts";
import type { End } from "../ipc/handlers.ts";
import type { ClientSeal } from "../ipc/seal.ts";
import { isClosed } from "../native/errors.ts";
import { CommandError, saidOf } from "./command.ts";
import type { Terms } from "./conversation.ts";
import { Lines } from "./lines.ts";
import { writeAll } from "./output.ts";

const newline = Buffer.from("\n");

export type Call = {
  readonly rundir: string | undefined;
  readonly shared: true | undefined;
  readonly messageBytesMax: number | undefined;
  readonly transport: "unix" | "memory";
  readonly seal: ClientSeal | undefined;
};

/** What went wrong is said in words where there are some, as where it is sealed, and is not spoken to so. */
function why({ reason, error }: End): string {
  return error === undefined ? reason : `${reason}: ${saidOf(error)}`;
}

function print(bytes: Uint8Array): void {
  writeAll(1, Buffer.concat([bytes, newline]));
}

/** Sends one message and prints its answer. */
export async function askInLoop(
  service: string,
  call: Call,
  sentence: string,
  timeout: number | undefined,
): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const connection = await connect(service, {
    ...call,
    message: (_, message) => {
      print(message.bytes);
      resolve();
    },
    error: (_, error) => reject(error),
    close: (_, end) =>
      reject(new CommandError(`"${service}" went away without an answer (${why(end)})`)),
  });
  const giveUp = () => reject(new CommandError(`"${service}" did not answer within ${timeout} ms`));
  const timer = timeout === undefined ? undefined : setTimeout(giveUp, timeout);
  try {
    connection.send(sentence);
    await promise;
  } finally {
    clearTimeout(timer);
    void connection.close({ now: true });
  }
}

/** Lines from standard input to a service, and its answers to standard output. */
export class Talk {
  readonly #service: string;
  readonly #terms: Terms;
  readonly #over = Promise.withResolvers<never>();
  #sent = 0;
  #answered = 0;
  /** Told that there was one more answer. */
  #onAnswer: () => void = () => undefined;

  constructor(service: string, terms: Terms) {
    this.#service = service;
    this.#terms = terms;
    // It is waited for only now and then.
    this.#over.promise.catch(() => undefined);
  }

  /** Goes on to the end of input. Returns how many lines had no answer by then. */
  async run(call: Call): Promise<number> {
    const connection = await connect(this.#service, {
      ...call,
      message: (_, { bytes }) => this.#answer(bytes),
      error: (_, error) => this.#over.reject(error),
      close: (_, end) => this.#over.reject(this.#gone(end)),
    });
    try {
      await Promise.race([this.#sendAll(connection), this.#over.promise]);
      await this.#await();
    } finally {
      void connection.close({ now: true });
    }
    return Math.max(0, this.#sent - this.#answered);
  }

  #gone(end: End): CommandError {
    return new CommandError(`"${this.#service}" is gone (${why(end)})`);
  }

  #answer(bytes: Uint8Array): void {
    print(bytes);
    this.#answered += 1;
    this.#onAnswer();
  }

  async #sendAll(connection: Connection): Promise<void> {
    const lines = new Lines(this.#terms.lineBytesMax);
    for await (const bytes of Bun.stdin.stream()) {
      for (const line of lines.cut(bytes)) await this.#send(connection, line);
    }
    const rest = lines.rest();
    if (rest !== undefined) await this.#send(connection, rest);
  }

  async #send(connection: Connection, line: Uint8Array): Promise<void> {
    try {
      this.#sent += 1;
      // A service that does not keep up makes us wait, and not our memory grow.
      if (!connection.send(line)) await connection.drained();
    } catch (error) {
      // That it is gone is told by its end, which says why.
      if (!isClosed(error)) throw error;
      await this.#over.promise;
    }
  }

  /** Until as many answers as lines have come, or none for too long. */
  async #await(): Promise<void> {
    while (this.#answered < this.#sent) {
      const { promise, resolve } = Promise.withResolvers<boolean>();
      const timer = setTimeout(() => resolve(false), this.#terms.answerTimeout);
      this.#onAnswer = () => resolve(true);
      const hasCome = await Promise.race([promise, this.#over.promise]);
      clearTimeout(timer);
      if (!hasCome) return;
    }
  }
}
