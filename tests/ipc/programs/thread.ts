/** One of the two of `threads.ts`. */

import { once } from "node:events";
import { parentPort, workerData } from "node:worker_threads";
import { connect, serve } from "../../../src/index.ts";

const { rundir, own, other } = workerData as { rundir: string; own: string; other: string };
const port = parentPort!;

const service = await serve(
  own,
  { message: (connection, message) => void connection.send(`${own} heard ${message.text()}`) },
  { rundir },
);
port.postMessage("serving");
await once(port, "message");

const client = await connect(other, { rundir });
let answers = 0;
for (let turn = 0; turn < 500; turn++) {
  const answer = (await client.request(`${turn}`)).text();
  if (answer === `${other} heard ${turn}`) answers += 1;
}
const close = once(port, "message");
port.postMessage(`${own}: ${answers} answers`);
await close;
await client.close();
await service.close();
port.close();
