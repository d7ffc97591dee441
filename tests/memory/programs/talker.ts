/** A client with a real socket, in a process of its own: what it is asked to write, and what it has heard. */

import { ClientSocket } from "../../../src/memory/index.ts";
import { answer, settings } from "../../kit/answer.ts";

const { rundir, ring } = settings<{ rundir: string; ring?: number }>();
const client = new ClientSocket();
let heard = 0;
let ended: string | undefined;
let drains = 0;
client.onData = () => {
  heard += 1;
};
client.onDrain = () => {
  drains += 1;
};
client.onClose = ({ reason }) => {
  ended = reason;
};
await client.connect("pong", { rundir, ring });

await answer({
  progress: () => ({ heard, drains, ended: ended ?? null, usage: process.resourceUsage() }),
  /** Returns how many were taken. */
  write: ({ bytes, count }: { bytes: number; count: number }) => {
    const message = new Uint8Array(bytes);
    let taken = 0;
    while (taken < count && client.write(message)) taken += 1;
    return taken;
  },
  close: () => client.close(),
});
await client.close();
