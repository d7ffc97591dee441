/** The row `unix-stream`: messages one way by two Contexts that block. */

import { basename, dirname } from "node:path";
import { Context, EventType } from "../../src/index.ts";
import { ready } from "./control.ts";
import { driveOneWay, type Outgoing, Tally } from "./one-way.ts";
import { readRole } from "./role.ts";

const role = readRole();
const name = basename(role.path);
const context = new Context({ rundir: dirname(role.path) });
const end = new Uint8Array(0);

/** Each message is a view, touched where it lies. */
function receive(): void {
  const tally = new Tally();
  for (const event of context) {
    if (event.type === EventType.MessageRx) {
      const answer = tally.add(event.message.bytes);
      if (answer !== null) context.schedule(event.connection, answer);
    } else if (event.type === EventType.Disconnection) {
      return;
    }
  }
}

function send(fd: number, outgoing: Outgoing): Uint8Array {
  while (!outgoing.over) {
    for (let index = 0; index < outgoing.batchMessages; index += 1) {
      context.schedule(fd, outgoing.take());
    }
    context.wait(0);
  }
  context.schedule(fd, end);
  for (const event of context) {
    if (event.type === EventType.MessageRx) return event.message.bytes;
    if (event.type === EventType.Disconnection) break;
  }
  throw new Error("the receiver is gone");
}

if (role.name === "serve") {
  context.serve(name);
  ready();
  receive();
} else {
  const fd = context.connect(name);
  await driveOneWay((outgoing) => send(fd, outgoing));
}
context.close();
