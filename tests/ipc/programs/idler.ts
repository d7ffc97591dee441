/** A service without anything to do, that says how much time it takes for that. Run by `loop.test.ts`. */

import { connect, serve } from "../../../src/index.ts";
import { answer, settings } from "../../kit/answer.ts";

const { rundir } = settings<{ rundir: string }>();
const options = { rundir };
await serve(
  "pong",
  { message: (connection, message) => void connection.send(message.bytes) },
  options,
);
await connect("pong", options);

void answer({
  /** The share of one processor that `ms` of doing nothing have taken. */
  async idle(ms: number) {
    const before = process.cpuUsage();
    const since = performance.now();
    await Bun.sleep(ms);
    const { user, system } = process.cpuUsage(before);
    return (user + system) / 1000 / (performance.now() - since);
  },
}).then(() => process.exit(0));
