/**
 * udpd: lets remotes that send datagrams talk to a service of this machine.
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
import { bounded } from "./daemon/bounded.ts";
import { allow } from "./daemon/exposure.ts";
import { listenAt } from "./daemon/listen.ts";
import type { Values } from "./option.ts";
import { UsageError } from "./option.ts";
import type { Running, Start, Startable } from "./startable.ts";
import { Inward } from "./udpd/inward.ts";

const options = {
  listen: address("where to listen; port 0 is any that is free"),
  allow: { ...allow, help: "the service that remotes reach; a datagram has no room for its name" },
  "remotes-max": bounded(
    "COUNT",
    { most: 1_048_576, standard: 4096 },
    "remotes at once, each of them a connection; new ones are refused beyond that",
  ),
  "remote-queue-max": bounded(
    "BYTES",
    { most: 64 * 1024 * 1024, standard: 1024 * 1024 },
    "what of one remote may wait for the service; what comes beyond that is dropped",
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
  summary: "lets remotes that send datagrams talk to a service",
  name: "udp",
  options,
  start,
};

async function start(how: Start, own: Values<typeof options>): Promise<Running> {
  const { listen } = own;
  if (listen === undefined) throw new UsageError("--listen HOST:PORT is missing");
  const [name, another] = own.allow;
  if (name === undefined || another !== undefined) {
    throw new UsageError("--allow NAME has to be there once: a datagram has no room for a name");
  }
  const { rundir, shared, messageBytesMax, queueBytesMax } = how.options;
  const opened = (at: Address) =>
    Inward.open({
      listen: at,
      service: name,
      connect: { rundir, shared, messageBytesMax, queueBytesMax },
      remotesMax: own["remotes-max"] ?? options["remotes-max"].standard,
      queueBytesMax: own["remote-queue-max"] ?? options["remote-queue-max"].standard,
      idleMs: 1000 * (own.idle ?? options.idle.standard),
      idleNewMs: 1000 * (own["idle-new"] ?? options["idle-new"].standard),
      complain: how.complain,
    });
  const inward = await listenAt(listen, opened);
  return {
    name: how.name,
    path: `udp://${formatAddress(inward.address)}`,
    counters: () => inward.counters.all(),
    close: ({ now = false } = {}) => inward.close(now),
  };
}
