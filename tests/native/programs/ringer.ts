/** A thread that rings somebody else's context as often as it is told, and says when it is done. */

import { ipcLibrary } from "../../../src/native/library.ts";
import type { Address } from "../../../src/native/symbols.ts";

declare const self: Worker;

self.onmessage = ({ data }: MessageEvent<{ address: Address; rings: number }>) => {
  const { calls } = ipcLibrary();
  for (let count = 0; count < data.rings; count++) calls.earshot_ipc_ring(data.address);
  self.postMessage("done");
};
