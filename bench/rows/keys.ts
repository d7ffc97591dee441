/** What a row that is sealed gives both of its ends: keys that everybody knows, since nothing here is a secret. */

import { KeyPair } from "../../src/memory/index.ts";

const server = new KeyPair(new Uint8Array(32).fill(1));
const client = new KeyPair(new Uint8Array(32).fill(2));

export const sealed = {
  serve: { keys: server, allow: [client.publicKey] },
  drive: { keys: client, peer: server.publicKey },
} as const;
