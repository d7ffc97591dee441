/** What one connection may take up: the options, their defaults, and their native shape. */

import { IpcError } from "../native/errors.ts";
import {
  constants,
  framings,
  type Limits as LimitsLayout,
  queuePolicies,
} from "../native/layout.ts";
import type { Struct } from "../native/struct.ts";
import { whole, within } from "./numbers.ts";

/** All sizes in bytes, all times in milliseconds. */
export type Limits = {
  /** The longest message, both ways. A peer that announces a longer one is dropped. Default 16 MiB. */
  messageBytesMax?: number | undefined;
  /**
   * Connections of one service; more are refused. Of a sealed one only those count who have shown who they are. Default
   * 65,536.
   */
  connectionsMax?: number | undefined;
  /** Over this many queued bytes `send` returns false and a drain follows. Default 1 MiB. */
  queueBytesHigh?: number | undefined;
  /** What may be queued for a peer that does not read: one message at least. Default 64 MiB, or two messages. */
  queueBytesMax?: number | undefined;
  /** Beyond that: `"close"` ends the connection (the default), `"refuse"` makes `send` throw ENOBUFS. */
  queuePolicy?: "close" | "refuse" | undefined;
  /** A peer that begins a message and then sends nothing for so long is dropped; 0 waits for ever. Default 30 s. */
  stallTimeout?: number | undefined;
  /** How long a closed connection goes on sending what it had taken. Default 5 s. */
  drainTimeout?: number | undefined;
  /** Takes descriptors that come with messages. Without this, a peer that sends some is dropped. */
  descriptors?: DescriptorLimits | undefined;
  /**
   * Bytes as they come, without frames: each `message` is what has arrived, at most `messageBytesMax` of it; what is sent
   * goes as it is. For peers that speak something else. Default false.
   */
  raw?: boolean | undefined;
};

export type DescriptorLimits = {
  /** With one message, up to 253. A peer that sends more is dropped. */
  max: number;
  /**
   * How many are held for all peers of one user together, what came and was not taken yet and what waits to be sent.
   * Default 1012.
   */
  held?: number | undefined;
};

const nsPerMs = 1e6;

export const limitDefaults = {
  messageBytesMax: 16 * 1024 * 1024,
  connectionsMax: 65_536,
  queueBytesHigh: 1024 * 1024,
  queueBytesMax: 64 * 1024 * 1024,
  queuePolicy: "close",
  stallTimeout: 30_000,
  drainTimeout: 5_000,
  descriptorsMax: 0,
  descriptorsHeld: 4 * constants.descriptors_max,
  raw: false,
} as const;

export type FullLimits = {
  [Name in Exclude<keyof Limits, "descriptors">]-?: NonNullable<Limits[Name]>;
} & { descriptorsMax: number; descriptorsHeld: number };

/** The limits with defaults filled in. Throws EINVAL where they do not go together. */
export function fullLimits(given: Limits): FullLimits {
  const messageBytesMax = given.messageBytesMax ?? limitDefaults.messageBytesMax;
  const queueBytesMax =
    given.queueBytesMax ?? Math.max(limitDefaults.queueBytesMax, 2 * messageBytesMax);
  const limits: FullLimits = {
    messageBytesMax,
    connectionsMax: given.connectionsMax ?? limitDefaults.connectionsMax,
    queueBytesHigh: given.queueBytesHigh ?? Math.min(limitDefaults.queueBytesHigh, queueBytesMax),
    queueBytesMax,
    queuePolicy: given.queuePolicy ?? limitDefaults.queuePolicy,
    stallTimeout: given.stallTimeout ?? limitDefaults.stallTimeout,
    drainTimeout: given.drainTimeout ?? limitDefaults.drainTimeout,
    descriptorsMax: given.descriptors?.max ?? limitDefaults.descriptorsMax,
    descriptorsHeld: given.descriptors?.held ?? limitDefaults.descriptorsHeld,
    raw: given.raw ?? limitDefaults.raw,
  };
  check(limits);
  return limits;
}

function check(limits: FullLimits): void {
  const yearMs = 365 * 24 * 3600 * 1000;
  within("messageBytesMax", limits.messageBytesMax, 0, constants.message_bytes_limit);
  within("connectionsMax", limits.connectionsMax, 0, 2 ** 31 - 1);
  within(
    "queueBytesMax",
    limits.queueBytesMax,
    limits.messageBytesMax + constants.header_bytes,
    2 ** 40,
    `: it has to hold one message, which is messageBytesMax + ${constants.header_bytes}`,
  );
  within("queueBytesHigh", limits.queueBytesHigh, 0, limits.queueBytesMax);
  within("stallTimeout", limits.stallTimeout, 0, yearMs);
  within("drainTimeout", limits.drainTimeout, 0, yearMs);
  whole("descriptors.max", limits.descriptorsMax, 0, constants.descriptors_max);
  whole("descriptors.held", limits.descriptorsHeld, 0, 2 ** 20);
  if (limits.raw)
    within("messageBytesMax", limits.messageBytesMax, 1, constants.message_bytes_limit);
  if (Object.hasOwn(queuePolicies, limits.queuePolicy)) return;
  throw new IpcError(
    "EINVAL",
    `EINVAL: queuePolicy is "close" or "refuse", not "${limits.queuePolicy}"`,
  );
}

/** Writes the limits into their native structure. */
export function putLimits(record: Struct<typeof LimitsLayout>, limits: FullLimits): void {
  record
    .set("message_bytes_max", limits.messageBytesMax)
    .set("connections_max", limits.connectionsMax)
    .set("queue_bytes_high", limits.queueBytesHigh)
    .set("queue_bytes_max", limits.queueBytesMax)
    .set("stall_ns", limits.stallTimeout * nsPerMs)
    .set("drain_ns", limits.drainTimeout * nsPerMs)
    .set("queue_policy", queuePolicies[limits.queuePolicy])
    .set("descriptors_max", limits.descriptorsMax)
    .set("descriptors_held_max", limits.descriptorsHeld)
    .set("framing", limits.raw ? framings.raw : framings.frames);
}
