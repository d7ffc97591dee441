// A service that goes and comes back: the client finds it again, and says what was lost.

import { connect, serve } from "earshot";

const echo = () =>
  serve("echo", { message: (connection, message) => void connection.send(message.bytes) });

const first = await echo();
const gone = Promise.withResolvers<void>();
const client = await connect("echo", {
  reconnect: { first: 5, most: 100 },
  disconnected(_, { reason }) {
    console.log(`the service is gone: ${reason}`);
    gone.resolve();
  },
  reconnected: (_, lost) => console.log(`it is back; ${lost.messages} messages were lost`),
});
console.log((await client.request("before")).text());

await first.close();
await gone.promise;
const answer = client.request("kept until it is back");
const second = await echo();
console.log((await answer).text());

await client.close();
await second.close();
