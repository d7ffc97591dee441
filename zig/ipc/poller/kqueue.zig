//! kqueue(2): the kernel keeps the descriptors, so that a wait costs what is ready and nothing for
//! what is idle. To kqueue reading and writing are two things, each with its own event; here they
//! are put together again, one `Ready` for a descriptor.

const std = @import("std");
const sys = @import("sys");
const poller = @import("poller.zig");
const AlwaysReady = @import("always_ready.zig").AlwaysReady;

const Allocator = std.mem.Allocator;
const E = std.c.E;
const Fd = sys.Fd;
const kq = sys.kqueue;

/// How many events one call brings; they pass over the stack, 32 to 64 bytes each.
const events_max = 256;

/// The name of the one user event, which stands for every descriptor that cannot be watched.
const beacon_ident = 0;

pub const Kqueue = struct {
    system: *sys.System,
    allocator: Allocator,
    fd: Fd,
    entries: std.AutoHashMapUnmanaged(Fd, Entry) = .empty,
    always: AlwaysReady = .{},
    beacon_lit: bool = false,
    /// Counts waits, so that an entry knows whether this one has reported it.
    round: u64 = 0,
    /// Here and not on the stack of `wait`, where a safe build would fill it at every call.
    buffer: [events_max]kq.Kevent = undefined,

    const Entry = struct {
        token: u64,
        interest: poller.Interest,
        round: u64 = 0,
        index: u32 = 0,
    };

    /// Without a filter on the descriptor the kernel has nothing to say about it.
    pub const hang_up_needs_interest = true;

    pub fn init(system: *sys.System, allocator: Allocator) poller.InitError!Kqueue {
        return .{
            .system = system,
            .allocator = allocator,
            .fd = try kq.create(system),
        };
    }

    pub fn deinit(kqueue: *Kqueue) void {
        kqueue.system.close(kqueue.fd);
        kqueue.entries.deinit(kqueue.allocator);
        kqueue.always.deinit(kqueue.allocator);
    }

    pub fn add(
        kqueue: *Kqueue,
        fd: Fd,
        token: u64,
        interest: poller.Interest,
    ) poller.AddError!void {
        if (kqueue.entries.contains(fd) or kqueue.always.contains(fd)) return kqueue.refuse(.EXIST);
        // kqueue watches a plain file too, but calls it ready only short of its end.
        const stat = kqueue.system.statFd(fd) catch return error.Unexpected;
        if (stat.kind == .file) return kqueue.putAlways(fd, token, interest);
        try kqueue.entries.ensureUnusedCapacity(kqueue.allocator, 1);
        kqueue.setFilters(fd, .{}, interest) catch |err| switch (err) {
            error.NotWatchable => return kqueue.putAlways(fd, token, interest),
            error.WatchLimit, error.OutOfMemory, error.Unexpected => |other| return other,
        };
        kqueue.entries.putAssumeCapacity(fd, .{ .token = token, .interest = interest });
    }

    fn putAlways(
        kqueue: *Kqueue,
        fd: Fd,
        token: u64,
        interest: poller.Interest,
    ) poller.AddError!void {
        try kqueue.always.reserve(kqueue.allocator);
        kqueue.always.put(fd, token, interest);
        errdefer kqueue.always.forget(fd);
        try kqueue.light();
    }

    /// Lets the beacon burn while somebody needs it.
    fn light(kqueue: *Kqueue) poller.AddError!void {
        const wanted = kqueue.always.wanted > 0;
        if (wanted == kqueue.beacon_lit) return;
        if (wanted) {
            try kqueue.applyBeacon(kq.flag_add, 0);
            try kqueue.applyBeacon(0, kq.note_trigger);
        } else {
            try kqueue.applyBeacon(kq.flag_delete, 0);
        }
        kqueue.beacon_lit = wanted;
    }

    fn applyBeacon(kqueue: *Kqueue, flags: u16, fflags: u32) poller.AddError!void {
        const change = kq.change(beacon_ident, kq.filter_user, flags, fflags);
        kq.apply(kqueue.system, kqueue.fd, change) catch |err| switch (err) {
            error.NotWatchable => return error.Unexpected,
            error.WatchLimit, error.OutOfMemory, error.Unexpected => |other| return other,
        };
    }

    pub fn modify(
        kqueue: *Kqueue,
        fd: Fd,
        token: u64,
        interest: poller.Interest,
    ) poller.AddError!void {
        if (kqueue.always.contains(fd)) {
            kqueue.always.put(fd, token, interest);
            return kqueue.light();
        }
        const entry = kqueue.entries.getPtr(fd) orelse return kqueue.refuse(.NOENT);
        kqueue.setFilters(fd, entry.interest, interest) catch |err| switch (err) {
            // It was added without any interest, so nobody knew until now.
            error.NotWatchable => {
                try kqueue.putAlways(fd, token, interest);
                _ = kqueue.entries.remove(fd);
                return;
            },
            error.WatchLimit, error.OutOfMemory, error.Unexpected => |other| return other,
        };
        entry.token = token;
        entry.interest = interest;
    }

    /// Brings the kernel from one interest to another, or leaves it where it was.
    fn setFilters(
        kqueue: *Kqueue,
        fd: Fd,
        present: poller.Interest,
        wanted: poller.Interest,
    ) kq.ApplyError!void {
        const read_added = wanted.readable and !present.readable;
        if (read_added) try kqueue.setFilter(fd, kq.filter_read, true);
        errdefer if (read_added) kqueue.setFilter(fd, kq.filter_read, false) catch {};
        if (wanted.writable and !present.writable) {
            try kqueue.setFilter(fd, kq.filter_write, true);
        }
        // What cannot be taken out has left by itself.
        if (present.readable and !wanted.readable) {
            kqueue.setFilter(fd, kq.filter_read, false) catch {};
        }
        if (present.writable and !wanted.writable) {
            kqueue.setFilter(fd, kq.filter_write, false) catch {};
        }
    }

    fn setFilter(kqueue: *Kqueue, fd: Fd, filter: i16, watched: bool) kq.ApplyError!void {
        const flags: u16 = if (watched) kq.flag_add else kq.flag_delete;
        return kq.apply(kqueue.system, kqueue.fd, kq.change(@intCast(fd), filter, flags, 0));
    }

    pub fn remove(kqueue: *Kqueue, fd: Fd) void {
        if (kqueue.always.contains(fd)) {
            kqueue.always.forget(fd);
            // A beacon that cannot be put out costs time and nothing else: waits find nobody here.
            kqueue.light() catch {};
            return;
        }
        const removed = kqueue.entries.fetchRemove(fd) orelse return;
        // Taking filters out fails only where the descriptor left by itself.
        kqueue.setFilters(fd, removed.value.interest, .{}) catch {};
    }

    pub fn wait(kqueue: *Kqueue, ready: []poller.Ready, timeout_ns: ?u64) poller.WaitError!usize {
        const events = kqueue.buffer[0..@min(ready.len, events_max)];
        const count = try kq.wait(kqueue.system, kqueue.fd, events, timeout_ns);
        kqueue.round += 1;
        var found: usize = 0;
        var beacon_seen = false;
        for (events[0..count]) |event| {
            if (event.filter == kq.filter_user) {
                beacon_seen = true;
                continue;
            }
            const entry = kqueue.entries.getPtr(@intCast(event.ident)) orelse continue;
            if (entry.round != kqueue.round) {
                entry.round = kqueue.round;
                entry.index = @intCast(found);
                ready[found] = .{
                    .token = entry.token,
                    .readable = false,
                    .writable = false,
                    .ended = false,
                };
                found += 1;
            }
            merge(&ready[entry.index], event);
        }
        // The beacon's own event left room for one at least.
        if (beacon_seen) found += kqueue.always.fill(ready[found..]);
        return found;
    }

    /// The end of what a peer sends is not the end of the conversation. That is over when nothing
    /// can be written any more, or when the kernel names an error beside the end.
    fn merge(ready: *poller.Ready, event: kq.Kevent) void {
        const at_end = event.flags & kq.flag_eof != 0;
        if (event.flags & kq.flag_error != 0) ready.ended = true;
        if (event.filter == kq.filter_read) {
            ready.readable = true;
            if (at_end and event.fflags != 0) ready.ended = true;
        } else {
            ready.writable = true;
            if (at_end) ready.ended = true;
        }
    }

    pub fn held(kqueue: *const Kqueue) u32 {
        _ = kqueue;
        return 1;
    }

    pub fn waitable(kqueue: *const Kqueue) ?Fd {
        return kqueue.fd;
    }

    fn refuse(kqueue: *Kqueue, errno: E) error{Unexpected} {
        kqueue.system.failure = .{ .errno = @intFromEnum(errno), .syscall = .kevent };
        return error.Unexpected;
    }
};
