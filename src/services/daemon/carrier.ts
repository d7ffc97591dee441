/**
 * What the daemons that carry services over streams have in common, tcpd and tlsd: whom they let in, and what they lead
 * out to. How bytes are carried is for each to say.
 */

import type { InternetAddress } from "../../ipc/internet-address.ts";
import type { Values } from "../option.ts";
import { count, flag, UsageError } from "../option.ts";
import type { Running, Start } from "../startable.ts";
import { address, formatAddress } from "./address.ts";
import { Admission } from "./admission.ts";
import { Counters } from "./counters.ts";
import { allow, Exposure, name } from "./exposure.ts";
import { ambiguity } from "./greeting.ts";
import { listenAt } from "./listen.ts";
import type { LookupCount, Reach } from "./lookups.ts";
import { checkUsers, lookupCounts, serveLookups } from "./lookups.ts";
import type { Listener } from "./remote.ts";
import type { RemoteCount } from "./remotes.ts";
import { Remotes, remoteCounts } from "./remotes.ts";

const handshakeDefaultS = 10;
const dialDefaultS = 10;
const remotesMaxDefault = 10_000;
/** What a timer can wait for. */
const secondsMax = 2_000_000;

export const carrierOptions = {
  listen: address("accept remotes there; without it, only lookups are served"),
  allow,
  service: name("bind all remotes to this one service, at once and without a greeting"),
  "no-lookups": flag("serve no lookups, only remotes"),
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

export const unusedByCarriers = {
  "connections-max": "use --remotes-max",
  "message-max": "bytes pass as they are, and how long a message may be is for the service to say",
} as const;

export type CarrierValues = Values<typeof carrierOptions>;

/** What bytes are carried by. */
export type Carrier = {
  /** Of the URIs that lead over it. */
  readonly scheme: string;
  listen(
    address: InternetAddress,
    remotes: Remotes,
    limits: { remotesMax: number; handshakeMs: number },
  ): Promise<Listener>;
  /** Leads outwards; finding the way may take so long. */
  reach(timeoutMs: number): Reach;
};

/** Throws a UsageError where the options do not go together. */
export function checkCarrier(own: CarrierValues, { options: common }: Start): void {
  if (own.service !== undefined && own.allow.length > 0) {
    throw new UsageError("--service binds all remotes to one service; leave --allow out");
  }
  if (own.listen === undefined && own["no-lookups"] === true) {
    throw new UsageError("with neither --listen nor lookups there is nothing to do");
  }
  checkUsers(common, own["no-lookups"] !== true);
}

export async function startCarrier(
  carrier: Carrier,
  how: Start,
  own: CarrierValues,
): Promise<Running> {
  checkCarrier(own, how);
  const counters = new Counters<RemoteCount | LookupCount>([...remoteCounts, ...lookupCounts]);
  const limits = {
    handshakeMs: milliseconds("handshake", own.handshake ?? handshakeDefaultS),
    remotesMax: own["remotes-max"] ?? remotesMaxDefault,
  };
  const dialMs = milliseconds("dial-timeout", own["dial-timeout"] ?? dialDefaultS);
  const exposure = new Exposure(own.allow);
  const admission = new Admission(carrier.scheme, how.options);
  const remotes = new Remotes(
    how,
    {
      ...limits,
      exposure,
      admission,
      service: own.service,
      proxy: own.proxy === true,
    },
    counters,
  );
  const lookups =
    own["no-lookups"] === true
      ? undefined
      : await serveLookups(carrier.scheme, how, counters, carrier.reach(dialMs));
  let listener: Listener | undefined;
  try {
    if (own.listen !== undefined) {
      listener = await listenAt(own.listen, (at) => carrier.listen(at, remotes, limits));
    }
  } catch (error) {
    await lookups?.close({ now: true });
    throw error;
  }
  const unclear = listener === undefined ? undefined : ambiguity(exposure);
  if (unclear !== undefined) how.complain("--allow", unclear, "names");
  const places = [
    ...(listener === undefined ? [] : [`${carrier.scheme}://${formatAddress(listener.address)}`]),
    ...(lookups === undefined ? [] : [lookups.path]),
  ];
  return {
    name: how.name,
    path: places.join(" and "),
    counters: () => counters.all(),
    async close({ now = false } = {}) {
      remotes.close();
      await Promise.all([listener?.close(now), lookups?.close({ now })]);
      await admission.close();
    },
  };
}

function milliseconds(option: string, seconds: number): number {
  if (seconds >= 1 && seconds <= secondsMax) return seconds * 1000;
  throw new UsageError(`--${option} is 1 to ${secondsMax} seconds, not ${seconds}`);
}
