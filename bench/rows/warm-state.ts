/** What a service has in memory when it is warm: some 60 MB, which took it 200 ms. Cloned, and by `spawn-warm` started anew. */

import type { Connection } from "../../src/ipc/connection.ts";

const entries = 120_000;
const blobs = 20;
const blobBytes = 1024 * 1024;
const milliseconds = 200;

const state = new Map<string, { id: number; tags: string[] }>();
const kept: Uint8Array[] = [];

export function warm(): void {
  const begin = performance.now();
  for (let id = 0; id < entries; id += 1)
    state.set(`key ${id}`, { id, tags: [`a${id % 7}`, `b${id}`] });
  for (let index = 0; index < blobs; index += 1) kept.push(new Uint8Array(blobBytes).fill(index));
  let sum = 0;
  while (performance.now() - begin < milliseconds) sum += Math.sqrt(sum + 1);
}

export function answer(key: string): string {
  return String(state.get(key)?.id);
}

export async function rehearse(connection: Connection): Promise<void> {
  await connection.request("key 1");
}

export async function serve(connection: Connection): Promise<void> {
  for await (const message of connection) connection.send(answer(message.text()));
}
