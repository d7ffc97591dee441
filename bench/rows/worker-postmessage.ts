/** The peer `worker-postmessage`: round trips between a thread and a Worker of one process, each message a copy. */

import { isMainThread } from "node:worker_threads";
import { driveAsync } from "./round-trips.ts";

/** What a Worker sees of itself. */
declare const self: Worker;

if (isMainThread) {
  const worker = new Worker(import.meta.path);
  let answered: (payload: Uint8Array) => void = () => undefined;
  worker.onmessage = ({ data }: MessageEvent<Uint8Array>) => answered(data);
  await driveAsync((payload) => {
    return new Promise((resolve) => {
      answered = resolve;
      worker.postMessage(payload);
    });
  });
  worker.terminate();
} else {
  self.onmessage = ({ data }: MessageEvent<Uint8Array>) => {
    const ends = data[0]! + data[data.length - 1]!;
    if (Number.isNaN(ends)) throw new Error("there is nothing in it");
    self.postMessage(data);
  };
}
