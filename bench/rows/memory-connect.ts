/** The row `memory-connect`: a connection through shared memory is made, one message sent, and its answer awaited. */

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
  await server.listen(name, options);
  ready();
} else {
  let client = new ClientSocket();
  const trip = async (payload: Uint8Array) => {
    client = new ClientSocket();
    const answer = new Promise<Uint8Array>((resolve) => {
      client.onData = (bytes) => resolve(bytes.slice());
    });
    await client.connect(name, options);
    client.write(payload);
    return await answer;
  };
  await driveAsync(trip, () => client.close());
}
