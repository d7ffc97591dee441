/**
 * A request that is answered while it is still coming: each piece of the body is a message as it arrives, and each
 * answer goes into the response as it comes.
 *
 *     body ──pieces──▶ connection.send ──▶ service ──▶ connection, iterated ──▶ response
 *
 * Neither side runs ahead: the body is read on only while the connection takes more, and an answer is taken from the
 * connection only when the response has room, so that a remote that does not read makes the service wait, which makes
 * the connection take no more, which makes the remote wait. It has ended when the body has, and there are as many
 * answers as messages.
 */

import type { Connection } from "../../ipc/connection.ts";
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

type Bytes = Uint8Array<ArrayBuffer>;
type Reader = Pick<ReadableStreamDefaultReader<Bytes>, "read" | "cancel">;

export class Stream {
  readonly #exchange: Exchange;
  readonly #connection: Connection;
  readonly #flow: Flow;
  readonly #reader: Reader | undefined;
  #sent = 0;
  #answered = 0;
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
            this.#answered += 1;
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
    return this.#bodyEnded && this.#answered >= this.#sent;
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
      this.#sent += 1;
      const room = this.#connection.send(bytes.subarray(at, at + pieceBytesMax));
      if (!room) await this.#connection.drained();
    }
  }

  #end(whole: boolean): void {
    if (this.#over) return;
    this.#over = true;
    void this.#connection.close({ now: true });
    void this.#reader?.cancel().catch(() => undefined);
    this.#flow.onOver(whole);
  }
}
