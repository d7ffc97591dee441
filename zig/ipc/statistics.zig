//! What a context, a service or a connection has done so far. One shape for all three: a service's figures are
//! the sum of its connections', a context's the sum of everything's, and both keep those of the ended ones.

const std = @import("std");
const Reason = @import("event.zig").Reason;

pub const Statistics = extern struct {
    messages_received: u64 = 0,
    /// Messages that are with the kernel.
    messages_sent: u64 = 0,
    /// Bytes on the wire: payloads and their headers.
    bytes_received: u64 = 0,
    bytes_sent: u64 = 0,
    /// Bytes taken to be sent that are not with the kernel yet.
    queued_bytes: u64 = 0,
    /// Messages that were taken to be sent, and whose connection ended first.
    messages_lost: u64 = 0,
    connections_accepted: u64 = 0,
    connections_made: u64 = 0,
    connections_open: u64 = 0,
    /// Descriptors held: connections, services, locks, pollers, what a waiter wakes and rings by, and one for each
    /// external one, which is its owner's.
    descriptors: u64 = 0,
    /// How many connections ended, were refused or had trouble, by `Reason`.
    reasons: [Reason.count]u64 = @splat(0),

    pub fn count(statistics: *Statistics, reason: Reason) void {
        statistics.reasons[@intFromEnum(reason)] += 1;
    }
};
