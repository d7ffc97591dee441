//! Timers that are descriptors (timerfd_create(2)). Linux's own, and `NotAvailable` elsewhere.

const std = @import("std");
const sys = @import("sys.zig");
const process = @import("process.zig");
const linux = std.os.linux;

const Fd = sys.Fd;
const System = sys.System;

const available = process.available;

/// A timer that goes off at no time, on the clock of `System.monotonic`.
pub fn create(system: *System) process.Error!Fd {
    if (!available) return error.NotAvailable;
    return createOn(system, @intFromEnum(linux.timerfd_clockid_t.MONOTONIC));
}

fn createOn(system: *System, clock: u32) process.Error!Fd {
    const flags: linux.TFD = .{ .CLOEXEC = true, .NONBLOCK = true };
    return @intCast(try process.check(system, .timerfd, linux.timerfd_create(@enumFromInt(clock), flags)));
}

/// Has it go off once, at `at_ns`: at once if that is past.
pub fn set(system: *System, fd: Fd, at_ns: u64) process.Error!void {
    if (!available) return error.NotAvailable;
    // Zero would stand for never.
    const when = @max(at_ns, 1);
    const spec: linux.itimerspec = .{
        .it_interval = .{ .sec = 0, .nsec = 0 },
        .it_value = .{
            .sec = @intCast(when / std.time.ns_per_s),
            .nsec = @intCast(when % std.time.ns_per_s),
        },
    };
    _ = try process.check(system, .timerfd, linux.timerfd_settime(fd, .{ .ABSTIME = true }, &spec, null));
}

/// A timer like `fd`, whose clock is `clock`, that goes off when it does.
pub fn copy(system: *System, fd: Fd, clock: u32) process.Error!Fd {
    if (!available) return error.NotAvailable;
    var spec: linux.itimerspec = undefined;
    _ = try process.check(system, .timerfd, linux.timerfd_gettime(fd, &spec));
    const made = try createOn(system, clock);
    errdefer system.close(made);
    _ = try process.check(system, .timerfd, linux.timerfd_settime(made, .{}, &spec, null));
    return made;
}
