/** A service whose handlers throw, with nobody to tell of it, and what came of that. Run by `serve.test.ts`. */

import type { Connection } from "../../../src/index.ts";
import { serve } from "../../../src/index.ts";
import { answer, settings } from "../../kit/answer.ts";
import { served, type Transport } from "../../kit/over.ts";

const { rundir, transport, dies } = settings<{
  rundir: string;
  transport: Transport;
  dies?: boolean;
}>();
const offer = served(transport);
const uncaught: string[] = [];
if (dies !== true) {
  process.on("uncaughtException", (error: Error) => uncaught.push(error.message));
  process.on("unhandledRejection", () => uncaught.push("an unhandled rejection"));
}

const rules: Record<string, (connection: Connection) => void | Promise<void>> = {
  throw: () => {
    throw new Error("thrown");
  },
  reject: async () => {
    await Promise.resolve();
    throw new Error("rejected");
  },
};

const { path } = await serve(
  "thrower",
  {
    message(connection, message) {
      const rule = rules[message.text()];
      if (rule === undefined) connection.send(message.bytes);
      return rule?.(connection);
    },
    trouble() {
      throw new Error("in trouble");
    },
  },
  { rundir, ...offer, connectionsMax: 2 },
);

await serve(
  "helpless",
  {
    message() {
      throw new Error("the first");
    },
    error(connection, error) {
      connection.send("told");
      throw new Error(`the second, after ${(error as Error).message}`);
    },
  },
  { rundir, ...offer },
);

await serve(
  "slowly-helpless",
  {
    message() {
      throw new Error("the first");
    },
    async error(connection) {
      connection.send("told");
      await Promise.resolve();
      throw new Error("the second, later");
    },
  },
  { rundir, ...offer },
);

void answer({ path: () => path, uncaught: () => uncaught }).then(() => process.exit(0));
