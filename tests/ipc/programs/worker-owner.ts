/** Ends a worker that serves, while a client of this thread talks to it. Run by `worker.test.ts`. */

import { connect, IpcError, serve } from "../../../src/index.ts";
import { answer, settings } from "../../kit/answer.ts";
import { until } from "../../kit/until.ts";

const { rundir } = settings<{ rundir: string }>();

await answer({
  async outlive(how: string) {
    const worker = new Worker(new URL("serving-worker.ts", import.meta.url).href);
    worker.postMessage({ how, rundir });
    await new Promise((resolve) => {
      worker.onmessage = resolve;
    });
    const client = await connect("mortal", { rundir });
    await client.request("are you there");
    if (how === "exit") worker.postMessage("go");
    else worker.terminate();
    const { reason } = await client.ended;
    let service: Awaited<ReturnType<typeof serve>> | undefined;
    await until("the name is free", async () => {
      try {
        const message = (c: typeof client, m: { bytes: Uint8Array }) => void c.send(m.bytes);
        service = await serve("mortal", { message }, { rundir });
        return true;
      } catch (error) {
        if (error instanceof IpcError && error.code === "EADDRINUSE") return false;
        throw error;
      }
    });
    const second = await connect("mortal", { rundir });
    const again = (await second.request("hello")).text();
    await second.close();
    await service?.close();
    return { told: reason, again };
  },
});
