/**
 * websocketd: `ws://HOST:PORT/NAME` leads to the local service NAME. A message of a WebSocket is a message to the
 * service, and each of the service's messages is one of the WebSocket.
 *
 * What goes back is a binary frame, unless the remote offers the subprotocol `earshot.text`: then a message that is UTF-8
 * is a text frame, and any other still a binary one, so that nothing is lost or made up. `earshot.binary` asks for what
 * is done anyway. Of several that are offered the first known one counts; if none is known, the handshake is refused.
 * What the remote sends may be text or binary as it likes: to the service it is bytes.
 *
 * The other way, lookups of `ws://HOST:PORT/NAME` and `wss://…` lead local clients to remotes: to another websocketd, or
 * to whatever speaks WebSockets. A client's message is a binary frame, and what comes back is a message, be it text or
 * binary.
 *
 *     door         whether a remote may come in, and to which service; which web pages may is in `daemon/origins.ts`
 *     remote       one WebSocket and the connection it is bound to; whoever is slower makes the other wait
 *     server       listens, keeps all remotes, asks them whether they are still there, closes
 *     page         what a browser sees at `/`
 *     handshake    begins a WebSocket to a remote, or says why there is none
 *     link         one such WebSocket and the client that was led there
 *     outward      keeps all links, asks their remotes whether they are still there, closes
 *     presence     whether a remote is still there, for both directions
 *     authorities  whose certificates are trusted
 *     tally        what is counted
 */

import { fullLimits, limitDefaults } from "../ipc/limits.ts";
import type { Service } from "../ipc/service.ts";
import { address } from "./daemon/address.ts";
import { Admission } from "./daemon/admission.ts";
import { bounded } from "./daemon/bounded.ts";
import { allow, Exposure } from "./daemon/exposure.ts";
import { checkUsers, serveLookups } from "./daemon/lookups.ts";
import { Origins, origin } from "./daemon/origins.ts";
import type { Values } from "./option.ts";
import { count, flag, repeated, UsageError } from "./option.ts";
import type { Running, Start, Startable } from "./startable.ts";
import { authorities, authority } from "./websocketd/authorities.ts";
import { Outward } from "./websocketd/outward.ts";
import { Server } from "./websocketd/server.ts";
import type { ConnectionLimits } from "./websocketd/settings.ts";
import { newTally } from "./websocketd/tally.ts";

const defaults = {
  remotesMax: 10_000,
  queueBytesHigh: 1024 * 1024,
  pingSeconds: 30,
} as const;

/** What can come although the sender has been told to wait: what Bun, or a batch, had read already. */
const slackBytes = 1024 * 1024;
const secondsMax = 24 * 3600;

const options = {
  listen: address(
    "where to listen, and only this machine reaches 127.0.0.1 and [::1]; without it, only lookups are served",
  ),
  allow,
  origin: repeated(origin),
  "no-lookups": flag("serve no lookups of ws:// and wss://"),
  "dial-timeout": bounded(
    "SECONDS",
    { most: secondsMax, standard: 10 },
    "how long a remote that a lookup leads to may take for the handshake",
  ),
  ca: repeated(authority),
  ping: count(
    "SECONDS",
    "ask a silent remote so often, and drop it without an answer (30; 0: never)",
  ),
  idle: count(
    "SECONDS",
    "close a remote that came in when no message went either way for so long (0: never)",
  ),
  deflate: flag("compress messages for remotes that can (permessage-deflate)"),
  "held-max": bounded(
    "BYTES",
    { most: 2 ** 40, standard: 256 * 1024 * 1024 },
    "what may wait for all remotes and their services together; who adds to it then is closed",
  ),
  "queue-max": count("BYTES", "what may wait for one side before the other waits (default 1 MiB)"),
  "connections-max": count(
    "COUNT",
    "how many remotes may be connected, and as many be led to (default 10000); of a message that has not come whole, each may have up to --message-max held here for as long as it answers pings, which --held-max does not count",
  ),
} as const;

export const service: Startable<typeof options> = {
  summary: "carries services over WebSockets, and leads to those of others",
  name: "ws",
  options,
  start,
};

async function start(how: Start, own: Values<typeof options>): Promise<Running> {
  const { options: common } = how;
  const isAsked = own["no-lookups"] !== true;
  if (own.listen === undefined && !isAsked) {
    throw new UsageError("with neither --listen nor lookups there is nothing to do");
  }
  if (own.listen === undefined && own.allow.length > 0) {
    throw new UsageError("--allow names what remotes reach; without --listen there are none");
  }
  checkUsers(common, isAsked);
  const connection = { rundir: common.rundir, shared: common.shared, ...limitsOf(common) };
  const tally = newTally();
  const pingMs = seconds("ping", own.ping ?? defaults.pingSeconds);
  const { complain } = how;
  const remotesMax = common.connectionsMax ?? defaults.remotesMax;
  const outward = new Outward({
    tally,
    connection,
    complain,
    pingMs,
    linksMax: remotesMax,
    handshake: {
      timeoutMs: 1000 * (own["dial-timeout"] ?? options["dial-timeout"].standard),
      authorities: authorities(own.ca),
    },
  });
  const server = () =>
    Server.start({
      name: how.name,
      listen: own.listen!,
      exposure: new Exposure(own.allow),
      admission: new Admission("ws", common),
      origins: new Origins(own.origin, own.listen!.host),
      pingMs,
      idleMs: seconds("idle", own.idle ?? 0),
      deflate: own.deflate === true,
      remotesMax,
      heldBytesMax: own["held-max"] ?? options["held-max"].standard,
      connection,
      tally,
      complain,
    });
  const asked: Service[] = [];
  const closeAsked = (now: boolean) => Promise.all(asked.map((each) => each.close({ now })));
  try {
    const lookups = { ...how, options: { ...common, queueBytesMax: undefined } };
    for (const [scheme, name] of isAsked ? schemes(how.name) : []) {
      asked.push(await serveLookups(scheme, { ...lookups, name }, tally, outward.reach));
    }
    const listening = own.listen === undefined ? undefined : await server();
    return {
      name: how.name,
      path: [listening, ...asked].flatMap((each) => each?.path ?? []).join(" and "),
      counters: () => listening?.counters() ?? tally.all(),
      async close({ now = false } = {}) {
        await Promise.all([
          listening?.close({ now }),
          closeAsked(now).then(() => outward.close(now)),
        ]);
      },
    };
  } catch (error) {
    await closeAsked(true);
    await outward.close(true);
    throw error;
  }
}

/** What is looked up, and the name it is looked up by. */
function schemes(name: string): [scheme: string, name: string][] {
  return [
    ["ws", name],
    ["wss", `${name}s`],
  ];
}

type Limited = Pick<ConnectionLimits, "messageBytesMax" | "queueBytesHigh" | "queueBytesMax">;

function limitsOf(common: Start["options"]): Limited {
  const messageBytesMax = common.messageBytesMax ?? limitDefaults.messageBytesMax;
  const queueBytesHigh = common.queueBytesMax ?? defaults.queueBytesHigh;
  // The last is never reached: whoever sends is made to wait long before.
  const queueBytesMax = queueBytesHigh + messageBytesMax + slackBytes;
  const limits = { messageBytesMax, queueBytesHigh, queueBytesMax };
  // Now, and not when the first remote comes.
  fullLimits(limits);
  return limits;
}

function seconds(option: string, given: number): number {
  if (given <= secondsMax) return given * 1000;
  throw new UsageError(`--${option}: ${given} is more than a day (${secondsMax} seconds)`);
}
