/**
 * The peers `bun-serve-…`: a Bun.serve that answers by itself with what it was sent, over WebSockets
 * or HTTP. Options: `websocket` or `http`, and the port.
 */

import { ready } from "./control.ts";
import { readRole } from "./role.ts";

const hostname = "127.0.0.1";

const [kind, port] = readRole().options;
if (kind === "websocket") {
  Bun.serve({
    hostname,
    port: Number(port),
    fetch: (request, server) => (server.upgrade(request) ? undefined : new Response("no")),
    websocket: { message: (socket, message) => void socket.send(message) },
  });
} else {
  Bun.serve({
    hostname,
    port: Number(port),
    fetch: async (request) => new Response(await request.bytes()),
  });
}
ready();
