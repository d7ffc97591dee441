/** A service that says who comes, until it is killed. Run by `reconnect.test.ts`. */

import { writeSync } from "node:fs";
import { serve } from "../../../src/index.ts";

const [, , rundir, transport] = process.argv;
const memory = transport === "memory";
await serve("pong", { open: () => void writeSync(1, "accepted\n") }, { rundir, memory });
writeSync(1, "listening\n");
