//! What a context reports: the record that native code writes and JavaScript and C read in place.
//!
//! A batch is an array of these. Each is 32 bytes, so that two share a cache line and none straddles one:
//!
//!     0        1        2                 4                 8
//!     +--------+--------+-----------------+-----------------+
//!     | type   | flags  | reason          | source          |   who it is about
//!     +--------+--------+-----------------+-----------------+
//!     | origin                            | offset          |   where it came from, where its bytes lie
//!     +-----------------------------------+-----------------+
//!     | length                            | detail          |
//!     +-----------------------------------+-----------------+
//!     | data                                                |
//!     +-----------------------------------------------------+
//!
//! What the last five fields hold depends on the type and is written at each member of `Type`.

const std = @import("std");
const Handle = @import("library").handle.Handle;

/// The numbers up to 8 are LibIPC's; those above are earshot's own.
pub const Type = enum(u8) {
    /// Something went wrong that ended no connection, or that ended one before it was reported.
    /// source: the service or connection; reason says what; detail: errno;
    /// for a refused peer length: its user id, data: its process id.
    @"error" = 0,
    /// A connection was accepted, or one that was being made is there. source: the connection; origin: its service, or 0;
    /// detail: the peer's process id; length: its user id; offset: its group id; data: the descriptor.
    connection = 1,
    /// A connection ended; the last event it has. source: the connection; origin: its service, or 0;
    /// reason says why; detail: errno; length: how many messages it had taken and could not send; data: their bytes.
    /// Of a switch, offset: the end that showed it.
    disconnection = 2,
    /// A message arrived. source: the connection; origin: its service, or 0; length: its bytes, which lie at
    /// `offset` in the inbox, or at the address in `data` if `flags` has `flag_loan`. With `flag_descriptors`, `detail`
    /// says which descriptors came with it, for `Context.takeDescriptors`; its lowest byte says how many.
    message_rx = 3,
    /// A message whose report was asked for is with the kernel. source: the connection;
    /// length: its bytes; data: the token that was given with it.
    message_tx = 4,
    /// A timer is due. source: the timer; data: how many periods have passed since its last event (at least 1).
    timer = 5,
    /// An external descriptor is readable or has ended. source: the external; detail: the descriptor.
    external = 6,
    /// Bytes have come on one end of a switch. source: the switch; offset: which end, 0 or 1; data: how many.
    switch_rx = 7,
    /// Bytes have left by one end of a switch; the same fields.
    switch_tx = 8,
    /// The queue of a connection that was over its high-water mark has emptied to half of it.
    /// source: the connection; data: the bytes still queued.
    drain = 9,
};

/// The message was too large for the inbox and has a buffer of its own (see `Context.take`).
pub const flag_loan: u8 = 1;
/// Descriptors came with the message, and are closed by the next wait unless they are taken.
pub const flag_descriptors: u8 = 2;

/// Why a connection ended, a peer was refused, or an error was reported. Counted one by one in the statistics.
pub const Reason = enum(u16) {
    none = 0,
    /// This side closed it.
    closed = 1,
    /// The peer closed it, having read everything.
    peer_closed = 2,
    /// The peer went away without reading everything it had been sent.
    peer_reset = 3,
    /// A length over the limit arrived: no message of ours, or one that was not agreed upon.
    message_too_long = 4,
    /// The peer went away in the middle of a message.
    truncated = 5,
    /// The peer began a message and then sent nothing for too long.
    stalled = 6,
    /// The peer does not read, and the queue to it reached its limit.
    queue_limit = 7,
    /// The peer's user or group is not allowed here.
    not_allowed = 8,
    /// The service has as many connections as it may have.
    connections_limit = 9,
    /// The peer sent descriptors nobody had asked for.
    descriptors_unasked = 10,
    /// There was no memory for what the peer sent or was to be sent.
    out_of_memory = 11,
    /// The system reported an error that has no reason of its own; the event's detail is the errno.
    system = 12,
    /// No descriptor was left: to accept with, where accepting pauses and is tried again by itself, or for those that
    /// came with a message.
    descriptor_limit = 13,
    /// The frames handed over to be sent were not frames.
    malformed = 14,
    /// The peer sent more descriptors than it may, with one message or before the others were taken.
    descriptors_too_many = 15,

    pub const count = @typeInfo(Reason).@"enum".fields.len;
};

pub const Event = extern struct {
    type: Type,
    flags: u8 = 0,
    reason: Reason = .none,
    source: Handle,
    origin: Handle = .none,
    offset: u32 = 0,
    length: u32 = 0,
    detail: i32 = 0,
    data: u64 = 0,

    comptime {
        std.debug.assert(@sizeOf(Event) == 32);
    }
};
