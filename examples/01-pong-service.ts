// A service: whoever asks for "pong" gets back what they sent. Start it, and 02-pong-client.ts in a second terminal.

import { serve } from "earshot";

const pong = await serve("pong", {
  message(connection, message) {
    connection.send(message.bytes);
  },
  open: ({ peer }) => console.log(`process ${peer.pid} of user ${peer.uid} is here`),
  close: (_, { reason }) => console.log(`it has gone: ${reason}`),
});
console.log(`pong: listening on ${pong.path}`);

// Closing removes the socket and lets the program end.
process.once("SIGINT", () => void pong.close());
process.once("SIGTERM", () => void pong.close());
