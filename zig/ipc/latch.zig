//! What a waiter sleeps on where a poller is one descriptor of Linux's. Arming it is one call, which wakes nobody: the
//! poller stands in an epoll of the waiter's, reports once, and is silent until it is armed again (epoll(7), EPOLLONESHOT).

const std = @import("std");
const builtin = @import("builtin");
const sys = @import("sys");

pub const Latch = struct {
    fd: sys.Fd,
    watched: sys.Fd,
    precise: bool = true,

    pub const available = builtin.os.tag == .linux;

    const token_wake = 0;
    const token_watched = 1;
    const events = if (available) sys.epoll.EPOLL.IN | sys.epoll.EPOLL.ONESHOT else 0;

    /// Armed for `watched` from the start. What rings `wake` ends a sleep at any time.
    pub fn open(system: *sys.System, wake: sys.Fd, watched: sys.Fd) error{Unavailable}!Latch {
        if (!available) return error.Unavailable;
        const fd = sys.epoll.create(system) catch return error.Unavailable;
        errdefer system.close(fd);
        sys.epoll.add(system, fd, wake, sys.epoll.EPOLL.IN, token_wake) catch return error.Unavailable;
        sys.epoll.add(system, fd, watched, events, token_watched) catch return error.Unavailable;
        return .{ .fd = fd, .watched = watched };
    }

    pub fn close(latch: *Latch, system: *sys.System) void {
        system.close(latch.fd);
        latch.* = undefined;
    }

    pub fn arm(latch: *const Latch, system: *sys.System) error{Unexpected}!void {
        if (!available) unreachable; // There is none.
        try sys.epoll.modify(system, latch.fd, latch.watched, events, token_watched);
    }

    pub const Slept = struct { rung: bool = false, fired: bool = false };

    /// Until either is ready, the time is up, or for no reason.
    pub fn sleep(latch: *Latch, system: *sys.System, timeout_ns: ?u64) Slept {
        if (!available) unreachable; // There is none.
        var ready: [2]sys.epoll.Event = undefined;
        var slept: Slept = .{};
        // Its owner finds out what is wrong with the poller when it asks that itself.
        const count = sys.epoll.wait(system, latch.fd, &ready, timeout_ns, &latch.precise) catch
            return .{ .fired = true };
        for (ready[0..count]) |event| {
            if (event.data.u64 == token_wake) slept.rung = true else slept.fired = true;
        }
        return slept;
    }
};

test "it fires once for each time it is armed, and is rung at any time" {
    if (!Latch.available) return error.SkipZigTest;
    var system: sys.System = .{};
    const watched = try system.pair();
    defer for (watched) |fd| system.close(fd);
    const wake = try system.wakeCreate();
    defer wake.close();
    var latch = try Latch.open(&system, wake.descriptor(), watched[0]);
    defer latch.close(&system);
    try std.testing.expectEqual(Latch.Slept{}, latch.sleep(&system, 0));
    try std.testing.expectEqual(sys.Sent{ .bytes = 1 }, system.write(watched[1], "x"));
    try std.testing.expectEqual(Latch.Slept{ .fired = true }, latch.sleep(&system, null));
    try std.testing.expectEqual(Latch.Slept{}, latch.sleep(&system, 0));
    try latch.arm(&system);
    wake.ring();
    try std.testing.expectEqual(Latch.Slept{ .fired = true, .rung = true }, latch.sleep(&system, null));
    wake.clear();
    try std.testing.expectEqual(Latch.Slept{}, latch.sleep(&system, 0));
}
