/** Can be rehearsed where it was warmed up, and nowhere else. */

import type { Connection } from "../../../src/index.ts";

let at = 0;

export function warm(): void {
  at = process.pid;
}

export async function rehearse(connection: Connection): Promise<void> {
  if (process.pid !== at) throw new Error("not here");
  await connection.request("hello");
}

export async function serve(connection: Connection): Promise<void> {
  for await (const message of connection) connection.send(message.bytes);
}
