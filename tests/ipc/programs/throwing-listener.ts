/** Two listeners hear of one batch, and the first of them throws. */

import { loop } from "../../../src/ipc/loop.ts";

process.on("uncaughtException", (error) => console.log(error.message));

const shared = loop();
const [one, other] = [shared.context.timer(0), shared.context.timer(0)];
const onSent = () => undefined;
shared.add(one, {
  onEvent() {
    shared.remove(one);
    throw new Error("one");
  },
  onSent,
});
shared.add(other, {
  onEvent() {
    shared.remove(other);
    console.log("other");
  },
  onSent,
});
