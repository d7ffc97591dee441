//! The C face of pipes. What the functions mean is documented in `earshot/ipc.h`.

const ipc = @import("ipc");
const sys = @import("sys");
const argument = @import("library").argument;
const codes = @import("code.zig");
const options = @import("options.zig");

pub fn open(descriptors: ?[*]sys.Fd, failure_out: ?*options.Failure) callconv(.c) i32 {
    var system: sys.System = .{};
    if (failure_out) |met| met.* = .{};
    const room = descriptors orelse return codes.of(error.InvalidArgument);
    room[0..2].* = ipc.pipe.open(&system) catch |failure| return fail(&system, failure, failure_out);
    return 0;
}

pub fn block(descriptor: sys.Fd, blocks: u32, failure_out: ?*options.Failure) callconv(.c) i32 {
    var system: sys.System = .{};
    if (failure_out) |met| met.* = .{};
    if (descriptor < 0 or blocks > 1) return codes.of(error.InvalidArgument);
    ipc.pipe.setBlocking(&system, descriptor, blocks == 1) catch |failure| return fail(&system, failure, failure_out);
    return 0;
}

pub fn read(
    descriptor: sys.Fd,
    bytes: ?[*]u8,
    bytes_max: u32,
    life: sys.Fd,
    timeout_ns: i64,
    failure_out: ?*options.Failure,
) callconv(.c) i32 {
    var system: sys.System = .{};
    if (failure_out) |met| met.* = .{};
    const room = bytes orelse return codes.of(error.InvalidArgument);
    if (bytes_max == 0 or descriptor < 0) return codes.of(error.InvalidArgument);
    const most = @min(bytes_max, read_bytes_max);
    const count = ipc.pipe.read(&system, descriptor, room[0..most], boundsOf(life, timeout_ns)) catch |failure|
        return fail(&system, failure, failure_out);
    return @intCast(count);
}

pub fn write(
    descriptor: sys.Fd,
    bytes: ?[*]const u8,
    bytes_count: u32,
    life: sys.Fd,
    timeout_ns: i64,
    failure_out: ?*options.Failure,
) callconv(.c) i32 {
    var system: sys.System = .{};
    if (failure_out) |met| met.* = .{};
    const given = argument.list(u8, bytes, bytes_count) catch |failure| return codes.of(failure);
    if (descriptor < 0) return codes.of(error.InvalidArgument);
    ipc.pipe.write(&system, descriptor, given, boundsOf(life, timeout_ns)) catch |failure|
        return fail(&system, failure, failure_out);
    return 0;
}

/// How much a result can count.
const read_bytes_max = @import("std").math.maxInt(i32);

fn boundsOf(life: sys.Fd, timeout_ns: i64) ipc.pipe.Bounds {
    return .{
        .life = if (life < 0) null else life,
        .timeout_ns = if (timeout_ns < 0) null else @intCast(timeout_ns),
    };
}

fn fail(system: *const sys.System, failure: codes.Error, out: ?*options.Failure) i32 {
    const met = out orelse return codes.of(failure);
    if (failure == error.Unexpected or failure == error.DescriptorLimit) met.* = .of(system.failure, 0);
    return codes.of(failure);
}
