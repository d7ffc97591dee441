/** The peer `zeromq-node`: request and reply by ZeroMQ, run by Node, since Bun cannot load it. */

import { ready } from "./control.ts";
import { readRole } from "./role.ts";
import { driveAsync } from "./round-trips.ts";

/** What is used of the package, which need not be installed for this file to be checked. */
interface ZeroMQ {
  Request: new () => Asker;
  Reply: new () => Answerer;
}

interface Talker {
  send(payload: Uint8Array): Promise<void>;
  receive(): Promise<[Uint8Array]>;
}

interface Asker extends Talker {
  connect(address: string): void;
}

interface Answerer extends Talker {
  bind(address: string): Promise<void>;
}

const name: string = "zeromq";
const zeromq = (await import(name)) as ZeroMQ;

const role = readRole();
const address = `ipc://${role.path}`;
if (role.name === "serve") {
  const answerer = new zeromq.Reply();
  await answerer.bind(address);
  ready();
  for (;;) {
    const [payload] = await answerer.receive();
    await answerer.send(payload);
  }
}
const asker = new zeromq.Request();
asker.connect(address);
await driveAsync(async (payload) => {
  await asker.send(payload);
  const [answer] = await asker.receive();
  return answer;
});
process.exit(0);
