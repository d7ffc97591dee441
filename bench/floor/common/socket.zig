//! Stream sockets by plain system calls: what a floor program talks through. Where a path stands,
//! `tcp:PORT` is a port of this machine, and the socket one of TCP.
//!
//! A floor is what the same work costs without any library, so nothing here buffers, watches or
//! retries beyond what a stream socket asks of everybody. Every failure ends the program with a
//! message: a floor has no peer to be kind to.

const std = @import("std");
const c = std.c;

pub const Fd = c.fd_t;

const tries_max = 500;
const between_tries: c.timespec = .{ .sec = 0, .nsec = 10 * std.time.ns_per_ms };

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

const Address = union(enum) {
    unix: c.sockaddr.un,
    internet: c.sockaddr.in,

    fn of(path: []const u8) Address {
        if (std.mem.cutPrefix(u8, path, "tcp:")) |port| return .{ .internet = loopback(port) };
        var address: c.sockaddr.un = std.mem.zeroes(c.sockaddr.un);
        address.family = c.AF.UNIX;
        if (path.len >= address.path.len) die("path too long: {s}", .{path});
        @memcpy(address.path[0..path.len], path);
        return .{ .unix = address };
    }

    fn loopback(port: []const u8) c.sockaddr.in {
        const number = std.fmt.parseInt(u16, port, 10) catch die("no port: {s}", .{port});
        var address: c.sockaddr.in = std.mem.zeroes(c.sockaddr.in);
        address.family = c.AF.INET;
        address.port = std.mem.nativeToBig(u16, number);
        address.addr = std.mem.nativeToBig(u32, 0x7f000001);
        return address;
    }

    fn pointer(address: *const Address) *const c.sockaddr {
        return switch (address.*) {
            inline else => |*inner| @ptrCast(inner),
        };
    }

    fn length(address: *const Address) c.socklen_t {
        return switch (address.*) {
            inline else => |inner| @sizeOf(@TypeOf(inner)),
        };
    }

    fn open(address: *const Address) Fd {
        const family: c_uint = if (address.* == .unix) c.AF.UNIX else c.AF.INET;
        const fd = c.socket(family, c.SOCK.STREAM, 0);
        if (fd < 0) dieOf("socket");
        if (address.* == .internet) {
            set(fd, c.SOL.SOCKET, c.SO.REUSEADDR);
            undelay(fd);
        }
        return fd;
    }
};

fn set(fd: Fd, level: i32, option: u32) void {
    const one: c_int = 1;
    if (c.setsockopt(fd, level, option, &one, @sizeOf(c_int)) != 0) dieOf("setsockopt");
}

/// What is sent goes at once.
fn undelay(fd: Fd) void {
    set(fd, c.IPPROTO.TCP, c.TCP.NODELAY);
}

pub fn listen(path: []const u8) Fd {
    const address: Address = .of(path);
    const fd = address.open();
    if (c.bind(fd, address.pointer(), address.length()) != 0) dieOf("bind");
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

/// Blocks while the listener's backlog is full. A port may have a program behind it that does not say
/// when it listens, so that one is tried again for a while.
pub fn connect(path: []const u8) Fd {
    const address: Address = .of(path);
    for (0..tries_max) |_| {
        const fd = address.open();
        if (c.connect(fd, address.pointer(), address.length()) == 0) return fd;
        switch (@as(c.E, @enumFromInt(c._errno().*))) {
            .INTR => {},
            .CONNREFUSED => if (address == .internet) {
                _ = c.nanosleep(&between_tries, null);
            } else dieOf("connect"),
            else => dieOf("connect"),
        }
        _ = c.close(fd);
    }
    die("nobody listens at {s}", .{path});
}

/// For a program that has more open than a process usually may.
pub fn raiseDescriptorLimit() void {
    var limit: c.rlimit = undefined;
    if (c.getrlimit(.NOFILE, &limit) != 0) return;
    limit.cur = limit.max;
    _ = c.setrlimit(.NOFILE, &limit);
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
