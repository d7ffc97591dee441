/** The body of a request as one message: never longer than allowed, however long it says it is. */

import type { Exchange } from "./exchange.ts";
import type { Held } from "./held.ts";
import { Refusal } from "./refusal.ts";

/**
 * Up to so many bytes Bun collects a body by itself, which is faster. It ends a connection that brings less than
 * 16 KiB in an idle time-out, so that this needs no deadline of ours.
 */
const smallBytes = 64 * 1024;

/** The length that a request announces; undefined if it has a body and does not say. */
export function announcedLength({ headers }: Request): number | undefined {
  const length = headers.get("content-length");
  if (length !== null) return Number(length);
  return headers.has("transfer-encoding") ? undefined : 0;
}

/** Rejects with a Refusal for a body that is too long, too slow or broken. */
export async function collect(
  exchange: Exchange,
  bytesMax: number,
  held: Held,
): Promise<Uint8Array> {
  const length = announcedLength(exchange.request);
  if (length !== undefined && length > bytesMax) throw tooLong(bytesMax);
  try {
    return length !== undefined && length <= smallBytes
      ? await exchange.request.bytes()
      : await read(exchange, bytesMax, held);
  } catch (error) {
    if (error instanceof Refusal) throw error;
    throw exchange.givenUp ?? new Refusal("body_broken", "the body ended before it was whole");
  }
}

async function read(exchange: Exchange, bytesMax: number, held: Held): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  let length = 0;
  const reader = (exchange.request.body as ReadableStream<Uint8Array> | null)?.getReader();
  if (reader === undefined) return new Uint8Array();
  exchange.onGivenUp = (why) => void reader.cancel(why).catch(() => undefined);
  try {
    for (let next = await reader.read(); !next.done; next = await reader.read()) {
      length += next.value.length;
      if (length > bytesMax) throw tooLong(bytesMax);
      held.take(next.value.length);
      exchange.held += next.value.length;
      pieces.push(next.value);
    }
    if (exchange.givenUp !== undefined) throw exchange.givenUp;
    return pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces, length);
  } catch (error) {
    void reader.cancel().catch(() => undefined);
    throw error;
  } finally {
    exchange.onGivenUp = undefined;
  }
}

function tooLong(bytesMax: number): Refusal {
  return new Refusal("body_too_long", `the body is longer than ${bytesMax} bytes`);
}
