//! Has the event loop of a host, where that polls by epoll as Bun's does, poll a context's poller itself, so that no
//! thread need sleep in its stead. To the host it looks as if a socket of its own could be read: the poller stands in the
//! host's epoll under what that socket is registered as, and a byte lies ready in the socket.
//!
//!     host's epoll ── near ──▶ the host's socket            before: near is polled for what far sends
//!     host's epoll ── near ──▶ poller, timer                after: near holds a byte, which is read when they are ready
//!
//! How the host registers its sockets is its own affair, and no part of any promise of Bun's. So it is read from /proc,
//! where it can be seen, and where anything is not as expected there is no guest, and a thread sleeps as elsewhere.
//! A host that closes its socket lets the guest go before: what it is registered as is an address in the host's memory.

const std = @import("std");
const builtin = @import("builtin");
const sys = @import("sys");

pub const Guest = struct {
    /// The epoll of the host, and what it takes for its socket.
    host: sys.Fd,
    data: u64,
    near: sys.Fd,
    far: sys.Fd,
    watched: sys.Fd,
    timer: sys.Fd,
    /// Until when the timer sleeps; what was set before and has not come is left alone, and may wake the host in vain.
    until_ns: u64 = never,
    /// Whether the byte lies in `near`.
    is_loaded: bool = false,

    pub const available = builtin.os.tag == .linux;

    const never = std.math.maxInt(u64);
    const once = if (available) sys.epoll.EPOLL.IN | sys.epoll.EPOLL.ONESHOT else 0;
    const edge = if (available) sys.epoll.EPOLL.IN | sys.epoll.EPOLL.ET else 0;
    /// A host that watches more than some two hundred descriptors when it makes a context has a thread.
    const text_bytes_max = 16 * 1024;

    /// `near`, which stays the host's, is registered with an epoll of this process, and nobody polls it from then on. `far`
    /// is the guest's then. `watched` is the context's poller. Only for the thread whose loop that epoll is.
    pub fn settle(system: *sys.System, near: sys.Fd, far: sys.Fd, watched: sys.Fd) error{Unavailable}!Guest {
        if (!available) return error.Unavailable;
        var text: [text_bytes_max]u8 = undefined;
        const found = sys.registration.Registration.of(system, near, &text) orelse return error.Unavailable;
        const timer = sys.timer.create(system) catch return error.Unavailable;
        errdefer system.close(timer);
        // Disarmed: an epoll is never in error.
        sys.epoll.add(system, found.poller, watched, 0, found.data) catch return error.Unavailable;
        errdefer sys.epoll.remove(found.poller, watched);
        sys.epoll.add(system, found.poller, timer, edge, found.data) catch return error.Unavailable;
        sys.epoll.remove(found.poller, near);
        return .{
            .host = found.poller,
            .data = found.data,
            .near = near,
            .far = far,
            .watched = watched,
            .timer = timer,
        };
    }

    pub fn leave(guest: *Guest, system: *sys.System) void {
        if (!available) unreachable; // There is none.
        sys.epoll.remove(guest.host, guest.watched);
        sys.epoll.remove(guest.host, guest.timer);
        system.close(guest.timer);
        system.close(guest.far);
        guest.* = undefined;
    }

    /// How many descriptors it holds of its own.
    pub const held = 2;

    /// The host finds `near` readable once when the poller has something or the deadline has come.
    pub fn arm(guest: *Guest, system: *sys.System, deadline_ns: ?u64) error{Unexpected}!void {
        if (!available) unreachable; // There is none.
        if (!guest.is_loaded) guest.is_loaded = switch (system.send(guest.far, &byte)) {
            .bytes => true,
            else => return error.Unexpected,
        };
        if (deadline_ns) |due_ns| try guest.set(system, due_ns);
        try sys.epoll.modify(system, guest.host, guest.watched, once, guest.data);
    }

    const byte = [_]std.posix.iovec_const{.{ .base = "!", .len = 1 }};

    fn set(guest: *Guest, system: *sys.System, due_ns: u64) error{Unexpected}!void {
        if (due_ns >= guest.until_ns and guest.until_ns > system.monotonic()) return;
        sys.timer.set(system, guest.timer, due_ns) catch return error.Unexpected;
        guest.until_ns = due_ns;
    }

    /// The host has read the byte.
    pub fn heard(guest: *Guest) void {
        guest.is_loaded = false;
    }
};

/// A host with an epoll of its own, in which it knows its socket by a number; and a poller, which watches one end of a pair.
const Host = struct {
    system: sys.System = .{},
    epoll: sys.Fd,
    near: sys.Fd,
    far: sys.Fd,
    poller: sys.Fd,
    watched: [2]sys.Fd,

    const known_by = 0xfeed_beef;

    fn init() !Host {
        if (!Guest.available) return error.SkipZigTest;
        var system: sys.System = .{};
        const pair = try system.pair();
        const epoll = try sys.epoll.create(&system);
        try sys.epoll.add(&system, epoll, pair[0], sys.epoll.EPOLL.IN, known_by);
        const poller = try sys.epoll.create(&system);
        const watched = try system.pair();
        try sys.epoll.add(&system, poller, watched[0], sys.epoll.EPOLL.IN, 0);
        return .{ .epoll = epoll, .near = pair[0], .far = pair[1], .poller = poller, .watched = watched };
    }

    fn deinit(host: *Host) void {
        for ([_]sys.Fd{ host.epoll, host.near, host.poller } ++ host.watched) |fd| host.system.close(fd);
    }

    fn settle(host: *Host) !Guest {
        return .settle(&host.system, host.near, host.far, host.poller);
    }

    /// The poller has something from then on.
    fn cause(host: *Host) !void {
        try std.testing.expectEqual(sys.Sent{ .bytes = 1 }, host.system.write(host.watched[1], "x"));
    }

    /// How many bytes the socket has when the loop goes round; null if it has no cause to look.
    fn turn(host: *Host, timeout_ns: u64) !?usize {
        var ready: [4]sys.epoll.Event = undefined;
        var precise = true;
        const count = try sys.epoll.wait(&host.system, host.epoll, &ready, timeout_ns, &precise);
        if (count == 0) return null;
        for (ready[0..count]) |event| try std.testing.expectEqual(known_by, event.data.u64);
        var buffer: [8]u8 = undefined;
        return switch (host.system.read(host.near, &buffer)) {
            .bytes => |bytes| bytes,
            .would_block => 0,
            else => error.Unexpected,
        };
    }
};

test "its host reads one byte for each arming, when the poller has something, and finds nothing else" {
    var host = try Host.init();
    defer host.deinit();
    const system = &host.system;
    var guest = try host.settle();
    defer guest.leave(system);
    // Nothing was asked for, and nothing is there.
    try host.cause();
    try std.testing.expectEqual(null, try host.turn(0));
    for (0..3) |_| {
        try guest.arm(system, null);
        try guest.arm(system, null);
        try std.testing.expectEqual(1, try host.turn(std.time.ns_per_s));
        guest.heard();
        try std.testing.expectEqual(null, try host.turn(0));
    }
    var buffer: [8]u8 = undefined;
    _ = system.read(host.watched[0], &buffer);
    try guest.arm(system, null);
    try std.testing.expectEqual(null, try host.turn(0));
    try host.cause();
    try std.testing.expectEqual(1, try host.turn(std.time.ns_per_s));
}

test "its host is woken at a deadline: at a sooner one, after one that came to nothing, and never without one" {
    var host = try Host.init();
    defer host.deinit();
    const system = &host.system;
    var guest = try host.settle();
    defer guest.leave(system);
    try guest.arm(system, system.monotonic() + std.time.ns_per_hour);
    try std.testing.expectEqual(null, try host.turn(0));
    try guest.arm(system, system.monotonic() + std.time.ns_per_ms);
    try std.testing.expectEqual(1, try host.turn(10 * std.time.ns_per_s));
    guest.heard();
    // It comes while nobody has armed anything, and the byte is not there.
    guest.until_ns = system.monotonic();
    try sys.timer.set(system, guest.timer, guest.until_ns);
    try std.testing.expectEqual(0, try host.turn(10 * std.time.ns_per_s));
    try guest.arm(system, system.monotonic() + std.time.ns_per_ms);
    try std.testing.expectEqual(1, try host.turn(10 * std.time.ns_per_s));
    guest.heard();
    try guest.arm(system, null);
    try std.testing.expectEqual(null, try host.turn(5 * std.time.ns_per_ms));
}

test "a socket that nobody polls, or two do, has no place for it, and what it was given is as it was" {
    var host = try Host.init();
    defer host.deinit();
    const system = &host.system;
    defer system.close(host.far);
    const other = try system.pair();
    defer for (other) |fd| system.close(fd);
    try std.testing.expectError(error.Unavailable, Guest.settle(system, other[0], other[1], host.poller));
    const second = try sys.epoll.create(system);
    try sys.epoll.add(system, second, host.near, sys.epoll.EPOLL.IN, 1);
    try std.testing.expectError(error.Unavailable, host.settle());
    system.close(second);
    try std.testing.expectEqual(sys.Sent{ .bytes = 1 }, system.write(host.far, "x"));
    try std.testing.expectEqual(1, try host.turn(std.time.ns_per_s));
}

test "what has left wakes nobody, and its end is the end of the socket" {
    var host = try Host.init();
    defer host.deinit();
    const system = &host.system;
    var guest = try host.settle();
    try guest.arm(system, system.monotonic());
    try host.cause();
    guest.leave(system);
    try std.testing.expectEqual(null, try host.turn(0));
    var buffer: [8]u8 = undefined;
    try std.testing.expectEqual(sys.Received{ .bytes = 1 }, system.read(host.near, &buffer));
    try std.testing.expectEqual(sys.Received.end, system.read(host.near, &buffer));
}
