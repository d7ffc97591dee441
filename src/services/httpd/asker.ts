/** What asks one service on behalf of remotes. */

import type { Exchange } from "./exchange.ts";

export interface Asker {
  /**
   * The answer to a message, in bytes of its own. Rejects with why there is none; if the exchange is given up, with
   * anything.
   */
  ask(exchange: Exchange, body: Uint8Array): Promise<Uint8Array<ArrayBuffer>>;
  /** Ends its connections at once. */
  close(): Promise<void>;
}
