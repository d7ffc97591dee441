/**
 * The rows `unix-async`, `memory-serve` and `unix-async-paused`: round trips by serve() and connect(). Options: the transport,
 * and how many milliseconds pass between two trips.
 */

import { basename, dirname } from "node:path";
import { connect, serve } from "../../src/index.ts";
import { ready } from "./control.ts";
import { readRole } from "./role.ts";
import { driveAsync, pause } from "./round-trips.ts";

const role = readRole();
const name = basename(role.path);
const options = { rundir: dirname(role.path) };
const [transport, milliseconds] = role.options;
const memory = transport === "memory";
if (role.name === "serve") {
  const service = await serve(
    name,
    {
      message: (connection, message) => {
        connection.send(message.bytes);
      },
      close: () => service.close(),
    },
    { ...options, memory },
  );
  ready();
} else {
  const client = await connect(name, { ...options, transport: memory ? "memory" : "unix" });
  await driveAsync(async (payload) => {
    const answer = await client.request(payload);
    return answer.bytes;
  }, pause(milliseconds));
  await client.close();
}
