/** Counts how often it was spoken to, and how often that was a rehearsal. */

import type { Connection } from "../../../src/index.ts";
import type { CloneStart } from "../../../src/zygote/index.ts";

let rehearsed = 0;
let served = 0;

export async function rehearse(connection: Connection): Promise<void> {
  rehearsed += 1;
  await connection.request("how often?");
}

export async function serve(
  connection: Connection,
  { arguments: given }: CloneStart,
): Promise<void> {
  for await (const _ of connection) {
    served += 1;
    connection.send(JSON.stringify({ rehearsed, served, given }));
  }
}
