/** The row `memory-stream`: messages one way through shared memory, by handlers in Bun's loop. Option: `sealed`. */

import { basename, dirname } from "node:path";
import { ClientSocket, ServerSocket } from "../../src/memory/index.ts";
import { ready } from "./control.ts";
import { sealed } from "./keys.ts";
import { driveOneWay, type Outgoing, Tally } from "./one-way.ts";
import { readRole } from "./role.ts";

const role = readRole();
const name = basename(role.path);
const options = { rundir: dirname(role.path) };
const isSealed = role.options[0] === "sealed";
const end = new Uint8Array(0);

if (role.name === "serve") {
  const server = new ServerSocket();
  const tally = new Tally();
  // Each message is a view, touched where it lies.
  server.onData = (socket, bytes) => {
    const answer = tally.add(bytes);
    if (answer !== null) socket.write(answer);
  };
  server.onClose = () => server.close();
  await server.listen(name, { ...options, ...(isSealed ? sealed.serve : {}) });
  ready();
} else {
  const client = new ClientSocket();
  let answered: (answer: Uint8Array) => void = () => undefined;
  let drained: () => void = () => undefined;
  client.onData = (bytes) => answered(bytes.slice());
  client.onDrain = () => drained();
  await client.connect(name, { ...options, ...(isSealed ? sealed.drive : {}) });

  /** As many as there is room for. */
  const batch = (outgoing: Outgoing, left: Uint8Array | undefined): Uint8Array | undefined => {
    let next = left ?? outgoing.take();
    for (let index = 1; index < outgoing.batchMessages; index += 1) {
      if (!client.write(next)) return next;
      next = outgoing.take();
    }
    return client.write(next) ? undefined : next;
  };
  const room = () => {
    return new Promise<void>((resolve) => {
      drained = resolve;
    });
  };
  const put = async (bytes: Uint8Array) => {
    while (!client.write(bytes)) await room();
  };
  await driveOneWay(async (outgoing) => {
    const answer = new Promise<Uint8Array>((resolve) => {
      answered = resolve;
    });
    let left: Uint8Array | undefined;
    while (!outgoing.over) {
      left = client.cork(() => batch(outgoing, left));
      if (left !== undefined) await room();
    }
    if (left !== undefined) await put(left);
    await put(end);
    return await answer;
  });
  await client.close();
}
