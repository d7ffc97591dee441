/** A client that is closed while it is to look for its service in a long time. Run by `reconnect.test.ts`. */

import { connect, serve } from "../../../src/index.ts";

const rundir = process.argv[2]!;
const service = await serve("pong", {}, { rundir });
const gone = Promise.withResolvers<void>();
const client = await connect("pong", {
  rundir,
  reconnect: { first: 1_000_000, most: 1_000_000 },
  disconnected: () => gone.resolve(),
});
await service.close();
await gone.promise;
await client.close();
console.log("closed");
