/** A module that can be warmed up once, which it knows by a file. */

import { closeSync, openSync } from "node:fs";
import type { Connection } from "../../../src/ipc/connection.ts";

const path = process.env["EARSHOT_TEST_ONCE"]!;

export function warm(): void {
  try {
    closeSync(openSync(path, "wx"));
  } catch {
    throw new Error("only once");
  }
}

export async function serve(connection: Connection): Promise<void> {
  for await (const _ of connection) connection.send(JSON.stringify({ parent: process.ppid }));
}
