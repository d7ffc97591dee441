//! The C face of what a service manager and the processes it starts have to say to each other. What the functions mean is
//! documented in `earshot/ipc.h`.

const sys = @import("sys");
const argument = @import("library").argument;
const codes = @import("code.zig");
const options = @import("options.zig");

pub fn inherit(
    descriptor: sys.Fd,
    path: ?[*]u8,
    path_bytes: u32,
    failure_out: ?*options.Failure,
) callconv(.c) i32 {
    var system: sys.System = .{};
    if (failure_out) |met| met.* = .{};
    const into = path orelse return codes.of(error.InvalidArgument);
    var buffer: [sys.socket_path_bytes_max + 1]u8 = undefined;
    const found = sys.manager.inherit(&system, descriptor, &buffer) catch |failure| return fail(&system, failure, failure_out);
    if (found.len > path_bytes) return codes.of(error.PathTooLong);
    @memcpy(into[0..found.len], found);
    return @intCast(found.len);
}

pub fn notify(
    address: ?[*]const u8,
    address_bytes: u32,
    text: ?[*]const u8,
    text_bytes: u32,
    failure_out: ?*options.Failure,
) callconv(.c) i32 {
    var system: sys.System = .{};
    if (failure_out) |met| met.* = .{};
    const place = argument.list(u8, address, address_bytes) catch |failure| return codes.of(failure);
    const said = argument.list(u8, text, text_bytes) catch |failure| return codes.of(failure);
    sys.manager.notify(&system, place, said) catch |failure| return fail(&system, failure, failure_out);
    return 0;
}

pub fn launchSockets(
    name: ?[*]const u8,
    name_bytes: u32,
    descriptors: ?[*]sys.Fd,
    failure_out: ?*options.Failure,
) callconv(.c) i32 {
    var system: sys.System = .{};
    if (failure_out) |met| met.* = .{};
    const room = descriptors orelse return codes.of(error.InvalidArgument);
    const given = argument.list(u8, name, name_bytes) catch |failure| return codes.of(failure);
    const found = sys.manager.launchSockets(&system, given, room[0..sys.manager.launch_sockets_max]) catch |failure| return fail(&system, failure, failure_out);
    return @intCast(found.len);
}

fn fail(system: *const sys.System, failure: codes.Error, out: ?*options.Failure) i32 {
    if (out) |met| met.* = .of(system.failure, 0);
    return codes.of(failure);
}
