/**
 * udpd: lets remotes that send datagrams talk to a service of this machine, and leads lookups of `udp://` to services of
 * others (`udpd/outward.ts`).
 *
 * A datagram has no room for a name, so one daemon leads to one service. Each address that datagrams come from is a
 * connection to it: a datagram is a message, and each message of the service goes back as a datagram. The rest is as
 * UDP has it: some get lost, or come twice or in another order, and an answer that is too long for one (65,507 bytes,
 * over IPv4) is dropped, which is counted and told.
 *
 * Nothing proves who sent a datagram. One that bears this daemon's own address is dropped, but one with that of another
 * that answers everything may have the two of them answer each other; and a service whose answers are much longer than
 * its requests lets anybody have them sent to somebody else. Neither belongs where strangers can reach it.
 */

import type { Address } from "./daemon/address.ts";
import { address, formatAddress } from "./daemon/address.ts";
import { Admission } from "./daemon/admission.ts";
import { bounded } from "./daemon/bounded.ts";
import { Counters } from "./daemon/counters.ts";
import { allow } from "./daemon/exposure.ts";
import { listenAt } from "./daemon/listen.ts";
import { checkUsers, lookupCounts, serveLookups } from "./daemon/lookups.ts";
import type { Values } from "./option.ts";
import { flag, UsageError } from "./option.ts";
import type { Running, Start, Startable } from "./startable.ts";
import { Inward, inwardCounts } from "./udpd/inward.ts";
import { Outward, outwardCounts } from "./udpd/outward.ts";

const options = {
  listen: address(
    "where to listen; port 0 is any that is free; without it, only lookups of udp:// are served",
  ),
  allow: { ...allow, help: "the service that remotes reach; a datagram has no room for its name" },
  "no-lookups": flag("serve no lookups of udp://"),
  "remotes-max": bounded(
    "COUNT",
    { most: 1_048_576, standard: 4096 },
    "remotes at once, each of them a connection, and as many that lookups lead to; new ones are refused beyond that",
  ),
  "remote-queue-max": bounded(
    "BYTES",
    { most: 64 * 1024 * 1024, standard: 1024 * 1024 },
    "what of one remote may wait for the service or the client; what comes beyond that is dropped",
  ),
  idle: bounded(
    "SECONDS",
    { most: 86_400, standard: 60 },
    "a remote that is silent for so long has ended",
  ),
  "idle-new": bounded(
    "SECONDS",
    { most: 86_400, standard: 10 },
    "the same for one that has sent nothing since it was answered",
  ),
} as const;

export const service: Startable<typeof options> = {
  summary: "carries services by datagrams, and leads to those of other machines",
  name: "udp",
  unused: { "connections-max": "use --remotes-max" },
  options,
  start,
};

async function start(how: Start, own: Values<typeof options>): Promise<Running> {
  const isAsked = own["no-lookups"] !== true;
  const service = exposed(own, isAsked);
  checkUsers(how.options, isAsked);
  const { rundir, shared, messageBytesMax, queueBytesMax } = how.options;
  const counters = new Counters([...inwardCounts, ...outwardCounts, ...lookupCounts]);
  const common = {
    // Whatever the environment says, it leads to the services of this run directory.
    connect: { rundir, shared, network: "", messageBytesMax, queueBytesMax },
    queueBytesMax: own["remote-queue-max"] ?? options["remote-queue-max"].standard,
    idleMs: 1000 * (own.idle ?? options.idle.standard),
    complain: how.complain,
  };
  const remotesMax = own["remotes-max"] ?? options["remotes-max"].standard;
  const outward = new Outward({ ...common, linesMax: remotesMax }, counters);
  const idleNewMs = 1000 * (own["idle-new"] ?? options["idle-new"].standard);
  const admission = new Admission("udp", how.options);
  const opened = (listen: Address) =>
    Inward.open(
      { ...common, admission, listen, service: service!, remotesMax, idleNewMs },
      counters,
    );
  const asked = { ...how, options: { ...how.options, queueBytesMax: undefined } };
  const lookups = isAsked ? await serveLookups("udp", asked, counters, outward.reach) : undefined;
  try {
    const inward = own.listen === undefined ? undefined : await listenAt(own.listen, opened);
    const places = [
      ...(inward === undefined ? [] : [`udp://${formatAddress(inward.address)}`]),
      ...(lookups === undefined ? [] : [lookups.path]),
    ];
    return {
      name: how.name,
      path: places.join(" and "),
      counters: () => ({ ...counters.all(), dropped_system: inward?.droppedBySystem ?? 0 }),
      async close({ now = false } = {}) {
        const lead = lookups?.close({ now }).then(() => outward.close(now));
        await Promise.all([inward?.close(now), lead]);
      },
    };
  } catch (error) {
    await lookups?.close({ now: true });
    throw error;
  }
}

/** The service that remotes reach; undefined if there are none. */
function exposed(own: Values<typeof options>, isAsked: boolean): string | undefined {
  const [name, another] = own.allow;
  if (own.listen !== undefined) {
    if (name !== undefined && another === undefined) return name;
    throw new UsageError("--allow NAME has to be there once: a datagram has no room for a name");
  }
  if (name !== undefined) {
    throw new UsageError("--allow names what remotes reach; without --listen there are none");
  }
  if (isAsked) return undefined;
  throw new UsageError("with neither --listen nor lookups there is nothing to do");
}
