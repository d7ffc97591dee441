/** Drives `…-rtt` rows over WebSockets: round trips by Bun's own client. Option: the port. */

import { attempt } from "./attempt.ts";
import { readRole } from "./role.ts";
import { driveAsync } from "./round-trips.ts";

let answered: (payload: Uint8Array) => void = () => undefined;

function open(): Promise<WebSocket> {
  const opened = Promise.withResolvers<WebSocket>();
  const socket = new WebSocket(`ws://127.0.0.1:${readRole().options[0]}/pong`);
  socket.binaryType = "arraybuffer";
  socket.onopen = () => opened.resolve(socket);
  socket.onerror = () => opened.reject(new Error("no WebSocket there"));
  socket.onmessage = ({ data }) => answered(new Uint8Array(data as ArrayBuffer));
  return opened.promise;
}

const socket = await attempt(open);
socket.onclose = () => process.exit(1);
await driveAsync((payload) => {
  return new Promise((resolve) => {
    answered = resolve;
    socket.send(payload);
  });
});
process.exit(0); // the open socket would keep it
