/**
 * websocketd: `ws://HOST:PORT/NAME` leads to the local service NAME. A message of a WebSocket is a message to the
 * service, and each of the service's messages is one of the WebSocket.
 *
 * What goes back is a binary frame, unless the remote offers the subprotocol `earshot.text`: then a message that is UTF-8
 * is a text frame, and any other still a binary one, so that nothing is lost or made up. `earshot.binary` asks for what
 * is done anyway. Of several that are offered the first known one counts; if none is known, the handshake is refused.
 * What the remote sends may be text or binary as it likes: to the service it is bytes.
 *
 *     door      whether a remote may come in, and to which service
 *     origins   which web pages may
 *     remote    one WebSocket and the connection it is bound to; whoever is slower makes the other wait
 *     server    listens, keeps all remotes, asks them whether they are still there, closes
 *     page      what a browser sees at `/`
 */

import { fullLimits, limitDefaults } from "../ipc/limits.ts";
import { address } from "./daemon/address.ts";
import { allow, Exposure } from "./daemon/exposure.ts";
import { count, flag, repeated, UsageError } from "./option.ts";
import type { Startable } from "./startable.ts";
import { Origins, origin } from "./websocketd/origins.ts";
import { Server } from "./websocketd/server.ts";

const defaults = {
  remotesMax: 10_000,
  queueBytesHigh: 1024 * 1024,
  pingSeconds: 30,
} as const;

/** What can come although the sender has been told to wait: what Bun, or a batch, had read already. */
const slackBytes = 1024 * 1024;
const secondsMax = 24 * 3600;

const options = {
  listen: address("where to listen; only this machine can reach 127.0.0.1 and [::1]"),
  allow,
  origin: repeated(origin),
  ping: count(
    "SECONDS",
    "ask a silent remote so often, and drop it without an answer (30; 0: never)",
  ),
  idle: count("SECONDS", "close a remote when no message went either way for so long (0: never)"),
  deflate: flag("compress messages for remotes that can (permessage-deflate)"),
  "queue-max": count("BYTES", "what may wait for one side before the other waits (default 1 MiB)"),
  "connections-max": count("COUNT", "how many remotes may be connected (default 10000)"),
} as const;

export const service: Startable<typeof options> = {
  summary: "carries connections to local services over WebSockets",
  options,
  start: async ({ name, options: common, complain }, own) => {
    if (own.listen === undefined) throw new UsageError("--listen HOST:PORT is missing");
    if (common.allow !== undefined) {
      throw new UsageError("--users is for services; who may reach this one is said by --listen");
    }
    const messageBytesMax = common.messageBytesMax ?? limitDefaults.messageBytesMax;
    const queueBytesHigh = common.queueBytesMax ?? defaults.queueBytesHigh;
    // The last is never reached: whoever sends is made to wait long before.
    const queueBytesMax = queueBytesHigh + messageBytesMax + slackBytes;
    const limits = { messageBytesMax, queueBytesHigh, queueBytesMax };
    // Now, and not when the first remote comes.
    fullLimits(limits);
    return await Server.start({
      name,
      listen: own.listen,
      exposure: new Exposure(own.allow),
      origins: new Origins(own.origin, own.listen.host),
      pingMs: seconds("ping", own.ping ?? defaults.pingSeconds),
      idleMs: seconds("idle", own.idle ?? 0),
      deflate: own.deflate === true,
      remotesMax: common.connectionsMax ?? defaults.remotesMax,
      connection: { rundir: common.rundir, shared: common.shared, ...limits },
      complain,
    });
  },
};

function seconds(option: string, given: number): number {
  if (given <= secondsMax) return given * 1000;
  throw new UsageError(`--${option}: ${given} is more than a day (${secondsMax} seconds)`);
}
