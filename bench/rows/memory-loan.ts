/**
 * The row `memory-loan`: a message that is written where it is sent from and read where it lies, and a short answer. What
 * is timed is from its commit to the answer in hand; it is filled before that. The server answers with what it finds at
 * both ends, and then compares all of it and says so, while the next one is filled: so nobody waits in a timed trip for
 * what comes after the one before.
 */

import { basename, dirname } from "node:path";
import { ClientSocket, type ServerConnection, ServerSocket } from "../../src/memory/index.ts";
import { ready } from "./control.ts";
import { hashOf, Pattern, sumOfEnds } from "./pattern.ts";
import { readRole } from "./role.ts";
import { driveLoans } from "./round-trips.ts";

const role = readRole();
const name = basename(role.path);
/** Two of the longest fit, so that one can be filled while the other is compared. */
const options = {
  rundir: dirname(role.path),
  ring: 4 * 1024 * 1024,
  spin: Number(role.options[0]),
};
const compared = new Uint8Array(4);
const answer = new DataView(new ArrayBuffer(4));

function serve(socket: ServerConnection): void {
  let count = 0;
  let bytes = 0;
  for (let message = socket.read(); message; message = socket.read()) {
    answer.setUint32(0, sumOfEnds(message));
    socket.write(answer);
    // The payloads begin anew with each round, which the driver says by a message of one byte.
    if (message.length === 1) count = 0;
    else {
      if (message.length !== bytes) bytes = message.length;
      if (hashOf(message) !== Pattern.of(bytes).hash(count)) throw new Error("wrong message");
      count += 1;
      socket.write(compared);
    }
  }
}

if (role.name === "serve") {
  const server = new ServerSocket();
  const { promise, resolve } = Promise.withResolvers<ServerConnection>();
  server.onConnection = resolve;
  await server.listen(name, options);
  ready();
  serve(await promise);
  await server.close();
} else {
  const client = new ClientSocket();
  await client.connect(name, options);
  const read = () => {
    const found = client.read();
    if (!found) throw new Error("the server is gone");
    return new DataView(found.buffer, found.byteOffset).getUint32(0);
  };
  driveLoans({
    begin() {
      client.write(new Uint8Array(1));
      read();
    },
    fill(payload) {
      const room = client.reserve(payload.length);
      if (room === undefined) throw new Error("there is no room");
      room.set(payload);
    },
    trip() {
      client.commit();
      return read();
    },
    settle: read,
  });
  await client.close();
}
