/**
 * Sizes, offsets and numbers of what both sides of the boundary read: this side's idea of the ABI. `manifest.ts`
 * holds it against the library's own, briefly when it is loaded and wholly in a test.
 */

/** The ABI this side was written for. */
export const abiVersion = 2;

/** What a context reports. Numbers up to 8 are LibIPC's. */
export const EventType = {
  /** Something went wrong that ended no connection; `event.reason` or `event.error` says what. */
  Error: 0,
  /** A connection was accepted. */
  Connection: 1,
  /** A connection ended: its last event. */
  Disconnection: 2,
  /** A message was received: `event.message`. */
  MessageRx: 3,
  /** A message whose report was asked for is with the kernel: `event.token`. */
  MessageTx: 4,
  /** A timer is due: `event.periods`. */
  Timer: 5,
  /** An external descriptor is readable or has ended: `event.descriptor`. */
  External: 6,
  SwitchRx: 7,
  SwitchTx: 8,
  /** The queue of a connection that was over its high-water mark has emptied to half of it. */
  Drain: 9,
} as const;

export type EventType = (typeof EventType)[keyof typeof EventType];

/** Why a connection ended, a peer was refused or an error was reported, in the order of their numbers. */
export const reasons = [
  "none",
  "closed",
  "peer_closed",
  "peer_reset",
  "message_too_long",
  "truncated",
  "stalled",
  "queue_limit",
  "not_allowed",
  "connections_limit",
  "descriptors_unasked",
  "out_of_memory",
  "system",
  "descriptor_limit",
  "malformed",
  "descriptors_too_many",
] as const;

export type Reason = (typeof reasons)[number];

/** In the order of their numbers. */
export const syscalls = [
  "none",
  "socket",
  "bind",
  "listen",
  "accept",
  "connect",
  "recv",
  "send",
  "close",
  "poll",
  "epoll_create1",
  "epoll_ctl",
  "epoll_wait",
  "kqueue",
  "kevent",
  "eventfd",
  "pipe",
  "mmap",
  "open",
  "mkdir",
  "fstat",
  "flock",
  "unlink",
  "chmod",
  "getsockopt",
  "setsockopt",
  "fcntl",
  "clock_gettime",
  "socketpair",
  "pidfd_open",
  "read",
  "write",
  "splice",
  "launch_activate_socket",
  "memfd_create",
  "ftruncate",
  "fork",
  "dup3",
  "close_range",
  "timerfd",
  "setrlimit",
  "prctl",
  "unshare",
  "setgroups",
  "setgid",
  "setuid",
  "pidfd_send_signal",
  "waitid",
] as const;

/** The rule that a name breaks, in the order of their numbers. */
export const nameFaults = [
  "empty",
  "too_long",
  "leading_dot",
  "character",
  "reserved_ending",
] as const;

export const pollerKinds = { poll: 1, epoll: 2, kqueue: 3 } as const;
export type PollerKind = keyof typeof pollerKinds;

/** What becomes of a connection whose queue is full. */
export const queuePolicies = { close: 0, refuse: 1 } as const;

/** What a callback of a switch says of what it did. */
export const verdicts = { done: 0, failed: 1, closing: 2, ignore: 3 } as const;

/** How messages are told apart on the wire. */
export const framings = { frames: 0, raw: 1 } as const;

/** Whether what was taken is still sent when a handle is closed, and whether a service leaves its name behind. */
export const closeHow = { drain: 0, now: 1, leave: 2 } as const;

export const constants = {
  event_flag_loan: 1,
  event_flag_descriptors: 2,
  descriptors_max: 253,
  copies_max: 2,
  launch_sockets_max: 64,
  header_bytes: 4,
  poison_byte: 0xdb,
  name_bytes_max: 64,
  run_directory_bytes_max: 4096,
  allow_entries_max: 1024,
  reason_bytes_max: 512,
  message_bytes_limit: 0x7fff_fffb,
} as const;

type Field = readonly [offset: number, bytes: number];
type Struct = { readonly size: number; readonly fields: Readonly<Record<string, Field>> };

const struct = <const Shape extends Struct>(shape: Shape) => shape;

export const Event = struct({
  size: 32,
  fields: {
    type: [0, 1],
    flags: [1, 1],
    reason: [2, 2],
    source: [4, 4],
    origin: [8, 4],
    offset: [12, 4],
    length: [16, 4],
    detail: [20, 4],
    data: [24, 8],
  },
});

export const Run = struct({
  size: 16,
  fields: { connection: [0, 4], bytes: [4, 4], messages: [8, 4], token_or_result: [12, 4] },
});

export const Control = struct({
  size: 64,
  fields: {
    references: [0, 4],
    errno: [4, 4],
    syscall: [8, 4],
    reserved: [12, 4],
    detail: [16, 8],
    events_bytes: [24, 8],
    inbox_bytes: [32, 8],
    outbox_bytes: [40, 8],
    total_bytes: [48, 8],
    entrusted: [56, 8],
  },
});

export const ContextOptions = struct({
  size: 24,
  fields: {
    poller: [0, 4],
    poison: [4, 4],
    inbox_bytes: [8, 4],
    outbox_bytes: [12, 4],
    spin_ns: [16, 8],
  },
});

export const Limits = struct({
  size: 56,
  fields: {
    message_bytes_max: [0, 4],
    connections_max: [4, 4],
    queue_bytes_high: [8, 8],
    queue_bytes_max: [16, 8],
    stall_ns: [24, 8],
    drain_ns: [32, 8],
    queue_policy: [40, 4],
    descriptors_max: [44, 4],
    descriptors_held_max: [48, 4],
    framing: [52, 4],
  },
});

export const ServiceOptions = struct({
  size: 72,
  fields: {
    limits: [0, 56],
    mode: [56, 4],
    backlog: [60, 4],
    allow_everyone: [64, 4],
    shared: [68, 4],
  },
});

export const ConnectOptions = struct({
  size: 64,
  fields: { limits: [0, 56], shared: [56, 4], reserved: [60, 4] },
});

export const Areas = struct({
  size: 48,
  fields: {
    control: [0, 8],
    events: [8, 8],
    inbox: [16, 8],
    outbox: [24, 8],
    events_bytes: [32, 4],
    inbox_bytes: [36, 4],
    outbox_bytes: [40, 4],
    reserved: [44, 4],
  },
});

export const Peer = struct({
  size: 16,
  fields: { uid: [0, 4], gid: [4, 4], pid: [8, 4], reserved: [12, 4] },
});

export const Address = struct({
  size: 32,
  fields: {
    family: [0, 4],
    port: [4, 4],
    scope: [8, 4],
    bytes: [12, 16],
    reserved: [28, 4],
  },
});

export const Failure = struct({
  size: 16,
  fields: { errno: [0, 4], syscall: [4, 4], detail: [8, 8] },
});

export const Inspection = struct({
  size: 16,
  fields: { state: [0, 4], pid: [4, 4], uid: [8, 4], reserved: [12, 4] },
});

export const inspectionStates = ["live", "stale", "foreign", "unknown"] as const;

export const Statistics = struct({
  size: 208,
  fields: {
    messages_received: [0, 8],
    messages_sent: [8, 8],
    bytes_received: [16, 8],
    bytes_sent: [24, 8],
    queued_bytes: [32, 8],
    messages_lost: [40, 8],
    connections_accepted: [48, 8],
    connections_made: [56, 8],
    connections_open: [64, 8],
    descriptors: [72, 8],
    reasons: [80, 128],
  },
});

export const structs = {
  Event,
  Run,
  Control,
  ContextOptions,
  Limits,
  ServiceOptions,
  ConnectOptions,
  Areas,
  Peer,
  Address,
  Failure,
  Inspection,
  Statistics,
} as const;
