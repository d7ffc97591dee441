/** Two threads that have a loop each, and talk to each other. Run by `bell.test.ts`. */

import { connect } from "../../../src/index.ts";
import { loop } from "../../../src/ipc/loop.ts";
import { answer } from "../../kit/answer.ts";

await answer({
  async play(rounds: number) {
    const worker = new Worker(new URL("looping-worker.ts", import.meta.url).href);
    const said = <Value>() =>
      new Promise<Value>((resolve) => {
        worker.onmessage = ({ data }) => resolve(data);
      });
    const descriptors = loop().context.pair();
    const [own, other] = descriptors;
    const ready = said<boolean>();
    worker.postMessage(other.take());
    const client = await connect("worker", { descriptor: own });
    const isWorker = await ready;
    let first = 0;
    for (; first < rounds; first += 1) {
      // Both sleep before each, as a rule.
      await Bun.sleep(first % 10 === 0 ? 1 : 0);
      await client.request("ball");
    }
    const done = said<number>();
    await client.close();
    const result = { first, worker: await done, isFirst: loop().context.hasThread, isWorker };
    worker.terminate();
    return result;
  },
});
