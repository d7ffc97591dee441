/** hello: answers each message with its words. */

import { serve } from "../ipc/serve.ts";
import type { Startable } from "./startable.ts";

export const service: Startable = {
  summary: 'answers: You said "…"',
  handsOver: "connections",
  start: ({ name, options, reports }) =>
    serve(
      name,
      {
        ...reports,
        message(connection, message) {
          connection.send(`You said "${message.text()}"`);
        },
      },
      options,
    ),
};
