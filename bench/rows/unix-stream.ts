/** The row `unix-stream`: messages one way by two Contexts that block. */

import { basename, dirname } from "node:path";
import { Context, type Event, EventType } from "../../src/index.ts";
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

/** As fast as the peer makes room. */
function send(connection: number, outgoing: Outgoing): Uint8Array {
  while (!outgoing.over) {
    for (let index = 0; index < outgoing.batchMessages; index += 1) {
      if (context.schedule(connection, outgoing.take()) > 0) waitFor(EventType.Drain);
    }
  }
  context.schedule(connection, end);
  return waitFor(EventType.MessageRx).message.bytes;
}

function waitFor(type: EventType): Event {
  for (const event of context) {
    if (event.type === type) return event;
    if (event.type === EventType.Disconnection) break;
  }
  throw new Error("the receiver is gone");
}

if (role.name === "serve") {
  context.serve(name);
  ready();
  receive();
} else {
  const connection = context.connect(name, { queueBytesHigh: 0 });
  await driveOneWay((outgoing) => send(connection, outgoing));
}
context.close();
