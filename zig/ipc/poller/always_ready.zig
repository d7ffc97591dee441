//! The descriptors that a poller was given and cannot watch, because they are always ready.
//!
//! The poller keeps one real registration, its beacon, that is ready for as long as anybody here
//! wants something (`wanted`). When a wait reports the beacon, these take the places that are left.

const std = @import("std");
const sys = @import("sys");
const poller = @import("poller.zig");

const Allocator = std.mem.Allocator;
const Fd = sys.Fd;

pub const AlwaysReady = struct {
    entries: std.AutoArrayHashMapUnmanaged(Fd, Entry) = .empty,
    /// How many entries have an interest.
    wanted: usize = 0,
    /// Whose turn it is, so that a short list of results serves all in turn.
    next: usize = 0,

    const Entry = struct { token: u64, interest: poller.Interest };

    pub fn deinit(always: *AlwaysReady, allocator: Allocator) void {
        always.entries.deinit(allocator);
    }

    pub fn contains(always: *const AlwaysReady, fd: Fd) bool {
        // Almost nobody has any, and then there is nothing to look up.
        return always.entries.count() > 0 and always.entries.contains(fd);
    }

    pub fn reserve(always: *AlwaysReady, allocator: Allocator) error{OutOfMemory}!void {
        try always.entries.ensureUnusedCapacity(allocator, 1);
    }

    /// Room was reserved, or the descriptor is here already.
    pub fn put(always: *AlwaysReady, fd: Fd, token: u64, interest: poller.Interest) void {
        always.forget(fd);
        always.entries.putAssumeCapacity(fd, .{ .token = token, .interest = interest });
        if (!interest.isEmpty()) always.wanted += 1;
    }

    pub fn forget(always: *AlwaysReady, fd: Fd) void {
        const removed = always.entries.fetchSwapRemove(fd) orelse return;
        if (!removed.value.interest.isEmpty()) always.wanted -= 1;
    }

    pub fn fill(always: *AlwaysReady, ready: []poller.Ready) usize {
        const entries = always.entries.values();
        const places = @min(ready.len, always.wanted);
        var found: usize = 0;
        var index = if (always.next < entries.len) always.next else 0;
        while (found < places) {
            const entry = entries[index];
            if (!entry.interest.isEmpty()) {
                ready[found] = .{
                    .token = entry.token,
                    .readable = entry.interest.readable,
                    .writable = entry.interest.writable,
                    .ended = false,
                };
                found += 1;
            }
            index = if (index + 1 == entries.len) 0 else index + 1;
        }
        always.next = index;
        return found;
    }
};
