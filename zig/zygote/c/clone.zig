//! The C face of what a clone does before it begins, and of what its owner does to it. What the functions mean is documented
//! in `earshot/zygote.h`.

const std = @import("std");
const sys = @import("sys");
const zygote = @import("zygote");
const codes = zygote.code;

/// No process has a longer list of groups, and none is waited for with a signal beyond.
const signals_max = 64;

pub fn follow(pid: i32) callconv(.c) i32 {
    if (!sys.process.available) return codes.of(error.NotAvailable);
    sys.process.leaveSession();
    sys.process.setParentDeathSignal(if (pid > 0) @intFromEnum(std.c.SIG.KILL) else 0);
    return @intFromBool(pid <= 0 or sys.process.parent() == pid);
}

pub fn attach(lifeline: sys.Fd) callconv(.c) i32 {
    if (!sys.process.available) return codes.of(error.NotAvailable);
    var system: sys.System = .{};
    const own = sys.process.reopen(&system, lifeline) catch |failure| return codes.of(failure);
    sys.process.dieWith(&system, own) catch |failure| return codes.of(failure);
    return 0;
}

pub fn read(
    fd: sys.Fd,
    buffer: ?[*]u8,
    count: u32,
    descriptors: ?[*]sys.Fd,
    descriptors_max: u32,
    descriptors_count: ?*u32,
) callconv(.c) i32 {
    const bytes = buffer orelse return codes.of(error.InvalidArgument);
    const came = descriptors_count orelse return codes.of(error.InvalidArgument);
    var system: sys.System = .{};
    var arrivals: sys.rights.Arrivals = .{};
    if (descriptors) |room| arrivals.room = room[0..@min(descriptors_max, sys.rights.descriptors_max)];
    came.* = 0;
    const outcome = zygote.wire.readAll(&system, fd, bytes[0..count], &arrivals) catch return codes.of(error.Unexpected);
    came.* = @intCast(arrivals.count);
    if (arrivals.cut) {
        for (arrivals.fds()) |arrived| system.close(arrived);
        came.* = 0;
        return codes.of(error.DescriptorLimit);
    }
    return @intFromBool(outcome == .done);
}

pub fn write(fd: sys.Fd, buffer: ?[*]const u8, count: u32) callconv(.c) i32 {
    const bytes = buffer orelse return codes.of(error.InvalidArgument);
    var system: sys.System = .{};
    const outcome = zygote.wire.writeAll(&system, fd, bytes[0..count], &.{}) catch return codes.of(error.Unexpected);
    return @intFromBool(outcome == .done);
}

pub fn limit(given: ?*const zygote.limits.Limits, out: ?*zygote.limits.Certificate) callconv(.c) i32 {
    const limits = given orelse return codes.of(error.InvalidArgument);
    const certificate = out orelse return codes.of(error.InvalidArgument);
    var system: sys.System = .{};
    certificate.* = .{ .code = 0, .errno_value = 0, .syscall = 0, .pid = sys.process.ownId() };
    const ids_max = std.math.maxInt(u32) - 1;
    if (limits.uid > ids_max or limits.gid > ids_max) {
        certificate.* = .of(&system, error.InvalidArgument);
        return certificate.code;
    }
    zygote.limits.apply(&system, limits.*) catch |failure| {
        certificate.* = .of(&system, failure);
    };
    return certificate.code;
}

pub fn harden() callconv(.c) i32 {
    var system: sys.System = .{};
    const locked = zygote.harden.harden(&system) catch |failure| return codes.of(failure);
    return @intFromBool(locked);
}

pub fn process(pid: i32) callconv(.c) i32 {
    if (pid <= 0) return codes.of(error.InvalidArgument);
    var system: sys.System = .{};
    return sys.process.openProcess(&system, pid) catch |failure| codes.of(failure);
}

pub fn signal(fd: sys.Fd, number: i32) callconv(.c) i32 {
    if (number < 0 or number > signals_max) return codes.of(error.InvalidArgument);
    var system: sys.System = .{};
    sys.process.signalProcess(&system, fd, @intCast(number)) catch |failure| return codes.of(failure);
    return 0;
}
