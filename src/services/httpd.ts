/**
 * httpd: lets programs that speak HTTP ask services of this machine.
 *
 * `POST /NAME` is one request: the body is the message, and the answer the body of the response. A message is whole, so
 * a body is collected while it comes, up to the longest message, and sent when all of it is there. The answer goes out
 * as fast as the remote reads. `POST /NAME?stream` is for what is longer, or never ends: see `httpd/stream.ts`.
 *
 * What goes wrong is told in JSON, `{"error":{"code":…,"message":…}}`; what is no HTTP at all, Bun refuses by itself.
 * Rules of ipcd for what comes in do not hold here: asking for each request would cost about what the request does, so
 * `--allow` alone says what there is.
 *
 * There is no CORS: no header lets pages of other origins read an answer, and what they send is refused, as a browser
 * would send it all the same. Which pages may ask is in `daemon/origins.ts`.
 */

import type { Address } from "./daemon/address.ts";
import { address, formatAddress } from "./daemon/address.ts";
import { bounded } from "./daemon/bounded.ts";
import { allow, Exposure, name } from "./daemon/exposure.ts";
import { listenAt } from "./daemon/listen.ts";
import { Origins, origin } from "./daemon/origins.ts";
import { Gateway } from "./httpd/gateway.ts";
import type { Values } from "./option.ts";
import { flag, repeated, UsageError } from "./option.ts";
import type { Running, Start, Startable } from "./startable.ts";

const megabyte = 1024 * 1024;

const options = {
  listen: address("where to listen; port 0 is any that is free"),
  allow: { ...allow, help: `${allow.help}; rules of ipcd for what comes in do not hold here` },
  origin: repeated({ ...origin, help: origin.help.replace("connect", "ask") }),
  fresh: flag(
    "a connection of its own for each request; without it they are kept for the next, which is only for services that answer each message once, send nothing else, and keep nothing of a connection: else a remote may get another's answer until that is noticed, from when on it is as with this",
  ),
  ordered: repeated(
    name(
      "a service as with --allow, which answers each message once, and all of a connection in their order, so that requests share connections: faster, but who waits behind a slow one waits too, and of a service that is not like that remotes get each other's answers until it sends what nobody waits for",
    ),
  ),
  "requests-max": bounded("COUNT", { most: 65_536, standard: 1024 }, "requests at once"),
  "streams-max": bounded(
    "COUNT",
    { least: 0, most: 65_536, standard: 64 },
    "of these, with ?stream, where each piece of a body is a message as it comes, and each answer goes out as it comes",
  ),
  "piece-max": bounded(
    "BYTES",
    { most: 16 * megabyte, standard: 65_536 },
    "the longest piece of a stream",
  ),
  pool: bounded("COUNT", { most: 4096, standard: 64 }, "connections to each service"),
  "held-max": bounded(
    "BYTES",
    { most: Number.MAX_SAFE_INTEGER, standard: 256 * megabyte },
    "what all bodies and answers may take up together; an answer counts once all of it is there, so that as many as --pool of --message-max each may be on their way from each service beside that",
  ),
  timeout: bounded("SECONDS", { most: 86_400, standard: 30 }, "how long a service may take"),
  "body-timeout": bounded(
    "SECONDS",
    { most: 86_400, standard: 60 },
    "how long a body may take, and how long a reader for 256 KiB",
  ),
  idle: bounded(
    "SECONDS",
    { most: 255, standard: 10 },
    "how long a remote may be silent, and its headers incomplete",
  ),
} as const;

export const service: Startable<typeof options> = {
  summary: "lets programs that speak HTTP ask services by POST /NAME",
  unused: {
    users:
      "it serves nobody of this machine; who may ask is said by --listen, --allow and --origin",
    // Bun keeps connections, and does not tell of them.
    "connections-max": "use --requests-max; how long a remote without a request may stay is --idle",
  },
  options,
  start,
};

async function start(how: Start, own: Values<typeof options>): Promise<Running> {
  if (own.listen === undefined) throw new UsageError("--listen HOST:PORT is missing");
  if (own.fresh === true && own.ordered.length > 0) {
    throw new UsageError(
      "with --fresh each request has a connection of its own, and with --ordered they share them; leave one out",
    );
  }
  const idle = own.idle ?? options.idle.standard;
  const exposed = new Exposure([...own.allow, ...own.ordered]);
  const gateway = new Gateway({
    names: exposed.names,
    ordered: new Exposure(own.ordered),
    origins: new Origins(own.origin, own.listen.host),
    connect: connectOptions(how),
    requestsMax: own["requests-max"] ?? options["requests-max"].standard,
    streamsMax: own["streams-max"] ?? options["streams-max"].standard,
    poolMax: own.pool ?? options.pool.standard,
    fresh: own.fresh === true,
    heldBytesMax: own["held-max"] ?? options["held-max"].standard,
    answerMs: 1000 * (own.timeout ?? options.timeout.standard),
    bodyMs: 1000 * (own["body-timeout"] ?? options["body-timeout"].standard),
    idle,
    pieceBytesMax: own["piece-max"] ?? options["piece-max"].standard,
    complain: (what, kind) => how.complain("HTTP", what, kind),
  });
  const server = await listenAt(own.listen, (at) => listen(at, idle, gateway, exposed));
  return {
    name: how.name,
    path: `http://${formatAddress({ host: server.hostname!, port: server.port! })}/`,
    counters: () => gateway.counters(),
    async close({ now = false } = {}) {
      const stopped = server.stop(now);
      await gateway.close(now);
      await stopped;
    },
  };
}

/** What `serve` would be given, as far as it is about connections. */
function connectOptions({ options: { rundir, shared, messageBytesMax, queueBytesMax } }: Start) {
  // Whatever the environment says, it leads to the services of this run directory.
  // Memory would be mapped anew for each stream and each connection in the pool, for messages that come over HTTP.
  return {
    rundir,
    shared,
    network: "",
    transport: "unix" as const,
    messageBytesMax,
    queueBytesMax,
  };
}

function listen(where: Address, idle: number, gateway: Gateway, exposed: Exposure) {
  const ask = (name: string) => (request: Request, server: Bun.Server<undefined>) =>
    gateway.ask(name, request, server);
  return Bun.serve({
    hostname: where.host,
    port: where.port,
    idleTimeout: idle,
    development: false,
    // Bun's default lets a second process listen at the same port, and get half of the requests.
    reusePort: false,
    // It is for us to say how long a body may be, since a stream may be longer.
    maxRequestBodySize: Number.MAX_SAFE_INTEGER,
    routes: {
      "/": (request) => gateway.list(request),
      ...Object.fromEntries(exposed.names.map((name) => [`/${name}`, ask(name)])),
    },
    fetch: (request) => gateway.stray(request),
  });
}
