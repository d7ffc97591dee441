/**
 * The rows `unix-sync-spin`, `unix-sync-sleep` and `connections-…`: round trips by a Context that
 * blocks. Options: how long it spins, in nanoseconds, or `default`; its poller, if it matters.
 */

import { basename, dirname } from "node:path";
import { Context, type ContextOptions, EventType } from "../../src/index.ts";
import { ready } from "./control.ts";
import { readRole } from "./role.ts";
import { driveBlocking } from "./round-trips.ts";

const role = readRole();
const [spin = "default", poller] = role.options;
const options: ContextOptions = { rundir: dirname(role.path) };
if (spin !== "default") options.spin = Number(spin);
if (poller === "poll" || poller === "epoll") options.poller = poller;
const name = basename(role.path);
const context = new Context(options);

/** Echoes until the last connection is gone. */
function serve(): void {
  let open = 0;
  for (const event of context) {
    if (event.type === EventType.MessageRx) {
      context.schedule(event.connection, event.message.bytes);
    } else if (event.type === EventType.Connection) {
      open += 1;
    } else if (event.type === EventType.Disconnection) {
      open -= 1;
      if (open === 0) return;
    }
  }
}

function drive(): void {
  const connection = context.connect(name);
  driveBlocking((payload) => {
    context.schedule(connection, payload);
    for (const event of context) {
      if (event.type === EventType.MessageRx) return event.message.bytes;
      if (event.type === EventType.Disconnection) break;
    }
    throw new Error("the server is gone");
  });
}

if (role.name === "serve") {
  context.serve(name);
  ready();
  serve();
} else {
  drive();
}
context.close();
