//! kqueue(2): the kernel keeps the descriptors, so that a wait costs what is ready and nothing for
//! what is idle. To kqueue reading and writing are two things, each with its own event; here they
//! are put together again, one `Ready` for a descriptor.
//!
//! Without a filter on a descriptor the kernel has nothing to say of it, not even its end. So one
//! without interest has a filter too:
//!
//!     interest     filters                 what they tell
//!     read         READ                    something to read, or a peer that sends no more
//!     write        WRITE                   room, or a peer that is gone
//!     both         READ and WRITE
//!     neither      WRITE with EV_CLEAR     room, once, which is passed over; a peer that is gone
//!     the end      WRITE                   a peer that is gone, at every wait
//!
//! It is WRITE that watches for the end because its EV_EOF means that nobody is left to write to. That
//! of READ comes as soon as the peer stops sending, which may be in the middle of a conversation.

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
        filters: Filters,
        round: u64 = 0,
        index: u32 = 0,
    };

    /// What the kernel has been told of a descriptor.
    const Filters = struct {
        read: bool = false,
        write: Write = .none,

        const Write = enum { none, once, always };

        fn of(interest: poller.Interest) Filters {
            if (interest.isEmpty()) return .{ .write = .once };
            return .{
                .read = interest.readable,
                .write = if (interest.writable) .always else .none,
            };
        }
    };

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
        const stat = kqueue.system.statFd(fd) catch return error.Unexpected;
        if (kqueue.entries.get(fd)) |entry| {
            if (kqueue.isThere(fd, entry.filters)) return kqueue.refuse(.EXIST);
            // The number belonged to a file that was closed without being removed.
            _ = kqueue.entries.remove(fd);
        }
        // kqueue watches a plain file too, but calls it ready only short of its end.
        if (stat.kind == .file) return kqueue.addAlways(fd, token, interest);
        try kqueue.entries.ensureUnusedCapacity(kqueue.allocator, 1);
        const filters = kqueue.setFilters(fd, .{}, interest) catch |err| switch (err) {
            error.NotWatchable => return kqueue.addAlways(fd, token, interest),
            error.WatchLimit, error.OutOfMemory, error.Unexpected => |other| return other,
        };
        kqueue.entries.putAssumeCapacity(fd, .{
            .token = token,
            .interest = interest,
            .filters = filters,
        });
        // So did this one's, and that was a plain file.
        if (kqueue.always.contains(fd)) {
            kqueue.always.forget(fd);
            try kqueue.light();
        }
    }

    /// Whether the kernel still has what it was told of a descriptor, which a close makes it forget.
    fn isThere(kqueue: *Kqueue, fd: Fd, filters: Filters) bool {
        const filter: i16 = if (filters.read) kq.filter_read else kq.filter_write;
        kqueue.apply(fd, filter, kq.flag_enable) catch {
            const forgotten = kqueue.system.failure.errno == @intFromEnum(E.NOENT);
            // Of a descriptor without filters nobody knows, and it is left as it is.
            return !forgotten or (!filters.read and filters.write == .none);
        };
        return true;
    }

    fn addAlways(
        kqueue: *Kqueue,
        fd: Fd,
        token: u64,
        interest: poller.Interest,
    ) poller.AddError!void {
        if (kqueue.always.contains(fd)) return kqueue.refuse(.EXIST);
        return kqueue.putAlways(fd, token, interest);
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
        const filters = kqueue.setFilters(fd, entry.filters, interest) catch |err| switch (err) {
            // It was added without any interest, so nobody knew until now.
            error.NotWatchable => {
                try kqueue.putAlways(fd, token, interest);
                kqueue.clearFilters(fd, entry.filters);
                _ = kqueue.entries.remove(fd);
                return;
            },
            error.WatchLimit, error.OutOfMemory, error.Unexpected => |other| return other,
        };
        entry.token = token;
        entry.interest = interest;
        entry.filters = filters;
    }

    /// Brings the kernel to what an interest needs, and returns what it has then, or leaves it where
    /// it was.
    fn setFilters(
        kqueue: *Kqueue,
        fd: Fd,
        present: Filters,
        interest: poller.Interest,
    ) kq.ApplyError!Filters {
        var wanted: Filters = .of(interest);
        const read_added = wanted.read and !present.read;
        if (read_added) try kqueue.apply(fd, kq.filter_read, kq.flag_add);
        errdefer if (read_added) kqueue.apply(fd, kq.filter_read, kq.flag_delete) catch {};
        kqueue.setWrite(fd, present.write, wanted.write) catch |err| switch (err) {
            // Not everything that can be read has an end to watch for.
            error.NotWatchable => if (wanted.write == .once) {
                wanted.write = .none;
            } else return err,
            error.WatchLimit, error.OutOfMemory, error.Unexpected => return err,
        };
        if (present.read and !wanted.read) kqueue.clearFilters(fd, .{ .read = true });
        return wanted;
    }

    fn setWrite(
        kqueue: *Kqueue,
        fd: Fd,
        present: Filters.Write,
        wanted: Filters.Write,
    ) kq.ApplyError!void {
        if (wanted == present) return;
        // EV_CLEAR cannot be put to a filter that is there, nor taken from it.
        kqueue.clearFilters(fd, .{ .write = present });
        errdefer kqueue.addWrite(fd, present) catch {};
        try kqueue.addWrite(fd, wanted);
    }

    fn addWrite(kqueue: *Kqueue, fd: Fd, wanted: Filters.Write) kq.ApplyError!void {
        switch (wanted) {
            .none => {},
            .once => try kqueue.apply(fd, kq.filter_write, kq.flag_add | kq.flag_clear),
            .always => try kqueue.apply(fd, kq.filter_write, kq.flag_add),
        }
    }

    /// What cannot be taken out has left by itself.
    fn clearFilters(kqueue: *Kqueue, fd: Fd, present: Filters) void {
        if (present.read) kqueue.apply(fd, kq.filter_read, kq.flag_delete) catch {};
        if (present.write != .none) kqueue.apply(fd, kq.filter_write, kq.flag_delete) catch {};
    }

    fn apply(kqueue: *Kqueue, fd: Fd, filter: i16, flags: u16) kq.ApplyError!void {
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
        kqueue.clearFilters(fd, removed.value.filters);
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
            const fd: Fd = @intCast(event.ident);
            const entry = kqueue.entries.getPtr(fd) orelse continue;
            if (entry.interest.isEmpty()) {
                if (!isOver(event)) continue;
                kqueue.holdEnd(fd, entry);
            }
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
            merge(&ready[entry.index], entry.interest, event);
        }
        // The beacon's own event left room for one at least.
        if (beacon_seen) found += kqueue.always.fill(ready[found..]);
        return found;
    }

    /// What was told once is told at every wait from now on, as an end is by every poller.
    fn holdEnd(kqueue: *Kqueue, fd: Fd, entry: *Entry) void {
        kqueue.setWrite(fd, entry.filters.write, .always) catch return;
        entry.filters.write = .always;
    }

    fn merge(ready: *poller.Ready, interest: poller.Interest, event: kq.Kevent) void {
        if (event.filter == kq.filter_read) ready.readable = true;
        if (event.filter == kq.filter_write and interest.writable) ready.writable = true;
        if (isOver(event)) ready.ended = true;
    }

    /// The end of what a peer sends is not the end of the conversation. That is over when nothing
    /// can be written any more, or when the kernel names an error beside the end.
    fn isOver(event: kq.Kevent) bool {
        if (event.flags & kq.flag_error != 0) return true;
        if (event.flags & kq.flag_eof == 0) return false;
        return event.filter == kq.filter_write or event.fflags != 0;
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
