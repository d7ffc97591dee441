//! What a service manager (systemd, launchd) and the processes it starts have to say to each other: sockets that it made
//! for them, and how they are getting on.

const std = @import("std");
const builtin = @import("builtin");
const posix = @import("posix.zig");
const sys = @import("sys.zig");
const platform = sys.platform;
const c = std.c;

const Fd = sys.Fd;
const System = sys.System;

pub const InheritError = error{
    /// It is not open, or is no Unix socket for a stream of bytes.
    NotStream,
    /// It is one, but nobody can connect to it.
    NotListening,
    Unexpected,
};

pub const NotifyError = error{
    /// This system has no sockets without a file.
    NotAvailable,
    PathTooLong,
    NotFound,
    Refused,
    /// The manager has not read for so long that nothing more fits.
    Busy,
    Permission,
    NotService,
    DescriptorLimit,
    Unexpected,
};

pub const LaunchError = error{
    /// This system has no launchd.
    NotAvailable,
    /// launchd has not started this process, or knows no socket of that name for it.
    NotFound,
    /// It has given them out already.
    AlreadyServed,
    PathTooLong,
    DescriptorLimit,
    Unexpected,
};

/// How many sockets launchd has for one name at most: one for each address it listens at. Far more than anybody has.
pub const launch_sockets_max = 64;

/// A manager that does not read holds a process up for no longer than this.
const notify_seconds_max = 5;

/// Takes a socket for a service's own that it was started with: it does not outlive an exec, and no accept on it blocks.
/// Returns the path that clients find it by, which is empty for one that has none.
pub fn inherit(system: *System, fd: Fd, buffer: *[posix.socket_path_bytes_max + 1]u8) InheritError![]const u8 {
    const kind = try system.socketKind(fd);
    if (!kind.local) return error.NotStream;
    if (!kind.listens) return error.NotListening;
    try system.adopt(fd);
    return system.socketPath(fd, buffer);
}

/// Sends one datagram to where the manager listens: a path, or on Linux a name without a file after an `@` (unix(7)).
pub fn notify(system: *System, address: []const u8, text: []const u8) NotifyError!void {
    const fd = c.socket(c.AF.UNIX, c.SOCK.DGRAM, 0);
    if (fd < 0) return switch (system.record(.socket)) {
        .MFILE, .NFILE, .NOBUFS, .NOMEM => error.DescriptorLimit,
        else => error.Unexpected,
    };
    defer system.close(fd);
    if (c.fcntl(fd, c.F.SETFD, @as(c_int, c.FD_CLOEXEC)) < 0) {
        _ = system.record(.fcntl);
        return error.Unexpected;
    }
    // What the manager is to know is worth a wait, as it is to sd_notify(3), but not one without end.
    const bound: c.timeval = .{ .sec = notify_seconds_max, .usec = 0 };
    _ = c.setsockopt(fd, c.SOL.SOCKET, c.SO.SNDTIMEO, &bound, @sizeOf(c.timeval));
    const place = try addressOf(system, address);
    while (c.sendto(fd, text.ptr, text.len, platform.send_flags, @ptrCast(&place.un), place.bytes) < 0) {
        if (posix.lastError() == .INTR) continue;
        return switch (system.record(.send)) {
            .NOENT, .NOTDIR => error.NotFound,
            .CONNREFUSED, .CONNRESET => error.Refused,
            .AGAIN, .NOBUFS => error.Busy,
            .ACCES, .PERM => error.Permission,
            .PROTOTYPE, .NOTSOCK => error.NotService,
            else => error.Unexpected,
        };
    }
}

fn addressOf(system: *System, address: []const u8) NotifyError!posix.Address {
    if (address.len == 0 or address[0] != '@') return posix.Address.init(system, .send, address);
    if (@import("builtin").os.tag != .linux) return error.NotAvailable;
    // The zero byte stands for the `@`, and what follows counts as far as the length goes.
    if (address.len > posix.socket_path_bytes_max + 1) return error.PathTooLong;
    var place: posix.Address = .{
        .un = .{ .path = @splat(0) },
        .bytes = @intCast(@offsetOf(c.sockaddr.un, "path") + address.len),
    };
    @memcpy(place.un.path[1..address.len], address[1..]);
    return place;
}

/// The sockets that launchd has made for this process under `name`, in `out`; further ones are closed. They are the
/// caller's.
pub fn launchSockets(system: *System, name: []const u8, out: *[launch_sockets_max]Fd) LaunchError![]Fd {
    if (comptime !platform.has_launchd) return error.NotAvailable;
    var text: [launch_name_bytes_max + 1]u8 = @splat(0);
    if (name.len > launch_name_bytes_max) return error.PathTooLong;
    @memcpy(text[0..name.len], name);
    return platform.launchSockets(system, @ptrCast(&text), out);
}

const launch_name_bytes_max = 255;

const testing = std.testing;

test "a socket that listens is inherited, and tells its path" {
    var system: System = .{};
    var directory = testing.tmpDir(.{});
    defer directory.cleanup();
    var path_buffer: [256]u8 = undefined;
    const path = try std.fmt.bufPrint(&path_buffer, ".zig-cache/tmp/{s}/listens", .{directory.sub_path});
    var buffer: [posix.socket_path_bytes_max + 1]u8 = undefined;

    const socket = try system.socket();
    defer system.close(socket);
    try system.bind(socket, path);
    try testing.expectError(error.NotListening, inherit(&system, socket, &buffer));
    try system.listen(socket, 1);
    try testing.expect(c.fcntl(socket, c.F.SETFD, @as(c_int, 0)) >= 0);
    try testing.expectEqualStrings(path, try inherit(&system, socket, &buffer));
    try testing.expectEqual(c.FD_CLOEXEC, c.fcntl(socket, c.F.GETFD));
}

test "one in the abstract namespace is told with the sign that others write it with" {
    if (builtin.os.tag != .linux) return error.SkipZigTest;
    var system: System = .{};
    const socket = try system.socket();
    defer system.close(socket);
    var place: std.c.sockaddr.un = .{ .path = @splat(0) };
    const name = "\x00earshot abstract test";
    @memcpy(place.path[0..name.len], name);
    const bytes = @offsetOf(std.c.sockaddr.un, "path") + name.len;
    try testing.expectEqual(0, std.c.bind(socket, @ptrCast(&place), bytes));
    try system.listen(socket, 1);
    var buffer: [posix.socket_path_bytes_max + 1]u8 = undefined;
    try testing.expectEqualStrings("@earshot abstract test", try inherit(&system, socket, &buffer));
}

test "what is no listening Unix socket is not inherited" {
    var system: System = .{};
    var buffer: [posix.socket_path_bytes_max + 1]u8 = undefined;
    const pair = try system.pair();
    defer for (pair) |fd| system.close(fd);
    try testing.expectError(error.NotListening, inherit(&system, pair[0], &buffer));
    const datagrams = c.socket(c.AF.UNIX, c.SOCK.DGRAM, 0);
    defer system.close(datagrams);
    try testing.expectError(error.NotStream, inherit(&system, datagrams, &buffer));
    const loopback: sys.internet.Address = .{ .family = .ip4, .bytes = .{ 127, 0, 0, 1 } ++ @as([12]u8, @splat(0)) };
    const remote = try sys.internet.listen(&system, loopback, 1);
    defer system.close(remote);
    try testing.expectError(error.NotStream, inherit(&system, remote, &buffer));
}

test "a word to the manager arrives, by a path and by a name without one" {
    var system: System = .{};
    var directory = testing.tmpDir(.{});
    defer directory.cleanup();
    var path_buffer: [256]u8 = undefined;
    const path = try std.fmt.bufPrint(&path_buffer, ".zig-cache/tmp/{s}/manager", .{directory.sub_path});
    var name_buffer: [256]u8 = undefined;
    const name = try std.fmt.bufPrint(&name_buffer, "@earshot-{s}", .{directory.sub_path});
    for ([_][]const u8{ path, name }) |address| {
        if (address[0] == '@' and @import("builtin").os.tag != .linux) continue;
        try testing.expectError(
            if (address[0] == '@') error.Refused else error.NotFound,
            notify(&system, address, "READY=1"),
        );
        const manager = c.socket(c.AF.UNIX, c.SOCK.DGRAM, 0);
        defer system.close(manager);
        const place = try addressOf(&system, address);
        try testing.expectEqual(0, c.bind(manager, @ptrCast(&place.un), place.bytes));
        try notify(&system, address, "READY=1\nSTATUS=listening");
        var received: [64]u8 = undefined;
        const count = c.recv(manager, &received, received.len, 0);
        try testing.expectEqualStrings("READY=1\nSTATUS=listening", received[0..@intCast(count)]);
    }
}

test "an address that is none is an error" {
    var system: System = .{};
    const long: [200]u8 = @splat('x');
    try testing.expectError(error.NotFound, notify(&system, "", "READY=1"));
    try testing.expectError(error.PathTooLong, notify(&system, &long, "READY=1"));
    try testing.expectError(error.PathTooLong, notify(&system, "@" ++ long, "READY=1"));
}

test "where there is no launchd nobody has sockets of it" {
    if (comptime platform.has_launchd) return error.SkipZigTest;
    var system: System = .{};
    var out: [launch_sockets_max]Fd = undefined;
    try testing.expectError(error.NotAvailable, launchSockets(&system, "Listeners", &out));
}
