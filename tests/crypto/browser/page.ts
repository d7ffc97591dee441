/** What a page does in `page.test.ts`: it is bundled for the browser, and imports nothing of Bun's. */

import { keyPair, SealedConnection } from "../../../src/crypto/browser/index.ts";

const keys = keyPair();
/** A browser on a busy machine takes its time. */
const timeout = 60_000;

export const publicKey = (): string => keys.publicKey;

/** Connects, has each text sent back, and returns what came, or what was wrong. */
export async function converse(
  url: string,
  how: { peer: string; service: string },
  texts: readonly string[],
): Promise<{ answers: string[]; error?: string }> {
  const answers: string[] = [];
  try {
    const connection = await SealedConnection.over(new WebSocket(url), { keys, timeout, ...how });
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    connection.onMessage = (bytes) => {
      answers.push(new TextDecoder().decode(bytes));
      if (answers.length === texts.length) resolve();
    };
    connection.onClose = (error) => reject(error ?? new Error("it was closed"));
    // All at once: they keep their order.
    await Promise.all(texts.map((text) => connection.send(text)));
    await promise;
    connection.onClose = undefined;
    await connection.close();
    return { answers };
  } catch (error) {
    return { answers, error: String(error) };
  }
}

/** How a connection ended: "" if in order. */
export async function howItEnds(
  url: string,
  how: { peer: string; service: string },
): Promise<string> {
  const connection = await SealedConnection.over(new WebSocket(url), { keys, timeout, ...how });
  const { promise, resolve } = Promise.withResolvers<string>();
  connection.onClose = (error) => resolve(error === undefined ? "" : String(error));
  return await promise;
}
