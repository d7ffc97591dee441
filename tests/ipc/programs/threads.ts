/** Two threads that each serve a name and ask the other, at once. Run by `loop.test.ts`. */

import { once } from "node:events";
import { Worker } from "node:worker_threads";

const rundir = process.argv[2]!;
const names = ["left", "right"];

const workers = names.map((own, index) => {
  const workerData = { rundir, own, other: names[1 - index] };
  return new Worker(new URL("thread.ts", import.meta.url), { workerData });
});
const say = (text: string) => {
  for (const worker of workers) worker.postMessage(text);
};
const all = async () =>
  (await Promise.all(workers.map((worker) => once(worker, "message")))).map(([text]) => text);

await all();
say("ask");
for (const text of await all()) console.log(text);
say("close");
await Promise.all(workers.map((worker) => once(worker, "exit")));
