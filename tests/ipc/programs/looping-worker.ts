/** A worker that answers what comes by a descriptor. Made by `two-loops.ts`. */

import { connect } from "../../../src/index.ts";
import { Descriptor } from "../../../src/ipc/descriptor.ts";
import { loop } from "../../../src/ipc/loop.ts";

declare const self: Worker;

self.onmessage = async ({ data: number }: MessageEvent<number>) => {
  const link = await connect("first", { descriptor: new Descriptor(number) });
  postMessage(loop().context.hasThread);
  let count = 0;
  for await (const message of link) {
    count += 1;
    link.send(message.bytes);
  }
  postMessage(count);
};
