/** A client that streams to a service for ever, however often that goes away. */

import { connect } from "../../../src/index.ts";
import { answer, settings } from "../../kit/answer.ts";
import { pattern } from "../../kit/random.ts";
import { until } from "../../kit/until.ts";
import { signalsAsInC } from "./signals.ts";

signalsAsInC();
const { rundir } = settings<{ rundir: string }>();
let answers = 0;
let going = true;

async function stream(): Promise<void> {
  await until("somebody serves", async () => {
    try {
      await connect("pong", { rundir }).then((client) => client.close());
      return true;
    } catch {
      return false;
    }
  });
  const message = () => {
    answers += 1;
  };
  const client = await connect("pong", { rundir, message, reconnect: { most: 10 } });
  while (going) {
    // False now and then: what is too much waits until it is there again.
    for (let count = 0; count < 100 && client.send(pattern(1000)); count++);
    await Bun.sleep(1);
  }
  await client.close({ now: true });
}

const streaming = stream();
await answer({ answers: () => answers });
going = false;
await streaming;
