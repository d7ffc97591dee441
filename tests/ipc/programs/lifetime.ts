/** Nothing but a service or a connection to live for. Run by `loop.test.ts`. */

import type { Connection, Message } from "../../../src/index.ts";
import { connect, serve } from "../../../src/index.ts";

const [rundir, what] = process.argv.slice(2);
const options = { rundir };

if (what === "service") {
  const service = await serve(
    "brief",
    {
      async message(connection, message) {
        if (message.text() !== "close") connection.send(message.bytes);
        else {
          await service.close();
          console.log("closed");
        }
      },
    },
    options,
  );
} else {
  await connect("host", {
    ...options,
    message: (connection: Connection, message: Message) => void connection.send(message.bytes),
    close: () => console.log("closed"),
  });
}
console.log("open");
