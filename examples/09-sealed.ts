// Both ends know each other's public key, and seal what they send: whatever carries it sees nothing, and a stranger is
// turned away. In earnest each end has its own keys in a file (`keys save FILE`, `loadKeys`).

import { connect, IpcError, serve } from "earshot";
import { keyPair } from "earshot/crypto";

const ofService = keyPair();
const ofClient = keyPair();

const pong = await serve(
  "pong",
  {
    message: (connection, message) => void connection.send(message.bytes),
    trouble: (_, { reason }) => console.log(`the service turned somebody away: ${reason}`),
  },
  { seal: { keys: ofService, allow: [ofClient.publicKey] } },
);

const client = await connect("pong", { seal: { keys: ofClient, peer: ofService.publicKey } });
console.log(`the answer: ${(await client.request("hello")).text()}`);
await client.close();

try {
  await connect("pong", { seal: { keys: keyPair(), peer: ofService.publicKey } });
} catch (error) {
  if (!(error instanceof IpcError)) throw error;
  console.log(`a stranger: ${error.code}`);
}
await pong.close();
