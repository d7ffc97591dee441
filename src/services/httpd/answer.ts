/** An answer on its way to a remote that may read slowly, or not at all. */

import type { Exchange } from "./exchange.ts";

/** Up to so many bytes an answer goes to Bun at once: it is gone, or nearly, before the remote has read any of it. */
const smallBytes = 64 * 1024;
/** Of a larger one so many are handed over at a time, when the remote has made room. */
const pieceBytes = 256 * 1024;

export const octets = { headers: { "Content-Type": "application/octet-stream" } } as const;

export function isSmall(bytes: Uint8Array): boolean {
  return bytes.length <= smallBytes;
}

/** `over` is called once: with whether all of it is with Bun. */
export function inPieces(
  bytes: Uint8Array<ArrayBuffer>,
  exchange: Exchange,
  over: (whole: boolean) => void,
): ReadableStream<Uint8Array<ArrayBuffer>> {
  let at = 0;
  return new ReadableStream(
    {
      start(controller) {
        exchange.onGivenUp = (why) => {
          controller.error(why);
          over(false);
        };
      },
      pull(controller) {
        exchange.progress();
        controller.enqueue(bytes.subarray(at, at + pieceBytes));
        at += pieceBytes;
        if (at < bytes.length) return;
        controller.close();
        over(true);
      },
      cancel: () => over(false),
    },
    { highWaterMark: 0 },
  );
}
