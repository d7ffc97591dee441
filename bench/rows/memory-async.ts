/** The row `memory-async`: round trips through shared memory by handlers in Bun's loop, with default options. */

import { basename, dirname } from "node:path";
import { ClientSocket, ServerSocket } from "../../src/memory/index.ts";
import { ready } from "./control.ts";
import { readRole } from "./role.ts";
import { driveAsync } from "./round-trips.ts";

const role = readRole();
const name = basename(role.path);
const options = { rundir: dirname(role.path) };
if (role.name === "serve") {
  const server = new ServerSocket();
  server.onData = (socket, bytes) => {
    socket.write(bytes);
  };
  server.onClose = () => server.close();
  await server.listen(name, options);
  ready();
} else {
  const client = new ClientSocket();
  let answered: (payload: Uint8Array) => void = () => undefined;
  // The answer is looked at when the promise of it has been awaited, and the view is good no more by then.
  let answer = new Uint8Array();
  client.onData = (bytes) => {
    if (answer.length !== bytes.length) answer = new Uint8Array(bytes.length);
    answer.set(bytes);
    answered(answer);
  };
  await client.connect(name, options);
  await driveAsync((payload) => {
    return new Promise((resolve) => {
      answered = resolve;
      client.write(payload);
    });
  });
  await client.close();
}
