//! Unix stream sockets by plain system calls: what a floor program talks through.
//!
//! A floor is what the same work costs without any library, so nothing here buffers, watches or
//! retries beyond what a stream socket asks of everybody. Every failure ends the program with a
//! message: a floor has no peer to be kind to.

const std = @import("std");
const c = std.c;

pub const Fd = c.fd_t;

/// How a socket waits for bytes that have not come yet.
pub const Waiting = enum {
    /// Blocking calls: the kernel puts the process to sleep and wakes it.
    sleep,
    /// Calls that never block, again and again.
    spin,
    /// As `spin`, and the processor is offered to others after each vain call. On one processor
    /// nothing else would let the peer run before the time slice is over.
    yield,
};

pub fn die(comptime format: []const u8, arguments: anytype) noreturn {
    std.debug.print("floor: " ++ format ++ "\n", arguments);
    std.process.exit(1);
}

fn dieOf(comptime call: []const u8) noreturn {
    die("{s}: {s}", .{ call, @tagName(@as(c.E, @enumFromInt(c._errno().*))) });
}

fn addressOf(path: []const u8) c.sockaddr.un {
    var address: c.sockaddr.un = std.mem.zeroes(c.sockaddr.un);
    address.family = c.AF.UNIX;
    if (path.len >= address.path.len) die("path too long: {s}", .{path});
    @memcpy(address.path[0..path.len], path);
    return address;
}

fn open() Fd {
    const fd = c.socket(c.AF.UNIX, c.SOCK.STREAM, 0);
    if (fd < 0) dieOf("socket");
    return fd;
}

pub fn listen(path: []const u8) Fd {
    const fd = open();
    const address = addressOf(path);
    if (c.bind(fd, @ptrCast(&address), @sizeOf(c.sockaddr.un)) != 0) dieOf("bind");
    if (c.listen(fd, 16) != 0) dieOf("listen");
    return fd;
}

pub fn accept(listener: Fd) Fd {
    while (true) {
        const fd = c.accept(listener, null, null);
        if (fd >= 0) return fd;
        if (c._errno().* != @intFromEnum(c.E.INTR)) dieOf("accept");
    }
}

/// Blocks while the listener's backlog is full.
pub fn connect(path: []const u8) Fd {
    const fd = open();
    const address = addressOf(path);
    while (c.connect(fd, @ptrCast(&address), @sizeOf(c.sockaddr.un)) != 0) {
        if (c._errno().* != @intFromEnum(c.E.INTR)) dieOf("connect");
    }
    return fd;
}

/// Sleeps until there are bytes to read.
pub fn waitReadable(fd: Fd) void {
    var watched = [_]c.pollfd{.{ .fd = fd, .events = c.POLL.IN, .revents = 0 }};
    while (c.poll(&watched, 1, -1) < 0) {
        if (c._errno().* != @intFromEnum(c.E.INTR)) dieOf("poll");
    }
}

/// What one call of receive brings, at least one byte. Null at the end of the stream.
pub fn receive(fd: Fd, buffer: []u8, waiting: Waiting) ?usize {
    const flags: c_int = if (waiting == .sleep) 0 else c.MSG.DONTWAIT;
    while (true) {
        const count = c.recv(fd, buffer.ptr, buffer.len, flags);
        if (count > 0) return @intCast(count);
        if (count == 0) return null;
        again("recv", waiting);
    }
}

pub fn sendAll(fd: Fd, bytes: []const u8, waiting: Waiting) void {
    const flags: u32 = c.MSG.NOSIGNAL | if (waiting == .sleep) @as(u32, 0) else c.MSG.DONTWAIT;
    var sent: usize = 0;
    while (sent < bytes.len) {
        const count = c.send(fd, bytes.ptr + sent, bytes.len - sent, flags);
        if (count >= 0) sent += @intCast(count) else again("send", waiting);
    }
}

/// Returns if the failed call is worth another try.
fn again(comptime call: []const u8, waiting: Waiting) void {
    switch (@as(c.E, @enumFromInt(c._errno().*))) {
        .INTR => {},
        .AGAIN => if (waiting == .yield) {
            _ = c.sched_yield();
        },
        else => dieOf(call),
    }
}
