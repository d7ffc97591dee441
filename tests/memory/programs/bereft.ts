/** A sealed client that has no descriptor left when it wants to pass a message, and goes on when it has some again. */

import { closeSync, openSync } from "node:fs";
import { ClientSocket, KeyPair } from "../../../src/memory/index.ts";
import { answer, settings } from "../../kit/answer.ts";

const { rundir, secret, server } = settings<{ rundir: string; secret: string; server: string }>();
const client = new ClientSocket();
const keys = new KeyPair(Uint8Array.fromBase64(secret));
await client.connect("pong", { rundir, keys, peer: server });

function allThereAre(): number[] {
  const files: number[] = [];
  try {
    for (;;) files.push(openSync("/dev/null", "r"));
  } catch {
    return files;
  }
}

await answer({
  /** Returns what passing a message without a descriptor comes to, and how the connection ends. */
  pass: async () => {
    const files = allThereAre();
    let thrown: string | undefined;
    try {
      client.write(new Uint8Array(2 ** 20));
    } catch (error) {
      thrown = (error as { code?: string }).code;
    } finally {
      for (const file of files) closeSync(file);
    }
    if (client.open) client.write("the next");
    return { thrown, reason: (await client.ended).reason };
  },
});
await client.close();
