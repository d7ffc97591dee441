/** pong: sends every message back. */

import { serve } from "../ipc/serve.ts";
import type { Startable } from "./startable.ts";

export const service: Startable = {
  summary: "sends every message back",
  handsOver: "connections",
  start: ({ name, options, reports }) =>
    serve(
      name,
      {
        ...reports,
        message(connection, message) {
          connection.send(message.bytes);
        },
      },
      options,
    ),
};
