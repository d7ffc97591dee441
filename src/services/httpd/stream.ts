/**
 * A request that is answered while it is still coming: each piece of the body is a message as it arrives, and each
 * answer goes into the response as it comes.
 *
 *     body ──pieces──▶ connection.send ──▶ service ──▶ connection, iterated ──▶ response
 *
 * Neither side runs ahead: an answer is taken from the connection only when the response has room, and the body is read
 * on only while few of its messages are unanswered, so that a remote that does not read is soon made to wait, whatever
 * the service would take. It has ended when the body has, and there are as many answers as messages.
 */

import type { Connection } from "../../ipc/connection.ts";
import { Fifo } from "../../ipc/fifo.ts";
import type { Exchange } from "./exchange.ts";
import { Refusal } from "./refusal.ts";

export type Flow = {
  /** The longest piece that becomes a message. */
  readonly pieceBytesMax: number;
  readonly onBytesIn: (count: number) => void;
  readonly onBytesOut: (count: number) => void;
  /** Told once, with whether it went to its end. */
  readonly onOver: (whole: boolean) => void;
};

/** Of messages without an answer there is one, or so many bytes. A short one counts for more than it has. */
const unansweredBytesMax = 1024 * 1024;
const messageOverheadBytes = 64;

type Bytes = Uint8Array<ArrayBuffer>;
type Reader = Pick<ReadableStreamDefaultReader<Bytes>, "read" | "cancel">;

export class Stream {
  readonly #exchange: Exchange;
  readonly #connection: Connection;
  readonly #flow: Flow;
  readonly #reader: Reader | undefined;
  /** What the messages that are not answered yet count for. */
  readonly #unanswered = new Fifo<number>();
  #unansweredBytes = 0;
  #room: PromiseWithResolvers<void> | undefined;
  #bodyEnded = false;
  #over = false;

  constructor(exchange: Exchange, connection: Connection, flow: Flow) {
    this.#exchange = exchange;
    this.#connection = connection;
    this.#flow = flow;
    this.#reader = exchange.request.body?.getReader() as Reader | undefined;
  }

  /** The body of the response. */
  answers(): ReadableStream<Bytes> {
    const messages = this.#connection[Symbol.asyncIterator]();
    return new ReadableStream<Bytes>(
      {
        start: (controller) => {
          const fail = (error: unknown) => {
            if (!this.#over) controller.error(error);
            this.#end(false);
          };
          this.#exchange.onGivenUp = fail;
          void this.#send().catch(fail);
        },
        pull: async (controller) => {
          const next = await messages.next();
          if (this.#over) return;
          if (next.done !== true) {
            this.#exchange.progress();
            this.#answered();
            this.#flow.onBytesOut(next.value.length);
            // An empty piece would be the end of a chunked response.
            if (next.value.length > 0) controller.enqueue(next.value.bytes as Bytes);
          } else if (!this.#complete) {
            throw new Refusal("service_reset", "the service went away before its last answer");
          }
          if (!this.#complete) return;
          controller.close();
          this.#end(true);
        },
        cancel: () => this.#end(false),
      },
      { highWaterMark: 0 },
    );
  }

  get #complete(): boolean {
    return this.#bodyEnded && this.#unanswered.length === 0;
  }

  #answered(): void {
    this.#unansweredBytes -= this.#unanswered.shift() ?? 0;
    if (this.#unansweredBytes < unansweredBytesMax) this.#room?.resolve();
  }

  async #send(): Promise<void> {
    for (;;) {
      const next = await this.#reader?.read();
      if (next === undefined || next.done) break;
      await this.#cut(next.value);
    }
    this.#bodyEnded = true;
    // Nothing more will come, which lets go of the response if it waits for more.
    if (this.#complete) await this.#connection.close({ now: true });
  }

  async #cut(bytes: Bytes): Promise<void> {
    this.#flow.onBytesIn(bytes.length);
    const { pieceBytesMax } = this.#flow;
    for (let at = 0; at < bytes.length; at += pieceBytesMax) {
      this.#exchange.progress();
      const piece = bytes.subarray(at, at + pieceBytesMax);
      const cost = piece.length + messageOverheadBytes;
      this.#unanswered.push(cost);
      this.#unansweredBytes += cost;
      this.#connection.send(piece);
      if (this.#unansweredBytes >= unansweredBytesMax) {
        this.#room = Promise.withResolvers();
        await this.#room.promise;
      }
    }
  }

  #end(whole: boolean): void {
    if (this.#over) return;
    this.#over = true;
    this.#room?.reject(new Refusal("closing", "the stream has ended"));
    void this.#connection.close({ now: true });
    void this.#reader?.cancel().catch(() => undefined);
    this.#flow.onOver(whole);
  }
}
