/**
 * The peer `bun-spawn-ipc`: round trips over Bun's own channel to a child process. The driver
 * starts the server, by the command it is given as options.
 */

import { readRole } from "./role.ts";
import { driveAsync } from "./round-trips.ts";

const role = readRole();
if (role.name === "serve") {
  process.on("message", (payload) => process.send?.(payload));
  process.on("disconnect", () => process.exit(0));
  process.send?.("ready");
} else {
  let answered: (message: unknown) => void = () => undefined;
  const started = new Promise<unknown>((resolve) => {
    answered = resolve;
  });
  const child = Bun.spawn(role.options, {
    stdin: "ignore",
    stdout: "inherit",
    stderr: "inherit",
    ipc: (message) => answered(message),
  });
  if ((await started) !== "ready") throw new Error("the child did not begin");
  await driveAsync((payload) => {
    return new Promise((resolve) => {
      answered = (message) => resolve(message as Uint8Array);
      child.send(payload);
    });
  });
  child.kill();
  await child.exited;
}
