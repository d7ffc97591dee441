/** A service that says who comes, until it is killed. Run by `reconnect.test.ts`. */

import { writeSync } from "node:fs";
import { serve } from "../../../src/index.ts";
import { served, type Transport } from "../../kit/over.ts";

const [, , rundir, transport] = process.argv;
const offer = served(transport as Transport);
await serve("pong", { open: () => void writeSync(1, "accepted\n") }, { rundir, ...offer });
writeSync(1, "listening\n");
