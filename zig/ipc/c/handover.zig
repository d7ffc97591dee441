//! The C face of what changes hands: descriptors with messages, sockets between contexts, and those that lead to other
//! machines. What the functions mean is documented in `earshot/ipc.h`.

const std = @import("std");
const ipc = @import("ipc");
const sys = @import("sys");
const argument = @import("library").argument;
const codes = @import("code.zig");
const options = @import("options.zig");
const places = @import("place.zig");
const Context = @import("context.zig").Context;
const Handle = ipc.handle.Handle;
const Limits = ipc.connection.Limits;
const Place = places.Place;

/// What of all that may not be available is not, for whoever puts it in words.
const carries_none_detail = 1;

pub fn send(
    given: ?*Context,
    connection: Handle,
    bytes: ?[*]const u8,
    count: u32,
    descriptors: ?[*]const sys.Fd,
    descriptors_count: u32,
) callconv(.c) i32 {
    const context = Context.enter(given) catch |failure| return codes.of(failure);
    defer context.letGo();
    const payload = argument.list(u8, bytes, count) catch |failure| return context.fail(failure, 0);
    const fds = argument.list(sys.Fd, descriptors, descriptors_count) catch |failure|
        return context.fail(failure, 0);
    const queued = context.inner.sendRights(connection, payload, fds) catch |failure|
        return context.fail(failure, if (failure == error.CarriesNone) carries_none_detail else 0);
    return std.math.lossyCast(i32, queued);
}

pub fn take(given: ?*Context, detail: i32, out: ?[*]sys.Fd) callconv(.c) i32 {
    const context = Context.enter(given) catch |failure| return codes.of(failure);
    const room = out orelse return context.fail(error.InvalidArgument, 0);
    const taken = context.inner.takeDescriptors(detail, room[0..sys.rights.descriptors_max]) catch |failure|
        return context.fail(failure, 0);
    return @intCast(taken.len);
}

pub fn adopt(
    given: ?*Context,
    descriptor: sys.Fd,
    service_options: ?*const options.ServiceOptions,
    users: ?[*]const u32,
    users_count: u32,
    groups: ?[*]const u32,
    groups_count: u32,
) callconv(.c) i32 {
    const context = Context.enter(given) catch |failure| return codes.of(failure);
    const settings: options.ServiceOptions = if (service_options) |pointer| pointer.* else .{};
    const allow = options.allowOf(&settings, users, users_count, groups, groups_count) catch |failure|
        return context.fail(failure, 0);
    const handle = context.inner.adopt(descriptor, settings.limits, allow) catch |failure|
        return context.fail(failure, 0);
    return @intCast(handle.number());
}

pub fn takeOver(
    given: ?*Context,
    directory_path: ?[*]const u8,
    directory_bytes: u32,
    name: ?[*]const u8,
    name_bytes: u32,
    descriptor: sys.Fd,
    lock: sys.Fd,
    service_options: ?*const options.ServiceOptions,
    users: ?[*]const u32,
    users_count: u32,
    groups: ?[*]const u32,
    groups_count: u32,
) callconv(.c) i32 {
    const context = Context.enter(given) catch |failure| return codes.of(failure);
    const system = &context.inner.system;
    const settings: options.ServiceOptions = if (service_options) |pointer| pointer.* else .{};
    const allow = options.allowOf(&settings, users, users_count, groups, groups_count) catch |failure|
        return context.fail(failure, 0);
    const place = Place.of(directory_path, directory_bytes, name, name_bytes) catch |failure|
        return context.fail(failure, 0);
    if (!settings.limits.valid() or !allow.valid()) return context.fail(error.InvalidArgument, 0);
    var directory = ipc.RunDirectory.open(system, place.path, .{ .shared = settings.shared != 0 }) catch |failure|
        return context.fail(failure, place.directoryDetail(system, failure));
    defer directory.close(system);
    const claim = ipc.Claim.takeOver(system, &directory, place.name, descriptor, lock) catch |failure|
        return context.fail(failure, places.nameDetail(failure, &directory, place.name));
    const handle = context.inner.addService(claim, settings.limits, allow) catch |failure| {
        // The name stays with who has it, and the descriptors with the caller.
        var opened = claim.directory;
        opened.close(system);
        return context.fail(failure, 0);
    };
    return @intCast(handle.number());
}

pub fn copies(given: ?*Context, handle: Handle, out: ?[*]sys.Fd) callconv(.c) i32 {
    const context = Context.enter(given) catch |failure| return codes.of(failure);
    const room = out orelse return context.fail(error.InvalidArgument, 0);
    const made = context.inner.copies(handle, room[0..ipc.handover.copies_max]) catch |failure| return context.fail(failure, 0);
    return @intCast(made.len);
}

/// Two sockets of a stream, connected to each other.
pub fn pair(given: ?*Context, out: ?[*]sys.Fd) callconv(.c) i32 {
    const context = Context.enter(given) catch |failure| return codes.of(failure);
    const room = out orelse return context.fail(error.InvalidArgument, 0);
    room[0..2].* = context.inner.system.pair() catch |failure| return context.fail(failure, 0);
    return 0;
}

pub fn listen(
    given: ?*Context,
    address: ?*const sys.internet.Address,
    backlog: u32,
    limits: ?*const Limits,
) callconv(.c) i32 {
    const context = Context.enter(given) catch |failure| return codes.of(failure);
    const place = address orelse return context.fail(error.InvalidArgument, 0);
    const waiting = std.math.cast(u31, backlog) orelse return context.fail(error.InvalidArgument, 0);
    const settings: Limits = if (limits) |pointer| pointer.* else .{};
    const handle = context.inner.listenAt(place.*, waiting, settings) catch |failure|
        return context.fail(failure, 0);
    return @intCast(handle.number());
}

pub fn dial(given: ?*Context, address: ?*const sys.internet.Address, limits: ?*const Limits) callconv(.c) i32 {
    const context = Context.enter(given) catch |failure| return codes.of(failure);
    const place = address orelse return context.fail(error.InvalidArgument, 0);
    const settings: Limits = if (limits) |pointer| pointer.* else .{};
    const handle = context.inner.dial(place.*, settings) catch |failure| return context.fail(failure, 0);
    return @intCast(handle.number());
}

pub fn addressOf(given: ?*Context, handle: Handle, out: ?*sys.internet.Address) callconv(.c) i32 {
    const context = Context.enter(given) catch |failure| return codes.of(failure);
    const room = out orelse return context.fail(error.InvalidArgument, 0);
    const found = context.inner.addressOf(handle) catch |failure| return context.fail(failure, 0);
    room.* = found orelse return context.fail(error.NotAvailable, 0);
    return 0;
}

pub fn ownAddressOf(given: ?*Context, handle: Handle, out: ?*sys.internet.Address) callconv(.c) i32 {
    const context = Context.enter(given) catch |failure| return codes.of(failure);
    const room = out orelse return context.fail(error.InvalidArgument, 0);
    const found = context.inner.ownAddressOf(handle) catch |failure| return context.fail(failure, 0);
    room.* = found orelse return context.fail(error.NotAvailable, 0);
    return 0;
}
