//! The C face of `connect` for services that may be elsewhere. What it means is documented in `earshot/ipc.h`.

const std = @import("std");
const ipc = @import("ipc");
const sys = @import("sys");
const argument = @import("library").argument;
const codes = @import("code.zig");
const options = @import("options.zig");
const places = @import("place.zig");
const Context = @import("context.zig").Context;
const Place = places.Place;

/// A handle of what IPC_NETWORK, or what is in its place, has at `name`.
pub fn lookup(
    given: ?*Context,
    directory_path: ?[*]const u8,
    directory_bytes: u32,
    name: ?[*]const u8,
    name_bytes: u32,
    network: ?[*]const u8,
    network_bytes: u32,
    timeout_ns: i64,
    connect_options: ?*const options.ConnectOptions,
    reason_out: ?[*]u8,
) callconv(.c) i32 {
    const context = Context.enter(given) catch |failure| return codes.of(failure);
    if (reason_out) |out| out[0] = 0;
    const system = &context.inner.system;
    const settings: options.ConnectOptions = if (connect_options) |pointer| pointer.* else .{};
    const place = Place.of(directory_path, directory_bytes, name, name_bytes) catch |failure|
        return context.fail(failure, 0);
    const network_given = argument.list(u8, network, network_bytes) catch |failure|
        return context.fail(failure, 0);
    if (!settings.limits.valid()) return context.fail(error.InvalidArgument, 0);
    const variable = if (network == null) ipc.lookup.variableOf(system) else network_given;
    const is_elsewhere = switch (ipc.lookup.whereIs(place.name, variable)) {
        .here => false,
        .elsewhere => true,
        .broken => |broken| return context.fail(error.NetworkInvalid, @intCast(broken.entry)),
    };
    const until_ns = if (timeout_ns < 0) null else system.monotonic() +| @as(u64, @intCast(timeout_ns));

    var directory = ipc.RunDirectory.open(system, place.path, .{
        .shared = settings.shared != 0,
    }) catch |failure|
        return context.fail(failure, place.directoryDetail(system, failure));
    defer directory.close(system);
    var reason: ipc.lookup.Reason = .{};
    const found = if (is_elsewhere)
        ipc.lookup.find(system, &directory, place.name, variable, until_ns, &reason)
    else
        ipc.lookup.connectTo(system, &directory, place.name, until_ns);
    const fd = found catch |failure| {
        if (failure == error.NoWay) return refuse(context, &reason, reason_out);
        const asked = if (is_elsewhere) ipc.lookup.service else place.name;
        return context.fail(failure, places.nameDetail(failure, &directory, asked));
    };
    system.failure = .{};
    const handle = context.inner.adopt(fd, settings.limits, .{}) catch |failure| {
        const met = system.failure;
        system.close(fd);
        system.failure = met;
        return context.fail(failure, 0);
    };
    return @intCast(handle.number());
}

/// The reason is the caller's to show, with a zero byte behind it.
fn refuse(
    context: *Context,
    reason: *const ipc.lookup.Reason,
    reason_out: ?[*]u8,
) i32 {
    context.inner.system.failure = .{};
    const text = reason.text();
    // An answer has a prefix that the reason lacks, so there is room for the zero byte.
    if (reason_out) |out| {
        @memcpy(out[0..text.len], text);
        out[text.len] = 0;
    }
    return context.fail(error.NoWay, @intCast(text.len));
}
