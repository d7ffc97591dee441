/**
 * Two streams bound together in JavaScript, where one of them is not the kernel's alone, as under TLS: what arrives on one
 * leaves by the other.
 *
 *     one ── data ──▶ write ──▶ other      while the other has not taken it, one is paused: its peer comes to wait
 *     one ── end  ──▶ end   ──▶ other      the other direction goes on
 *
 * It is over when both directions are, or either stream breaks. A service that is wholly gone looks to it like one that
 * has no more to say; it is noticed when something is written there.
 */

import { connect } from "node:net";
import type { Duplex } from "node:stream";
import type { Connection } from "../../ipc/connection.ts";
import type { Bound } from "./remote.ts";

/**
 * The socket of a raw connection as a stream, which takes it over. The connection is over for its owner, and has to be
 * paused since it was made, or what it has handed out is its owner's to pass on. Throws if it has ended, or something
 * waits to be sent.
 */
export function streamOf(connection: Connection): Duplex {
  const [copy] = connection.copies();
  void connection.close({ now: true });
  // Bun goes on with a socket that is connected already; Node's types know none.
  const given = { fd: copy!.take(), allowHalfOpen: true };
  return connect(given as unknown as Parameters<typeof connect>[0]);
}

/** Both are to be half-open: one that has ended is still written to. */
export function relay(one: Duplex, other: Duplex): Bound {
  return new Relay([one, other]);
}

class Relay implements Bound {
  readonly received: [number, number] = [0, 0];
  readonly sent: [number, number] = [0, 0];
  readonly ended: Promise<unknown>;
  readonly #streams: readonly [Duplex, Duplex];

  constructor(streams: readonly [Duplex, Duplex]) {
    this.#streams = streams;
    this.ended = Promise.all(streams.map((stream) => this.#closed(stream)));
    this.#pass(0, 1);
    this.#pass(1, 0);
  }

  close(): void {
    for (const stream of this.#streams) stream.destroy();
  }

  #closed(stream: Duplex): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const over = () => {
      // One that came to its end in order has passed on what it had, and the other may still be writing it.
      if (!isDone(stream)) this.close();
      resolve();
    };
    // Whatever it was, the end says it to both sides.
    stream.on("error", () => this.close());
    if (stream.destroyed) over();
    else stream.once("close", over);
    return promise;
  }

  #pass(at: 0 | 1, to: 0 | 1): void {
    const from = this.#streams[at];
    const into = this.#streams[to];
    from.on("data", (bytes: Uint8Array) => {
      this.received[at] += bytes.length;
      const count = (error?: Error | null) => {
        if (error === undefined || error === null) this.sent[to] += bytes.length;
      };
      if (!into.write(bytes, count)) from.pause();
    });
    into.on("drain", () => from.resume());
    from.on("end", () => into.end());
    if (from.readableEnded) into.end();
    // Whoever greeted it had it wait.
    else from.resume();
  }
}

function isDone(stream: Duplex): boolean {
  return stream.readableEnded && stream.writableFinished;
}
