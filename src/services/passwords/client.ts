/** A client of the service `passwords`: its own copy of what is kept there, through two pipes. */

import { connect } from "../../ipc/connect.ts";
import type { Connection } from "../../ipc/connection.ts";
import { Pipes } from "../../ipc/pipes.ts";
import { IpcError } from "../../native/errors.ts";
import type { Answer, Request, Status } from "./format.ts";
import {
  answerBytesMax,
  FormatError,
  helloBytes,
  helloBytesMax,
  readAnswer,
  readKeyset,
  readWelcome,
  requestParts,
} from "./format.ts";

/** A copy is made in some milliseconds; so many at once as may be have to wait for each other. */
const openTimeoutMs = 30_000;

export type PasswordsOptions = {
  /** The name it is served under. Default `passwords`. */
  readonly name?: string | undefined;
  readonly rundir?: string | undefined;
  readonly shared?: boolean | undefined;
  /** How long to wait for the copy, and for each answer, in milliseconds; by default 30 s, and for ever. */
  readonly timeout?: number | undefined;
};

/** What was asked for could not be done, and `status` is why. */
export class PasswordsError extends Error {
  override readonly name = "PasswordsError";
  readonly status: Status;

  constructor(status: Status, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.status = status;
  }
}

/**
 * Each call waits for its answer, with all of its thread. All of them throw a PasswordsError for what cannot be done.
 *
 * @example
 * using passwords = await Passwords.open();
 * passwords.set(Buffer.from("mail"), Buffer.from("secret"));
 * passwords.get(Buffer.from("mail"));
 */
export class Passwords implements Disposable {
  readonly #pipes: Pipes;
  #sealKey: Uint8Array | undefined;
  #isOver = false;

  private constructor(pipes: Pipes) {
    this.#pipes = pipes;
  }

  /** Throws a PasswordsError (`busy`, `unavailable`) if the service has no copy for us, and an IpcError without one. */
  static async open(options: PasswordsOptions = {}): Promise<Passwords> {
    const { name = "passwords", rundir, shared, timeout } = options;
    const connection = await connect(name, {
      rundir,
      shared,
      timeout,
      // Descriptors do not reach other machines.
      network: "",
      transport: "unix",
      descriptors: { max: 2 },
      messageBytesMax: helloBytesMax,
    });
    try {
      return new Passwords(await Passwords.#welcome(connection, timeout));
    } finally {
      await connection.close({ now: true });
    }
  }

  static async #welcome(connection: Connection, timeout: number | undefined): Promise<Pipes> {
    const message = await connection.request(helloBytes, { timeout: timeout ?? openTimeoutMs });
    const [from, to] = message.descriptors;
    const { status, body } = understood(() => readWelcome(message.bytes));
    if (status !== "done") throw new PasswordsError(status, Buffer.from(body).toString());
    if (from === undefined || to === undefined) {
      throw new PasswordsError("malformed", "the service sent no pipes; is it another service?");
    }
    const pipes = new Pipes(from, to, { frameBytesMax: answerBytesMax, timeout });
    if (hasBegun(pipes)) return pipes;
    pipes.close();
    throw new PasswordsError(
      "unavailable",
      "the copy that was made for us has ended before it began; the system may have no room for it; try again later",
    );
  }

  set(key: Uint8Array, value: Uint8Array): void {
    this.#ask({ kind: "set", key, value, sealKey: this.#sealKey });
  }

  /** Throws a PasswordsError (`missing`) if there is no such key. The bytes are the caller's, to overwrite. */
  get(key: Uint8Array): Uint8Array {
    return new Uint8Array(this.#ask({ kind: "get", key, sealKey: this.#sealKey }).body);
  }

  keyset(): Uint8Array[] {
    const { body } = this.#ask({ kind: "keyset" });
    return understood(() => readKeyset(body));
  }

  /** Throws a PasswordsError (`missing`) if there is no such key. */
  delete(key: Uint8Array): void {
    this.#ask({ kind: "delete", key });
  }

  has(key: Uint8Array): boolean {
    return this.#ask({ kind: "has", key }).body[0] === 1;
  }

  /** Has all of it kept sealed under this key, which is copied, and overwritten by `close`. */
  seal(sealKey: Uint8Array): void {
    this.#ask({ kind: "seal", sealKey });
    this.#sealKey?.fill(0);
    this.#sealKey = new Uint8Array(sealKey);
  }

  /** Ends the copy, which has forgotten everything by then. Closing twice is no error. */
  close(): void {
    if (this.#isOver) return;
    try {
      this.#ask({ kind: "disconnect" });
    } catch (error) {
      // It has ended already.
      if (!(error instanceof PasswordsError)) throw error;
    } finally {
      this.#end();
    }
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #end(): void {
    this.#isOver = true;
    this.#sealKey?.fill(0);
    this.#pipes.close();
  }

  /** The answer is a view, good until the next is asked for. */
  #ask(request: Request): Answer {
    if (this.#isOver) throw new PasswordsError("ended", "it was closed");
    const { status, body } = this.#answer(request);
    if (status === "done") return { status, body };
    const text = Buffer.from(body).toString();
    if (status === "idle" || status === "ended") this.#end();
    throw new PasswordsError(status, text);
  }

  #answer(request: Request): Answer {
    try {
      try {
        this.#pipes.send(...requestParts(request));
      } catch (error) {
        // What it said last tells why nobody reads any more.
        if (!(error instanceof IpcError && error.code === "ECLOSED")) throw error;
      }
      const message = this.#pipes.receive();
      if (message !== undefined) return understood(() => readAnswer(message));
      this.#end();
      throw new PasswordsError("ended", "the copy of the passwords that was made for us is gone");
    } catch (error) {
      if (!(error instanceof IpcError)) throw error;
      // Whatever is said next would be the answer to something else.
      this.#end();
      throw new PasswordsError("ended", whyOf(error), error);
    }
  }
}

/** It says so by itself. */
function hasBegun(pipes: Pipes): boolean {
  try {
    return pipes.receive() !== undefined;
  } catch (error) {
    if (error instanceof IpcError) return false;
    throw error;
  }
}

function whyOf({ code, message }: IpcError): string {
  if (code === "ETIMEDOUT") return "no answer came in time";
  if (code === "ECONNRESET")
    return "the copy of the passwords was gone in the middle of its answer";
  return message;
}

function understood<Value>(read: () => Value): Value {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    throw new PasswordsError("malformed", error.message, error);
  }
}
