/** Sends every message back. */

import { play } from "./subject.ts";

await play({
  message(connection, { bytes }) {
    connection.send(bytes);
  },
});
