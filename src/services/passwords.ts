/**
 * passwords: gives each client a copy of its own of what is kept, and is out of the way then.
 *
 *     client ──hello──▶ passwords ──▶ zygote ──fork──▶ copy
 *        ◀── two pipes ──┘                              │
 *        └──────────────── requests, answers ───────────┘
 *
 * A copy is a process, which began with the initial keys and values and ends with its client: nobody else ever sees what is
 * set in it. This process sees neither keys nor values. A copy also lives by a pipe that this one holds, so that none is
 * left when the service ends, however it does.
 */

import { serve } from "../ipc/serve.ts";
import { IpcError } from "../native/errors.ts";
import { Zygote } from "../zygote/zygote.ts";
import { bounded } from "./daemon/bounded.ts";
import { Counters } from "./daemon/counters.ts";
import type { Values } from "./option.ts";
import { text, UsageError } from "./option.ts";
import { Desk } from "./passwords/desk.ts";
import { helloBytesMax, storeBytesLimit } from "./passwords/format.ts";
import type { ZygoteSettings } from "./passwords/settings.ts";
import { settingsName } from "./passwords/settings.ts";
import type { Running, Start, Startable } from "./startable.ts";

/** Processes are what a machine runs out of first: its kernel numbers 32,768 of them where nothing else is said. */
const clientsLimit = 16_384;

const options = {
  state: text(
    "FILE.json",
    'keys and values that every client begins with: { "KEY": "VALUE", … }, a value being text or { "base64": "…" }',
  ),
  "clients-max": bounded(
    "COUNT",
    { most: clientsLimit, standard: 1024 },
    "clients at once, each of them a process; more are told so",
  ),
  "user-clients-max": bounded(
    "COUNT",
    { most: clientsLimit, standard: 256 },
    "clients of one user at once",
  ),
  "bytes-max": bounded(
    "BYTES",
    { least: 64, most: storeBytesLimit, standard: 16 * 1024 * 1024 },
    "what one client may keep: keys, values, and 64 bytes for each key",
  ),
  idle: bounded(
    "SECONDS",
    { least: 0, most: 7 * 86_400, standard: 3600 },
    "a client that asks nothing for so long loses its copy; 0 is never",
  ),
} as const;

/** Connections are there for a moment. */
const connectionsMax = 4096;

export const service: Startable<typeof options> = {
  summary: "keeps passwords, a copy for each client in a process of its own",
  options,
  unused: {
    "message-max": "a key and a value have 1 MiB at most",
    "queue-max": "what a client does not read waits in its own copy",
    "connections-max": "use --clients-max",
    memory: "clients speak to their copies by pipes",
  },
  start,
};

async function start(how: Start, own: Values<typeof options>): Promise<Running> {
  const bytesMax = own["bytes-max"] ?? options["bytes-max"].standard;
  const idle = own.idle ?? options.idle.standard;
  await using opened = new AsyncDisposableStack();
  const zygote = opened.use(await startZygote({ state: own.state, bytesMax }, how.signal));
  if (zygote.mode === "pool") {
    how.complain(
      how.name,
      "forks do not work here, so each copy is a process that was started: it takes longer, and more memory",
      "pool",
    );
  }
  const counters = new Counters(Desk.counts);
  const desk = new Desk(zygote, counters, {
    clientsMax: own["clients-max"] ?? options["clients-max"].standard,
    userClientsMax: own["user-clients-max"] ?? options["user-clients-max"].standard,
    copy: { bytesMax, idleMs: idle === 0 ? undefined : 1000 * idle },
    complain: how.complain,
  });
  const { reports } = how;
  const served = await serve(
    how.name,
    {
      ...reports,
      open: (connection) => desk.open(connection),
      message: (connection, message) => desk.message(connection, message),
      close(connection, end) {
        desk.close(connection);
        return reports.close?.(connection, end);
      },
    },
    { ...how.options, connectionsMax, messageBytesMax: helloBytesMax, queueBytesMax: undefined },
  );
  opened.move();
  return {
    name: how.name,
    path: served.path,
    counters: () => ({ ...counters.all(), ...desk.now() }),
    async close(options) {
      await served.close(options);
      desk.end();
      await zygote.close();
    },
  };
}

/** Throws a UsageError for a file of initial keys and values that is no good, and the signal's reason. */
async function startZygote(settings: ZygoteSettings, signal: AbortSignal): Promise<Zygote> {
  try {
    return await Zygote.start({
      module: new URL("./passwords/module.ts", import.meta.url),
      environment: { [settingsName]: JSON.stringify(settings) },
      // Those who have a copy keep it when the zygote is lost; it is started again for those who come.
      orphans: "keep",
      clonesMax: 2 * clientsLimit,
      signal,
    });
  } catch (error) {
    const fault = error instanceof IpcError ? /StateError: (.+)/s.exec(error.message) : null;
    throw fault === null ? error : new UsageError(`--state: ${fault[1]}`);
  }
}
