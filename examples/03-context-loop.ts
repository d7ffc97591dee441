// The loop as LibIPC has it: one context, any number of descriptors, and a program that asks what happened next.

import { Context, EventType } from "earshot";

using context = new Context();
const service = context.serve("echo");
const client = context.connect("echo");
const timer = context.timer(5_000_000_000);
context.schedule(client, "hello");

for (const event of context) {
  if (event.type === EventType.Connection) {
    console.log(`a connection of user ${event.uid}`);
  } else if (event.type === EventType.MessageRx && event.service === service) {
    context.schedule(event.connection, event.message.bytes);
  } else if (event.type === EventType.MessageRx) {
    console.log(`the answer: ${event.message.text()}`);
    context.closeHandle(client);
  } else if (event.type === EventType.Disconnection && event.source === client) {
    console.log(`the end: ${event.reason}`);
    break;
  } else if (event.source === timer) {
    throw new Error("nothing came for five seconds");
  }
}
