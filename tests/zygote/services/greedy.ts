/** Takes all descriptors there are before it first sleeps, and answers what it is asked. */

import { openSync } from "node:fs";
import type { Connection } from "../../../src/index.ts";

export async function serve(connection: Connection): Promise<void> {
  try {
    while (true) openSync("/dev/null", "r");
  } catch {
    // There are no more.
  }
  for await (const message of connection) connection.send(message.bytes);
}
