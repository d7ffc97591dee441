// A sender faster than its reader: `send` says when to wait, so that neither side's memory grows.

import { connect, serve } from "earshot";

const chunk = new Uint8Array(64 * 1024);
const queueBytesHigh = 256 * 1024;

const sink = await serve("sink", {
  // Without a `message` handler messages are read one by one, and what is not read makes the sender wait.
  async open(connection) {
    let bytes = 0;
    for await (const message of connection) bytes += message.length;
    console.log(`received ${bytes} bytes`);
    await sink.close();
  },
});

const client = await connect("sink", { queueBytesHigh });
let waits = 0;
for (let sent = 0; sent < 300; sent++) {
  const goOn = client.send(chunk);
  if (client.queuedBytes > queueBytesHigh + 2 * chunk.length) throw new Error("this grows");
  if (goOn) continue;
  waits += 1;
  await client.drained();
}
await client.close();
console.log(waits > 0 ? "the sender had to wait" : "the reader kept up");
