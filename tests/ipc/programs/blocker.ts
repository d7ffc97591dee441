/** A service on the bare loop, which blocks. Run by `loop.test.ts`. */

import { Context, EventType } from "../../../src/index.ts";

using context = new Context({ rundir: process.argv[2]! });
context.serve("blocked");
console.log("listening");
for (const event of context) {
  if (event.type !== EventType.MessageRx) continue;
  if (event.message.text() === "stop") break;
  context.schedule(event.connection, event.message.bytes);
}
