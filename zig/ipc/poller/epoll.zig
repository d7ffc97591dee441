//! epoll(7): the kernel keeps the descriptors and their tokens, so that a wait costs what is ready
//! and nothing for what is idle.

const std = @import("std");
const sys = @import("sys");
const poller = @import("poller.zig");
const AlwaysReady = @import("always_ready.zig").AlwaysReady;

const Allocator = std.mem.Allocator;
const E = std.c.E;
const EPOLL = sys.epoll.EPOLL;
const Fd = sys.Fd;

/// How many events one call brings. More than this at once and the call no longer matters beside the
/// work.
const events_max = 256;

pub const Epoll = struct {
    system: *sys.System,
    allocator: Allocator,
    fd: Fd,
    /// False once the kernel turned out to know milliseconds only.
    precise: bool = true,
    always: AlwaysReady = .{},
    /// Opened for the first descriptor that needs it.
    beacon: ?Fd = null,
    beacon_lit: bool = false,
    /// Here and not on the stack of `wait`, where a safe build would fill it at every call.
    buffer: [events_max]sys.epoll.Event = undefined,

    pub fn init(system: *sys.System, allocator: Allocator) poller.InitError!Epoll {
        return .{
            .system = system,
            .allocator = allocator,
            .fd = try sys.epoll.create(system),
        };
    }

    pub fn deinit(epoll: *Epoll) void {
        if (epoll.beacon) |beacon| epoll.system.close(beacon);
        epoll.system.close(epoll.fd);
        epoll.always.deinit(epoll.allocator);
    }

    pub fn add(epoll: *Epoll, fd: Fd, token: u64, interest: poller.Interest) poller.AddError!void {
        if (sys.epoll.add(epoll.system, epoll.fd, fd, eventsOf(interest), token)) {
            // The number belonged to a file that was closed without being removed.
            if (epoll.always.contains(fd)) {
                epoll.always.forget(fd);
                try epoll.light();
            }
        } else |err| switch (err) {
            error.NotWatchable => return epoll.addAlways(fd, token, interest),
            error.WatchLimit, error.OutOfMemory, error.Unexpected => |other| return other,
        }
    }

    fn addAlways(
        epoll: *Epoll,
        fd: Fd,
        token: u64,
        interest: poller.Interest,
    ) poller.AddError!void {
        if (epoll.always.contains(fd)) return epoll.refuse(.EXIST);
        try epoll.always.reserve(epoll.allocator);
        if (epoll.beacon == null) epoll.beacon = try epoll.openBeacon();
        epoll.always.put(fd, token, interest);
        errdefer epoll.always.forget(fd);
        try epoll.light();
    }

    fn openBeacon(epoll: *Epoll) poller.AddError!Fd {
        const beacon = sys.epoll.openBeacon(epoll.system) catch |err| switch (err) {
            error.DescriptorLimit => return error.WatchLimit,
            error.Unexpected => return error.Unexpected,
        };
        errdefer epoll.system.close(beacon);
        sys.epoll.add(epoll.system, epoll.fd, beacon, 0, 0) catch |err| switch (err) {
            error.NotWatchable => return error.Unexpected,
            error.WatchLimit, error.OutOfMemory, error.Unexpected => |other| return other,
        };
        return beacon;
    }

    /// Lets the beacon burn while somebody needs it.
    fn light(epoll: *Epoll) error{Unexpected}!void {
        const wanted = epoll.always.wanted > 0;
        if (wanted == epoll.beacon_lit) return;
        const events: u32 = if (wanted) sys.epoll.beacon_events else 0;
        try sys.epoll.modify(epoll.system, epoll.fd, epoll.beacon.?, events, 0);
        epoll.beacon_lit = wanted;
    }

    pub fn modify(
        epoll: *Epoll,
        fd: Fd,
        token: u64,
        interest: poller.Interest,
    ) poller.AddError!void {
        if (epoll.always.contains(fd)) {
            epoll.always.put(fd, token, interest);
            return epoll.light();
        }
        try sys.epoll.modify(epoll.system, epoll.fd, fd, eventsOf(interest), token);
    }

    pub fn remove(epoll: *Epoll, fd: Fd) void {
        if (!epoll.always.contains(fd)) return sys.epoll.remove(epoll.fd, fd);
        epoll.always.forget(fd);
        // A beacon that cannot be put out costs time and nothing else: waits find nobody here.
        epoll.light() catch {};
    }

    pub fn wait(epoll: *Epoll, ready: []poller.Ready, timeout_ns: ?u64) poller.WaitError!usize {
        const events = epoll.buffer[0..@min(ready.len, events_max)];
        const count = try sys.epoll.wait(
            epoll.system,
            epoll.fd,
            events,
            timeout_ns,
            &epoll.precise,
        );
        var found: usize = 0;
        var beacon_seen = false;
        for (events[0..count]) |event| {
            if (event.events & sys.epoll.beacon_events != 0) {
                beacon_seen = true;
                continue;
            }
            ready[found] = .{
                .token = event.data.u64,
                .readable = event.events & EPOLL.IN != 0,
                .writable = event.events & EPOLL.OUT != 0,
                .ended = event.events & (EPOLL.HUP | EPOLL.ERR) != 0,
            };
            found += 1;
        }
        // The beacon's own event left room for one at least, and the kernel reports what is ready
        // in turn, so that neither side waits for ever.
        if (beacon_seen) found += epoll.always.fill(ready[found..]);
        return found;
    }

    pub fn held(epoll: *const Epoll) u32 {
        return if (epoll.beacon == null) 1 else 2;
    }

    pub fn waitable(epoll: *const Epoll) ?Fd {
        return epoll.fd;
    }

    fn refuse(epoll: *Epoll, errno: E) error{Unexpected} {
        epoll.system.failure = .{ .errno = @intFromEnum(errno), .syscall = .epoll_ctl };
        return error.Unexpected;
    }
};

fn eventsOf(interest: poller.Interest) u32 {
    var events: u32 = 0;
    if (interest.readable) events |= EPOLL.IN;
    if (interest.writable) events |= EPOLL.OUT;
    return events;
}
