/**
 * A sealed connection of a page: over a WebSocket to websocketd, which carries it and sees nothing, to a service that was
 * served with a seal. What the two say to each other first is in `../hello.ts`; from then on each message is a record.
 */

import { about, formatHello, parseAnswer } from "../hello.ts";
import { sealKinds } from "../kinds.ts";
import { base64Of, bytesOfBase64 } from "./base64.ts";
import type { PageKeys } from "./keys.ts";
import { readKey } from "./keys.ts";
import type { Bytes } from "./noise.ts";
import { SealError } from "./noise.ts";
import type { BrowserSeal } from "./sealed.ts";
import { SealedHandshake } from "./sealed.ts";

type CloseEvent = { readonly code: number; readonly reason: string };

/** What a WebSocket has that is made use of. */
export type PageSocket = {
  binaryType: string;
  readonly readyState: number;
  send(bytes: Uint8Array<ArrayBuffer>): void;
  close(): void;
  addEventListener(type: "open", listener: () => void): void;
  addEventListener(type: "message", listener: (event: { readonly data: unknown }) => void): void;
  addEventListener(type: "close", listener: (event: CloseEvent) => void): void;
};

export type PageSeal = {
  readonly keys: PageKeys;
  /** The service's public key. */
  readonly peer: string;
  /** What the service calls itself. */
  readonly service: string;
  /** How long it may take to agree, in milliseconds, the opening of the socket included. Default 5 s; Infinity is for ever. */
  readonly timeout?: number | undefined;
};

const isOpen = 1;
const isClosed = 3;
const timeoutMs = 5000;
const nothing = new Uint8Array(0);

/**
 * @example
 * const socket = new WebSocket("wss://example.org/pong");
 * const pong = await SealedConnection.over(socket, { keys, peer, service: "pong" });
 * pong.onMessage = (bytes) => console.log(new TextDecoder().decode(bytes));
 * await pong.send("hello");
 */
export class SealedConnection {
  readonly #socket: PageSocket;
  readonly #seal: BrowserSeal;
  #onMessage: ((bytes: Uint8Array) => void) | undefined;
  #onClose: ((error?: Error) => void) | undefined;
  /** Those that nobody was told of yet. */
  #waiting: Bytes[] = [];
  #end: { error?: Error | undefined } | undefined;
  /** The other side is about to say that it ends, and has. */
  #endsNext = false;
  #hasEnded = false;
  #isClosing = false;
  /** When all that has come is opened. */
  #opened: Promise<void> = Promise.resolve();

  private constructor(socket: PageSocket, seal: BrowserSeal) {
    this.#socket = socket;
    this.#seal = seal;
  }

  /**
   * Agrees with the service at the other end of a socket that is open, or about to be, and has to be used for nothing
   * else. Rejects with a SealError that says what was wrong; the socket is closed then.
   */
  static async over(
    socket: PageSocket,
    { keys, peer, service, timeout = timeoutMs }: PageSeal,
  ): Promise<SealedConnection> {
    socket.binaryType = "arraybuffer";
    const arrivals = new Arrivals(socket);
    const late = Number.isFinite(timeout)
      ? setTimeout(() => arrivals.end(`nothing was agreed on within ${timeout} ms`), timeout)
      : undefined;
    try {
      const handshake = new SealedHandshake({
        secretKey: keys.secretKey,
        peerPublicKey: readKey(peer),
        prologue: new TextEncoder().encode(about(service)),
      });
      await arrivals.open;
      const message = base64Of(await handshake.write());
      socket.send(new TextEncoder().encode(formatHello({ key: keys.publicKey, message })));
      await handshake.read(welcomeOf(await arrivals.next()));
      const connection = new SealedConnection(socket, await handshake.finish());
      socket.send(await connection.#seal.seal(sealKinds.proof, new Uint8Array(0)));
      arrivals.give(
        (bytes) => connection.#open(bytes),
        (why) => void connection.#opened.then(() => connection.#closed(why)),
      );
      return connection;
    } catch (error) {
      socket.close();
      throw error;
    } finally {
      clearTimeout(late);
    }
  }

  /** A message came. Those that come while it is not set wait for it. */
  get onMessage(): ((bytes: Uint8Array) => void) | undefined {
    return this.#onMessage;
  }

  set onMessage(handler: ((bytes: Uint8Array) => void) | undefined) {
    this.#onMessage = handler;
    this.#tell();
  }

  /** It has ended; with an error if that was not in order. Nothing comes after. */
  get onClose(): ((error?: Error) => void) | undefined {
    return this.#onClose;
  }

  set onClose(handler: ((error?: Error) => void) | undefined) {
    this.#onClose = handler;
    if (this.#end !== undefined && handler !== undefined) tell(handler, this.#end.error);
  }

  /** Sends one message, after those before it. Rejects if it has ended. */
  async send(payload: string | Uint8Array): Promise<void> {
    if (this.#isClosing) throw new SealError("the connection was closed");
    const bytes = typeof payload === "string" ? new TextEncoder().encode(payload) : payload;
    const record = await this.#seal.seal(sealKinds.message, bytes);
    if (this.#end !== undefined) throw new SealError("the connection has ended");
    this.#socket.send(record);
  }

  /** Ends it, after what was sent before, and says so to the service. */
  async close(): Promise<void> {
    if (this.#isClosing) return;
    this.#isClosing = true;
    const record = await this.#seal.seal(sealKinds.end, nothing);
    if (this.#end === undefined && this.#socket.readyState === isOpen) {
      for (const bytes of [nothing, record]) this.#socket.send(bytes);
    }
    this.#over(undefined);
    this.#socket.close();
  }

  /** They are opened, and so told of, in the order in which they came. */
  #open(record: Uint8Array): void {
    if (record.length === 0 && !this.#endsNext) {
      this.#endsNext = true;
      return;
    }
    const kind = this.#endsNext ? sealKinds.end : sealKinds.message;
    this.#opened = this.#seal.open(kind, record).then(
      (bytes) => this.#take(kind, bytes),
      (error: Error) => {
        this.#over(error);
        this.#socket.close();
      },
    );
  }

  #take(kind: number, bytes: Bytes): void {
    if (this.#end !== undefined) return;
    if (kind === sealKinds.end) {
      this.#hasEnded = true;
      return;
    }
    this.#waiting.push(bytes);
    this.#tell();
  }

  /** What the service has said under the seal counts, whatever became of the socket. */
  #closed(why: Error): void {
    if (this.#hasEnded) this.#over(undefined);
    else this.#over(new SealError(`the service has not said that it ends: ${why.message}`));
  }

  #tell(): void {
    while (this.#onMessage !== undefined && this.#waiting.length > 0) {
      tell(this.#onMessage, this.#waiting.shift()!);
    }
  }

  #over(error: Error | undefined): void {
    if (this.#end !== undefined) return;
    this.#end = { error };
    if (this.#onClose !== undefined) tell(this.#onClose, error);
  }
}

/** What a handler throws goes where an uncaught error goes, and all else goes on. */
function tell<Given>(handler: (given: Given) => void, given: Given): void {
  try {
    handler(given);
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}

/** What comes over a socket, one after the other, until somebody takes it as it comes. */
class Arrivals {
  /** Resolves when the socket is open. */
  readonly open: Promise<void>;
  readonly #failOpen: (why: SealError) => void;
  readonly #waiting: Bytes[] = [];
  #next = Promise.withResolvers<void>();
  #end: SealError | undefined;
  #onBytes: ((bytes: Bytes) => void) | undefined;
  #onEnd: ((why: SealError) => void) | undefined;

  constructor(socket: PageSocket) {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.open = promise;
    this.#failOpen = reject;
    // Nobody may come to wait for it.
    promise.catch(() => undefined);
    if (socket.readyState === isOpen) resolve();
    else if (socket.readyState === isClosed) this.end("the socket was closed before");
    socket.addEventListener("open", () => resolve());
    socket.addEventListener("message", ({ data }) => this.#take(bytesOf(data)));
    socket.addEventListener("close", ({ code, reason }) => {
      this.end(`the socket was closed with ${code}${reason === "" ? "" : `: ${reason}`}`);
    });
  }

  /** There will be nothing more. */
  end(text: string): void {
    if (this.#end !== undefined) return;
    const why = new SealError(text);
    this.#end = why;
    this.#failOpen(why);
    this.#next.resolve();
    this.#onEnd?.(why);
  }

  #take(bytes: Bytes): void {
    if (this.#onBytes !== undefined) {
      this.#onBytes(bytes);
      return;
    }
    this.#waiting.push(bytes);
    this.#next.resolve();
  }

  async next(): Promise<Bytes> {
    await this.#next.promise;
    const bytes = this.#waiting.shift();
    if (bytes !== undefined) return bytes;
    throw this.#end ?? new SealError("nothing came");
  }

  give(onBytes: (bytes: Bytes) => void, onEnd: (why: SealError) => void): void {
    this.#onBytes = onBytes;
    this.#onEnd = onEnd;
    for (const bytes of this.#waiting.splice(0)) onBytes(bytes);
    if (this.#end !== undefined) onEnd(this.#end);
  }
}

/** A service that is not sealed may say anything. */
function bytesOf(data: unknown): Bytes {
  return data instanceof ArrayBuffer
    ? new Uint8Array(data)
    : new TextEncoder().encode(String(data));
}

/** The service's message of the handshake. */
function welcomeOf(bytes: Bytes): Bytes {
  let said: ReturnType<typeof parseAnswer>;
  try {
    said = parseAnswer(bytes);
  } catch (error) {
    throw new SealError(`what it answered is of no sealed service: ${(error as Error).message}`);
  }
  if ("error" in said)
    throw new SealError(`it refused: ${said.error.message} (${said.error.code})`);
  const message = bytesOfBase64(said.message);
  if (message !== undefined) return message;
  throw new SealError("a message of the handshake is base64url, and this is not");
}
