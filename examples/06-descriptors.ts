// An open file goes along with a message: who gets it reads what its own user may not even see.

import { closeSync, openSync, readFileSync } from "node:fs";
import { connect, serve } from "earshot";

const counter = await serve(
  "counter",
  {
    message(connection, message) {
      using file = message.descriptors[0]!;
      const lines = readFileSync(file.number, "utf8").trimEnd().split("\n");
      connection.send(`${message.text()}: ${lines.length} lines`);
    },
  },
  // Without this, whoever sends a descriptor is dropped.
  { descriptors: { max: 1 } },
);

const client = await connect("counter");
const descriptor = openSync(import.meta.path, "r");
const answer = client.request("this program", { descriptors: [descriptor] });
// It stays the sender's, and may be closed at once.
closeSync(descriptor);
console.log((await answer).text());

await client.close();
await counter.close();
