/** The peer `node-net`: framed round trips by `node:net`, run by Bun. */

import { connect, createServer, type Socket } from "node:net";
import { ready } from "./control.ts";
import { FrameCutter, FrameWriter } from "./frames.ts";
import { readRole } from "./role.ts";
import { driveAsync } from "./round-trips.ts";

function carry(socket: Socket, received: (payload: Uint8Array) => void): (p: Uint8Array) => void {
  const cutter = new FrameCutter(received);
  const writer = new FrameWriter();
  socket.on("data", (chunk: Buffer) => cutter.push(chunk));
  socket.on("close", () => process.exit(0));
  return (payload) => {
    socket.write(writer.frame(payload));
  };
}

const role = readRole();
if (role.name === "serve") {
  const server = createServer((socket) => {
    const send = carry(socket, (payload) => send(payload));
  });
  server.listen(role.path, ready);
} else {
  let answered: (payload: Uint8Array) => void = () => undefined;
  const socket = connect(role.path);
  await new Promise<void>((resolve) => socket.once("connect", resolve));
  const send = carry(socket, (payload) => answered(payload));
  await driveAsync((payload) => {
    return new Promise((resolve) => {
      answered = resolve;
      send(payload);
    });
  });
  process.exit(0); // the open socket would keep it
}
