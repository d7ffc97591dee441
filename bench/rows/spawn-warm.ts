/** A program that warms up, and answers each line of its input: what one has without a zygote. */

import { answer, warm } from "./warm-state.ts";

warm();
for await (const line of console) process.stdout.write(`${answer(line)}\n`);
