/**
 * Serves `ipc`, and answers as the name that is asked for says: rightly, or in one of the ways in which that can go wrong.
 * Run by `elsewhere.test.ts`.
 */

import { openSync } from "node:fs";
import type { Connection } from "../../../src/index.ts";
import { connect, serve } from "../../../src/index.ts";
import { Descriptor } from "../../../src/ipc/descriptor.ts";
import { answerBytesMax } from "../../../src/ipc/lookup.ts";
import { answer, settings } from "../../kit/answer.ts";
import { FrameCutter } from "../../kit/frames.ts";

const { rundir } = settings<{ rundir: string }>();
const place = { rundir, network: "" };

const asked: string[] = [];
/** How many bytes came of a lookup and were no part of its message. */
let behind = 0;

await serve(
  "far",
  {
    open: (connection) => void connection.send("welcome"),
    message: (connection, { bytes, descriptors }) => void connection.send(bytes, { descriptors }),
  },
  { ...place, descriptors: { max: 4 } },
);

async function led(): Promise<Descriptor> {
  const far = await connect("far", { ...place, raw: true, message: () => undefined });
  far.pause();
  const [descriptor] = far.copies();
  await far.close({ now: true });
  return descriptor!;
}

async function say(client: Connection, text: string | Uint8Array, given?: Descriptor) {
  using descriptor = given;
  client.send(text, descriptor === undefined ? {} : { descriptors: [descriptor] });
  // What is said next is to be heard by itself.
  await Bun.sleep(10);
}

const ways: Record<string, (client: Connection) => Promise<unknown>> = {
  good: async (client) => say(client, "ok", await led()),
  "halves-early": async (client) => {
    await say(client, "o", await led());
    await say(client, "k");
  },
  "halves-late": async (client) => {
    await say(client, "o");
    await say(client, "k", await led());
  },
  "no-socket": (client) => say(client, "ok", new Descriptor(openSync("/dev/null", "r"))),
  bare: (client) => say(client, "ok"),
  half: async (client) => {
    await say(client, "o", await led());
    await client.close();
  },
  ends: (client) => client.close({ now: true }),
  why: async (client) => {
    await say(client, "error: because");
    await client.close();
  },
  longest: async (client) => {
    await say(client, "error: ".padEnd(answerBytesMax, "x"));
    await client.close();
  },
  "too-long": (client) => say(client, "error: ".padEnd(answerBytesMax + 1, "x")),
  garbage: async (client) => {
    await say(client, "hello?");
    await client.close();
  },
  bytes: async (client) => {
    await say(client, Uint8Array.of(0xff, 0xfe, 0));
    await client.close();
  },
  endless: (client) => say(client, "?".repeat(1 << 20)),
  silent: () => Promise.resolve(),
};

const cutters = new Map<Connection, FrameCutter>();

await serve(
  "ipc",
  {
    async message(client, { bytes }) {
      const cutter = cutters.get(client) ?? new FrameCutter();
      cutters.set(client, cutter);
      cutter.push(bytes.slice());
      const [request] = cutter.payloads;
      if (request === undefined) return;
      behind += cutter.restBytes;
      const text = new TextDecoder().decode(request);
      asked.push(text);
      await ways[text.slice(0, text.indexOf(";"))]!(client);
    },
    close: (client) => void cutters.delete(client),
    error: () => undefined,
  },
  { ...place, raw: true, messageBytesMax: 4096 },
);

await answer({
  asked: () => ({ asked, behind }),
  /** How many wait for an answer. */
  waiting: () => cutters.size,
});

// Nobody can ask any more, and its services would keep it.
process.exit();
