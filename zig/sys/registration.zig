//! What /proc says of the descriptors that event loops are made of: which of this process's they are, and what is
//! registered with its epolls (proc(5), /proc/PID/fdinfo).

const std = @import("std");
const sys = @import("sys.zig");
const process = @import("process.zig");

const Fd = sys.Fd;
const System = sys.System;

pub const Kind = enum { poller, counter, timer };

pub fn kindOf(fd: Fd) ?Kind {
    var path: [40]u8 = undefined;
    const name = std.fmt.bufPrintSentinel(&path, "/proc/self/fd/{d}", .{fd}, 0) catch unreachable;
    var buffer: [64]u8 = undefined;
    const target = process.readLink(name, &buffer) orelse return null;
    if (std.mem.eql(u8, target, "anon_inode:[eventpoll]")) return .poller;
    if (std.mem.eql(u8, target, "anon_inode:[eventfd]")) return .counter;
    if (std.mem.eql(u8, target, "anon_inode:[timerfd]")) return .timer;
    return null;
}

/// What is known of `fd`, as far as it fits.
pub fn describe(system: *System, fd: Fd, buffer: []u8) process.Error![]u8 {
    var path: [40]u8 = undefined;
    const name = std.fmt.bufPrintSentinel(&path, "/proc/self/fdinfo/{d}", .{fd}, 0) catch unreachable;
    return process.readFile(system, name, buffer);
}

/// What an epoll watches.
pub const Registration = struct {
    poller: Fd,
    fd: Fd,
    events: u32,
    data: u64,

    /// Null if the line speaks of something else.
    pub fn parse(poller: Fd, line: []const u8) ?Registration {
        // "tfd: 5 events: 1d data: ffffffffffffffff pos:0 ino:61af sdev:7", the first decimal.
        const fd = numberAfter(line, "tfd:", 10) orelse return null;
        const events = numberAfter(line, "events:", 16) orelse return null;
        const data = numberAfter(line, "data:", 16) orelse return null;
        return .{ .poller = poller, .fd = @intCast(fd), .events = @truncate(events), .data = data };
    }

    /// How an epoll of this process watches `fd`; null if none does, or more than one, or they watch too much to be read.
    pub fn of(system: *System, fd: Fd, buffer: []u8) ?Registration {
        var numbers = process.Numbers.open(system, "/proc/self/fd") catch return null;
        defer numbers.close();
        var found: ?Registration = null;
        while (numbers.next()) |poller| {
            if (poller == numbers.fd or kindOf(poller) != .poller) continue;
            const text = describe(system, poller, buffer) catch return null;
            if (text.len == buffer.len) return null;
            var lines = std.mem.tokenizeScalar(u8, text, '\n');
            while (lines.next()) |line| {
                const registration = parse(poller, line) orelse continue;
                if (registration.fd != fd) continue;
                if (found != null) return null;
                found = registration;
            }
        }
        return found;
    }
};

/// The number that follows `label` in a line of /proc, with spaces between.
pub fn numberAfter(line: []const u8, label: []const u8, base: u8) ?u64 {
    const at = std.mem.find(u8, line, label) orelse return null;
    const rest = std.mem.trimStart(u8, line[at + label.len ..], " \t");
    const end = std.mem.findAny(u8, rest, " \t") orelse rest.len;
    return std.fmt.parseInt(u64, rest[0..end], base) catch null;
}

test "a number is found behind its label" {
    const line = "tfd:        4 events: 80000019 data:      4a9fdfb0580  pos:0 ino:40e sdev:10";
    try std.testing.expectEqual(4, numberAfter(line, "tfd:", 10).?);
    try std.testing.expectEqual(0x80000019, numberAfter(line, "events:", 16).?);
    try std.testing.expectEqual(0x4a9fdfb0580, numberAfter(line, "data:", 16).?);
    try std.testing.expectEqual(null, numberAfter(line, "clockid:", 10));
    try std.testing.expectEqual(0o2004002, numberAfter("flags:\t02004002", "flags:", 8).?);
}

test "what an epoll watches is read back, and what two of them watch is nobody's" {
    if (!process.available) return error.SkipZigTest;
    var system: System = .{};
    const pair = try system.pair();
    defer for (pair) |fd| system.close(fd);
    var buffer: [16 * 1024]u8 = undefined;
    try std.testing.expectEqual(null, Registration.of(&system, pair[0], &buffer));
    const host = try sys.epoll.create(&system);
    defer system.close(host);
    try sys.epoll.add(&system, host, pair[0], sys.epoll.EPOLL.IN, 0x1234_5678_9abc);
    const found = Registration.of(&system, pair[0], &buffer).?;
    try std.testing.expectEqual(host, found.poller);
    try std.testing.expectEqual(0x1234_5678_9abc, found.data);
    try std.testing.expect(found.events & sys.epoll.EPOLL.IN != 0);
    const other = try sys.epoll.create(&system);
    defer system.close(other);
    try sys.epoll.add(&system, other, pair[0], sys.epoll.EPOLL.IN, 1);
    try std.testing.expectEqual(null, Registration.of(&system, pair[0], &buffer));
}
