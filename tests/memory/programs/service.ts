/** A service that is reached through memory, in a process of its own. */

import type { End } from "../../../src/index.ts";
import type { Allow } from "../../../src/ipc/context-options.ts";
import {
  type ServerConnection,
  type ServerOptions,
  ServerSocket,
} from "../../../src/memory/index.ts";
import { answer, settings } from "../../kit/answer.ts";
import { descriptors, mappedBytes } from "../../kit/census.ts";
import { mapsOf } from "../../kit/maps.ts";

export type ServiceSettings = {
  rundir: string;
  /** What it does with messages: sends them back, counts them, sends them back when `resume` is asked, or none of it. */
  role: "echo" | "count" | "silent" | "sync-echo";
  options?: Pick<ServerOptions, "ring" | "messageBytesMax" | "helloTimeout" | "connectionsMax"> & {
    users?: Allow;
    shared?: boolean;
  };
  /** Written to each client at once; with `leave` it is closed right after. */
  greetings?: string[];
  leave?: boolean;
  /** Does not want to know of errors. */
  deaf?: boolean;
};

const given = settings<ServiceSettings>();
const { rundir, role, options = {}, greetings = [], leave = false, deaf = false } = given;
const server = new ServerSocket();
const ended: End[] = [];
const errors: string[] = [];
let connections = 0;
let messages = 0;
let bytes = 0;
let sum = 0;
let drains = 0;
let view: Uint8Array | undefined;
const waiting = new Map<ServerConnection, Uint8Array>();

server.onConnection = (socket) => {
  connections += 1;
  for (const text of greetings) socket.write(text);
  if (leave) void socket.close();
};
if (role !== "silent" && role !== "sync-echo") {
  server.onData = (socket, message) => {
    messages += 1;
    bytes += message.length;
    for (const byte of message.length > 64 ? message.subarray(0, 64) : message) {
      sum = (Math.imul(sum, 31) + byte) | 0;
    }
    if (role === "count" || socket.write(message)) return;
    // One that is kept, and the other side comes to wait.
    waiting.set(socket, message.slice());
    socket.pause();
  };
}
server.onDrain = (socket) => {
  drains += 1;
  const message = waiting.get(socket);
  if (message === undefined || !socket.write(message)) return;
  waiting.delete(socket);
  socket.resume();
};
if (!deaf) {
  server.onError = (_, error) => {
    errors.push(error instanceof Error ? error.message : String(error));
  };
}
server.onClose = (_, end) => {
  ended.push(end);
};
await server.listen("pong", { rundir, ...options });

await answer({
  progress: () => ({
    connections,
    open: server.sockets.size,
    messages,
    bytes,
    sum,
    drains,
    ended: ended.map(({ reason }) => reason),
    errors,
  }),
  census: () => {
    Bun.gc(true);
    return { descriptors: descriptors(), mapped: mappedBytes(), maps: mapsOf("memfd:earshot") };
  },
  usage: () => process.resourceUsage(),
  pause: () => {
    for (const socket of server.sockets) socket.pause();
  },
  resume: () => {
    for (const socket of server.sockets) socket.resume();
  },
  /** Holds up this process until so many messages were sent back by read(). */
  echo: (count: number) => {
    const [socket] = [...server.sockets];
    let sent = 0;
    while (sent < count) {
      const message = socket!.read();
      if (message === null || message === undefined) break;
      socket!.write(message);
      sent += 1;
    }
    return sent;
  },
  /** Holds up this process until the other side is gone. */
  readToEnd: () => {
    const [socket] = [...server.sockets];
    const texts: string[] = [];
    for (let one = socket!.read(); one !== null; one = socket!.read()) {
      texts.push(new TextDecoder().decode(one));
    }
    return texts;
  },
  /** Reads one message, and keeps what it got for `kept`. */
  keep: () => {
    const [socket] = [...server.sockets];
    view = socket!.read() ?? undefined;
    socket!.write("go");
  },
  kept: () => new TextDecoder().decode(view),
  /** Writes so many messages to all, and closes with them still unread. */
  writeAndClose: async (count: number) => {
    const all = [...server.sockets];
    for (const socket of all) for (let k = 0; k < count; k++) socket.write(`message ${k}`);
    await Promise.all(all.map((socket) => socket.close()));
  },
  hear: () => {
    const heard: string[] = [];
    server.onData = (_, message) => {
      heard.push(new TextDecoder().decode(message));
      messages += 1;
    };
  },
});
await server.close();
