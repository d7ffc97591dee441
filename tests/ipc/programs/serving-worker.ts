/** A worker that serves "mortal" until it ends, in the way that it is told first. Run by `worker-owner.ts`. */

import { Context, EventType, serve } from "../../../src/index.ts";

declare const self: Worker;

async function start(how: string, rundir: string): Promise<void> {
  if (how !== "events") {
    await serve(
      "mortal",
      { message: (connection, message) => void connection.send(message.bytes) },
      { rundir },
    );
    self.onmessage = () => process.exit(0);
    self.postMessage("up");
    return;
  }
  const context = new Context({ rundir });
  context.serve("mortal");
  self.postMessage("up");
  for await (const event of context.events()) {
    if (event.type === EventType.MessageRx) {
      context.schedule(event.connection, event.message.bytes);
    }
  }
}

self.onmessage = ({ data }: MessageEvent<{ how: string; rundir: string }>) =>
  void start(data.how, data.rundir);
