/** Well-behaved clients that talk to a service all the while, one question after the other, and check every answer. */

import { connect } from "../../../src/index.ts";
import { answer, settings } from "../../kit/answer.ts";
import { reached, type Transport } from "../../kit/over.ts";
import { Random } from "../../kit/random.ts";

export type BystandersSettings = {
  rundir: string;
  count: number;
  bytesMax: number;
  transport: Transport;
};

const { rundir, count, bytesMax, transport } = settings<BystandersSettings>();
const answers: number[] = [];
const troubles: string[] = [];
let going = true;

async function bystand(number: number): Promise<void> {
  const random = new Random(number);
  const client = await connect("pong", { rundir, seal: reached(transport).seal });
  while (going) {
    const question = random.bytes(random.below(bytesMax + 1));
    const { bytes } = await client.request(question);
    if (!Buffer.from(bytes).equals(question)) throw new Error(`answer ${answers[number]} is wrong`);
    answers[number]! += 1;
    // They are not here to take the processor from those who are tested.
    await Bun.sleep(1);
  }
  await client.close();
}

const all = Array.from({ length: count }, (_, number) => {
  answers.push(0);
  return bystand(number).catch((error: unknown) => {
    troubles.push(`bystander ${number}: ${error}`);
  });
});

await answer({
  progress: () => ({ answers, troubles }),
  leave: async () => {
    going = false;
    await Promise.all(all);
    return { answers, troubles };
  },
});
