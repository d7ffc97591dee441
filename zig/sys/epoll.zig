//! The calls of epoll(7), for the poller that stands on them. Linux only: elsewhere nothing here is
//! looked at.

const std = @import("std");
const sys = @import("sys.zig");
const direct = @import("linux.zig");
const posix = @import("posix.zig");
const c = std.c;
const linux = std.os.linux;

const Fd = sys.Fd;
const System = sys.System;

pub const Event = linux.epoll_event;
pub const EPOLL = linux.EPOLL;

pub const CreateError = error{ DescriptorLimit, Unexpected };
pub const AddError = error{
    /// The descriptor has no readiness to wait for, as a plain file has none.
    NotWatchable,
    WatchLimit,
    OutOfMemory,
    Unexpected,
};
pub const ChangeError = error{Unexpected};

pub fn create(system: *System) CreateError!Fd {
    const fd = c.epoll_create1(EPOLL.CLOEXEC);
    if (fd >= 0) return fd;
    return switch (system.record(.epoll_create1)) {
        .MFILE, .NFILE, .NOMEM => error.DescriptorLimit,
        else => error.Unexpected,
    };
}

pub fn add(system: *System, epoll: Fd, fd: Fd, events: u32, token: u64) AddError!void {
    var event: Event = .{ .events = events, .data = .{ .u64 = token } };
    if (c.epoll_ctl(epoll, EPOLL.CTL_ADD, fd, &event) == 0) return;
    return switch (system.record(.epoll_ctl)) {
        .PERM => error.NotWatchable,
        .NOSPC => error.WatchLimit,
        .NOMEM => error.OutOfMemory,
        else => error.Unexpected,
    };
}

pub fn modify(system: *System, epoll: Fd, fd: Fd, events: u32, token: u64) ChangeError!void {
    var event: Event = .{ .events = events, .data = .{ .u64 = token } };
    if (c.epoll_ctl(epoll, EPOLL.CTL_MOD, fd, &event) == 0) return;
    _ = system.record(.epoll_ctl);
    return error.Unexpected;
}

/// A descriptor that was closed has left by itself, and that is as good.
pub fn remove(epoll: Fd, fd: Fd) void {
    _ = c.epoll_ctl(epoll, EPOLL.CTL_DEL, fd, null);
}

/// Waits and says how many events there are; a signal ends the wait with none. `precise` turns
/// false on a kernel (before 5.11) or in a sandbox without epoll_pwait2: from then on waits are
/// rounded up to milliseconds.
pub fn wait(
    system: *System,
    epoll: Fd,
    events: []Event,
    timeout_ns: ?u64,
    precise: *bool,
) sys.PollError!usize {
    if (precise.* and needsPrecision(timeout_ns)) {
        const count = waitPrecisely(epoll, events, timeout_ns.?);
        return count catch |err| switch (err) {
            error.Interrupted => 0,
            error.NotOffered => {
                precise.* = false;
                return wait(system, epoll, events, timeout_ns, precise);
            },
        };
    }
    const milliseconds = posix.millisecondsOf(timeout_ns);
    const room: u32 = @intCast(events.len);
    const count = direct.result(linux.epoll_wait(epoll, events.ptr, room, milliseconds));
    if (count >= 0) return @intCast(count);
    if (posix.lastError() == .INTR) return 0;
    _ = system.record(.epoll_wait);
    return error.Unexpected;
}

fn needsPrecision(timeout_ns: ?u64) bool {
    return (timeout_ns orelse return false) % std.time.ns_per_ms != 0;
}

/// Not every C library has a function for this call, so it goes to the kernel directly.
fn waitPrecisely(
    epoll: Fd,
    events: []Event,
    timeout_ns: u64,
) error{ Interrupted, NotOffered }!usize {
    const timeout: extern struct { sec: i64, nsec: i64 } = .{
        .sec = @intCast(timeout_ns / std.time.ns_per_s),
        .nsec = @intCast(timeout_ns % std.time.ns_per_s),
    };
    const result = linux.syscall6(
        .epoll_pwait2,
        @intCast(epoll),
        @intFromPtr(events.ptr),
        events.len,
        @intFromPtr(&timeout),
        0,
        0,
    );
    return switch (linux.errno(result)) {
        .SUCCESS => result,
        .INTR => error.Interrupted,
        // ENOSYS from an old kernel, EPERM from a sandbox that does not know the call. Whatever
        // else there could be, epoll_wait meets it again and reports it.
        else => error.NotOffered,
    };
}

/// A descriptor that is ready for one thing only, EPOLLWRBAND, and always: a datagram socket that
/// nobody uses. No other descriptor is ever asked for that, so its event needs no token.
pub const beacon_events = EPOLL.WRBAND;

pub fn openBeacon(system: *System) CreateError!Fd {
    const fd = c.socket(c.AF.UNIX, c.SOCK.DGRAM | c.SOCK.NONBLOCK | c.SOCK.CLOEXEC, 0);
    if (fd >= 0) return fd;
    return switch (system.record(.socket)) {
        .MFILE, .NFILE, .NOBUFS, .NOMEM => error.DescriptorLimit,
        else => error.Unexpected,
    };
}
