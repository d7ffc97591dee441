/**
 * The peers `bun-listen` and `bun-listen-paused`: framed round trips by Bun.listen and Bun.connect. Option: how many
 * milliseconds pass between two trips.
 */

import { connect, listen } from "./bun-frames.ts";
import { ready } from "./control.ts";
import { readRole } from "./role.ts";
import { driveAsync, pause } from "./round-trips.ts";

const role = readRole();
if (role.name === "serve") {
  listen(role.path, (payload, frames) => frames.send(payload));
  ready();
} else {
  let answered: (payload: Uint8Array) => void = () => undefined;
  const frames = await connect(role.path, (payload) => answered(payload));
  await driveAsync((payload) => {
    return new Promise((resolve) => {
      answered = resolve;
      frames.send(payload);
    });
  }, pause(role.options[0]));
  process.exit(0); // the open socket would keep it
}
