/** What the calls of a context are told: the options, their defaults, and their native forms. */

import { IpcError } from "../native/errors.ts";
import type { PollerKind } from "../native/layout.ts";
import {
  ConnectOptions as ConnectLayout,
  ContextOptions as ContextLayout,
  Limits as LimitsLayout,
  pollerKinds,
  ServiceOptions as ServiceLayout,
} from "../native/layout.ts";
import { Struct } from "../native/struct.ts";
import type { Descriptor } from "./descriptor.ts";
import type { Limits } from "./limits.ts";
import { fullLimits, putLimits } from "./limits.ts";
import { ids, whole, within } from "./numbers.ts";
import { poisonedViews } from "./poison.ts";
import type { RunDirectoryOptions } from "./run-directory.ts";

export type ContextOptions = {
  /** Default: EARSHOT_POLLER, else the system's best. */
  poller?: PollerKind | undefined;
  /**
   * How long a wait looks for traffic before it sleeps, in nanoseconds. It looks only while that has been worth it,
   * so an idle context costs nothing; 0 never looks. Default 50,000.
   */
  spin?: number | undefined;
  /** Where names are looked up unless a call says otherwise. */
  rundir?: string | undefined;
};

/** Who may connect: anyone, or by the numbers of users and of primary groups. */
export type Allow = "anyone" | { users?: readonly number[]; groups?: readonly number[] };

export type ServiceOptions = Limits &
  RunDirectoryOptions & {
    /** By what the kernel says of a peer, before its first byte is read. Default: the own user and root. */
    allow?: Allow | undefined;
    /** The socket's permission bits. Default 0o600, and 0o666 where others are allowed. */
    mode?: number | undefined;
    /** How many connections may wait to be accepted. Default 4096. */
    backlog?: number | undefined;
  };

export type ConnectOptions = Limits &
  RunDirectoryOptions & {
    /**
     * How long to wait, in milliseconds, while the service has no room for another connection. Default 5 s; 35 s for a
     * service elsewhere, until there is a way to it.
     */
    timeout?: number | undefined;
    /**
     * Which services are elsewhere, and where: `NAME URI; …`. For those ipcd is asked, which finds the way; all others
     * are here. Default IPC_NETWORK; "" for none.
     */
    network?: string | undefined;
  };

/** What `adopt` is told of a socket: limits for both kinds, and for one that listens who may connect. */
export type AdoptOptions = Limits & {
  allow?: Allow | undefined;
};

/** What goes along with a message. */
export type SendOptions = {
  /** At most 253. They stay the caller's, and may be closed when the call has returned. */
  descriptors?: readonly (number | Descriptor)[] | undefined;
};

/** What a Unix socket takes at once with the system's default buffers: more would only wait in a queue. */
const outboxBytes = 256 * 1024;

/** What a context is made with, as native code takes it. */
export function nativeContext(options: ContextOptions): Uint8Array {
  return new Struct(ContextLayout)
    .set("poller", pollerNumber(options.poller))
    .set("poison", poisonedViews ? 1 : 0)
    .set("outbox_bytes", outboxBytes)
    .set("spin_ns", options.spin === undefined ? -1 : within("spin", options.spin, 0, 1e12)).bytes;
}

function pollerNumber(option: PollerKind | undefined): number {
  const kind = option ?? process.env["EARSHOT_POLLER"] ?? "";
  if (kind === "") return 0;
  if (Object.hasOwn(pollerKinds, kind)) return pollerKinds[kind as PollerKind];
  const known = Object.keys(pollerKinds).join(", ");
  throw new IpcError("EINVAL", `EINVAL: there is no poller "${kind}"; there are: ${known}`);
}

/** What a service is made with, as native code takes it. */
export function nativeService(options: ServiceOptions) {
  const allow = allowLists(options.allow);
  const given = new Struct(ServiceLayout)
    .set(
      "mode",
      whole("mode", options.mode ?? (options.allow === undefined ? 0o600 : 0o666), 0, 0o777),
    )
    .set("backlog", fullBacklog(options))
    .set("allow_everyone", allow.everyone ? 1 : 0)
    .set("shared", options.shared === true ? 1 : 0);
  putLimits(given.within("limits", LimitsLayout), fullLimits(options));
  return [given.bytes, allow.users, allow.usersCount, allow.groups, allow.groupsCount] as const;
}

function allowLists(allow: Allow | undefined) {
  const everyone = allow === "anyone";
  const users = everyone ? [] : ids("allow.users", allow?.users);
  const groups = everyone ? [] : ids("allow.groups", allow?.groups);
  if (allow !== undefined && !everyone && users.length + groups.length === 0) {
    throw new IpcError(
      "EINVAL",
      "EINVAL: allow names no user and no group, so that nobody could connect",
    );
  }
  return {
    everyone,
    users: Uint32Array.from(users.length === 0 ? [0] : users),
    usersCount: users.length,
    groups: Uint32Array.from(groups.length === 0 ? [0] : groups),
    groupsCount: groups.length,
  };
}

/** How many connections may wait, by the option or its default. */
export function fullBacklog({ backlog }: Pick<ServiceOptions, "backlog">): number {
  return whole("backlog", backlog ?? 4096, 1, 2 ** 31 - 1);
}

/** What a connection is made with, as native code takes it. */
export function nativeConnect(options: ConnectOptions): Uint8Array {
  const given = new Struct(ConnectLayout).set("shared", options.shared === true ? 1 : 0);
  putLimits(given.within("limits", LimitsLayout), fullLimits(options));
  return given.bytes;
}

/** The same for one over TCP, or a service there. */
export function nativeLimits(options: Limits): Uint8Array {
  const limits = new Struct(LimitsLayout);
  putLimits(limits, fullLimits(options));
  return limits.bytes;
}
