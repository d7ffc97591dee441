/**
 * tcpd: carries services over TCP. Remotes who connect are bound to the service that they name; lookups of `tcp://` are
 * led to services of other machines.
 */

import { bind } from "../ipc/switch.ts";
import { address, formatAddress } from "./daemon/address.ts";
import { Counters } from "./daemon/counters.ts";
import { allow, Exposure, name } from "./daemon/exposure.ts";
import type { LookupCount, Reach } from "./daemon/lookups.ts";
import { lookupCounts, serveLookups } from "./daemon/lookups.ts";
import { count, flag, UsageError } from "./option.ts";
import type { Running, Startable } from "./startable.ts";
import { dialService, numbersOf } from "./tcpd/dialing.ts";
import type { RemoteCount } from "./tcpd/remotes.ts";
import { Remotes, remoteCounts } from "./tcpd/remotes.ts";

const handshakeDefaultS = 10;
const dialDefaultS = 10;
const remotesMaxDefault = 10_000;

const options = {
  listen: address("accept remotes there; without it, only lookups of tcp:// are served"),
  allow,
  service: name("bind all remotes to this one service, at once and without a greeting"),
  "no-lookups": flag("serve no lookups of tcp://"),
  proxy: flag(
    "tell the service who is there: a PROXY protocol header, version 2, comes before all else",
  ),
  handshake: count(
    "SECONDS",
    `how long a remote may take to name a service (default ${handshakeDefaultS})`,
  ),
  "dial-timeout": count(
    "SECONDS",
    `how long a way to a service may take to find (default ${dialDefaultS})`,
  ),
  "remotes-max": count(
    "COUNT",
    `how many remotes there may be at once (default ${remotesMaxDefault})`,
  ),
} as const;

export const service: Startable<typeof options> = {
  summary: "carries services over TCP, and leads to those of other machines",
  name: "tcp",
  options,
  async start(how, own) {
    if (own.service !== undefined && own.allow.length > 0) {
      throw new UsageError("--service binds all remotes to one service; leave --allow out");
    }
    if (own.listen === undefined && own["no-lookups"] === true) {
      throw new UsageError("with neither --listen nor lookups there is nothing to do");
    }
    const counters = new Counters<RemoteCount | LookupCount>([...remoteCounts, ...lookupCounts]);
    const remotes = new Remotes(
      how,
      {
        exposure: new Exposure(own.allow),
        service: own.service,
        handshakeMs: (own.handshake ?? handshakeDefaultS) * 1000,
        remotesMax: own["remotes-max"] ?? remotesMaxDefault,
        proxy: own.proxy === true,
      },
      counters,
    );
    const lookups =
      own["no-lookups"] === true
        ? undefined
        : await serveLookups("tcp", how, counters, reach(own["dial-timeout"] ?? dialDefaultS));
    const places = lookups === undefined ? [] : [lookups.path];
    if (own.listen !== undefined) {
      try {
        const [host = ""] = await numbersOf(own.listen.host);
        const place = await remotes.listen({ host, port: own.listen.port });
        places.unshift(`tcp://${formatAddress(place)}`);
      } catch (error) {
        await lookups?.close({ now: true });
        throw error;
      }
    }
    const running: Running = {
      name: how.name,
      path: places.join(" and "),
      counters: () => counters.all(),
      async close({ now = false } = {}) {
        await Promise.all([remotes.close(now), lookups?.close({ now })]);
      },
    };
    return running;
  },
};

function reach(timeoutS: number): Reach {
  return async (uri, signal) => {
    const remote = await dialService(uri, timeoutS * 1000, signal);
    return {
      drop: () => void remote.close({ now: true }),
      async join(client) {
        await bind(client, remote).ended;
      },
    };
  };
}
