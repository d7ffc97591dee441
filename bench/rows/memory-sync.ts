/**
 * The rows `memory-spin` and `memory-sleep`: round trips through shared memory by programs that block. Option: how long
 * they look for a message before they sleep, in nanoseconds; and `sealed`.
 */

import { basename, dirname } from "node:path";
import { ClientSocket, type ServerConnection, ServerSocket } from "../../src/memory/index.ts";
import { ready } from "./control.ts";
import { sealed } from "./keys.ts";
import { readRole } from "./role.ts";
import { driveBlocking } from "./round-trips.ts";

const role = readRole();
const name = basename(role.path);
const options = { rundir: dirname(role.path), spin: Number(role.options[0]) };
const isSealed = role.options[1] === "sealed";
if (role.name === "serve") {
  const server = new ServerSocket();
  const { promise, resolve } = Promise.withResolvers<ServerConnection>();
  server.onConnection = resolve;
  await server.listen(name, { ...options, ...(isSealed ? sealed.serve : {}) });
  ready();
  const socket = await promise;
  for (let message = socket.read(); message; message = socket.read()) socket.write(message);
  await server.close();
} else {
  const client = new ClientSocket();
  await client.connect(name, { ...options, ...(isSealed ? sealed.drive : {}) });
  driveBlocking((payload) => {
    client.write(payload);
    const answer = client.read();
    if (!answer) throw new Error("the server is gone");
    return answer;
  });
  await client.close();
}
