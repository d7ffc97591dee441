//! TCP sockets, for daemons that carry what is local to other machines: addresses are numbers, since looking up names
//! takes time that nothing here has.

const std = @import("std");
const sys = @import("sys.zig");
const platform = sys.platform;
const c = std.c;

const Fd = sys.Fd;
const System = sys.System;

/// An address and a port. Part of the ABI.
pub const Address = extern struct {
    family: Family,
    port: u32 = 0,
    /// The interface of a link-local IPv6 address, 0 for none.
    scope: u32 = 0,
    /// As on the wire; IPv4 has the first four.
    bytes: [16]u8 = @splat(0),
    reserved: u32 = 0,

    pub const Family = enum(u32) { ip4 = 4, ip6 = 6, _ };

    pub fn valid(address: *const Address) bool {
        return (address.family == .ip4 or address.family == .ip6) and address.port <= std.math.maxInt(u16);
    }
};

pub const ListenError = error{
    /// Somebody listens there already.
    AddressInUse,
    /// The address is none of this machine's.
    AddressMissing,
    Permission,
    DescriptorLimit,
    Unexpected,
};

pub const DialError = error{ Permission, DescriptorLimit, Unexpected };

/// What comes before an IPv4 address where a socket for IPv6 has one (RFC 4291, section 2.5.5.2). It is told as what it is.
const mapped = [_]u8{0} ** 10 ++ [_]u8{0xff} ** 2;

const Socket = extern union {
    any: c.sockaddr,
    ip4: c.sockaddr.in,
    ip6: c.sockaddr.in6,
    storage: c.sockaddr.storage,

    fn of(given: Address) struct { Socket, c.socklen_t } {
        const port = std.mem.nativeToBig(u16, @intCast(given.port));
        if (given.family == .ip4) return .{
            .{ .ip4 = .{ .port = port, .addr = @bitCast(given.bytes[0..4].*) } },
            @sizeOf(c.sockaddr.in),
        };
        return .{
            .{ .ip6 = .{ .port = port, .flowinfo = 0, .addr = given.bytes, .scope_id = given.scope } },
            @sizeOf(c.sockaddr.in6),
        };
    }

    /// Null for a socket of another family.
    fn address(socket: *const Socket) ?Address {
        switch (socket.any.family) {
            c.AF.INET => {
                var found: Address = .{ .family = .ip4, .port = std.mem.bigToNative(u16, socket.ip4.port) };
                found.bytes[0..4].* = @bitCast(socket.ip4.addr);
                return found;
            },
            c.AF.INET6 => {
                const port = std.mem.bigToNative(u16, socket.ip6.port);
                const bytes = socket.ip6.addr;
                if (!std.mem.startsWith(u8, &bytes, &mapped)) return .{
                    .family = .ip6,
                    .port = port,
                    .scope = socket.ip6.scope_id,
                    .bytes = bytes,
                };
                var found: Address = .{ .family = .ip4, .port = port };
                found.bytes[0..4].* = bytes[mapped.len..].*;
                return found;
            },
            else => return null,
        }
    }
};

/// A TCP socket that listens at `address`; port 0 takes one that is free. All of IPv6, `::`, stands for IPv4 as well.
pub fn listen(system: *System, address: Address, backlog: u31) ListenError!Fd {
    const fd = open(system, address.family) catch |failure| {
        // Without IPv6 none of its addresses is this machine's.
        if (failure == error.Unexpected and system.failure.errno == @intFromEnum(c.E.AFNOSUPPORT)) return error.AddressMissing;
        return failure;
    };
    errdefer system.close(fd);
    const on: c_int = 1;
    // A port is free again as soon as its last owner has gone, whatever the remotes still have to say.
    _ = c.setsockopt(fd, c.SOL.SOCKET, c.SO.REUSEADDR, &on, @sizeOf(c_int));
    // Systems differ in what they begin with.
    const off: c_int = 0;
    if (address.family == .ip6) _ = c.setsockopt(fd, c.IPPROTO.IPV6, platform.ipv6_only, &off, @sizeOf(c_int));
    const place, const bytes = Socket.of(address);
    if (c.bind(fd, &place.any, bytes) != 0) return switch (system.record(.bind)) {
        .ADDRINUSE => error.AddressInUse,
        .ADDRNOTAVAIL, .AFNOSUPPORT, .INVAL => error.AddressMissing,
        .ACCES, .PERM => error.Permission,
        else => error.Unexpected,
    };
    if (c.listen(fd, backlog) != 0) return switch (system.record(.listen)) {
        .ADDRINUSE => error.AddressInUse,
        else => error.Unexpected,
    };
    return fd;
}

/// A TCP socket that is on its way to `address`: once it is writable, `outcome` tells whether it got there.
pub fn dial(system: *System, address: Address) DialError!Fd {
    const fd = try open(system, address.family);
    errdefer system.close(fd);
    const place, const bytes = Socket.of(address);
    if (c.connect(fd, &place.any, bytes) == 0) return fd;
    return switch (system.record(.connect)) {
        .INPROGRESS, .INTR => fd,
        .ACCES, .PERM => error.Permission,
        else => error.Unexpected,
    };
}

fn open(system: *System, family: Address.Family) error{ DescriptorLimit, Unexpected }!Fd {
    const fd = platform.openInternet(if (family == .ip4) c.AF.INET else c.AF.INET6);
    if (fd < 0) return switch (system.record(.socket)) {
        .MFILE, .NFILE, .NOBUFS, .NOMEM => error.DescriptorLimit,
        else => error.Unexpected,
    };
    prepare(fd);
    return fd;
}

/// Small messages go at once, and a remote that has vanished is found out in the end.
pub fn prepare(fd: Fd) void {
    const on: c_int = 1;
    _ = c.setsockopt(fd, c.IPPROTO.TCP, platform.tcp_nodelay, &on, @sizeOf(c_int));
    _ = c.setsockopt(fd, c.SOL.SOCKET, c.SO.KEEPALIVE, &on, @sizeOf(c_int));
}

/// Why a socket did not get where it was to go: an error number, 0 if it did.
pub fn outcome(fd: Fd) i32 {
    var errno: c_int = 0;
    var bytes: c.socklen_t = @sizeOf(c_int);
    if (c.getsockopt(fd, c.SOL.SOCKET, c.SO.ERROR, &errno, &bytes) != 0) return @intFromEnum(c.E.BADF);
    return errno;
}

pub const End = enum { own, peer };

/// Where the other end is, or this one; null if that is no TCP socket, or it has no other end.
pub fn addressOf(fd: Fd, end: End) ?Address {
    var found: Socket = undefined;
    var bytes: c.socklen_t = @sizeOf(Socket);
    const result = switch (end) {
        .own => c.getsockname(fd, &found.any, &bytes),
        .peer => c.getpeername(fd, &found.any, &bytes),
    };
    if (result != 0) return null;
    return found.address();
}

const testing = std.testing;

fn loopback(family: Address.Family, port: u32) Address {
    var address: Address = .{ .family = family, .port = port };
    if (family == .ip4) address.bytes[0..4].* = .{ 127, 0, 0, 1 } else address.bytes[15] = 1;
    return address;
}

fn waitWritable(system: *System, fd: Fd) !void {
    var fds: [1]sys.PollFd = .{.{ .fd = fd, .events = sys.POLL.OUT, .revents = 0 }};
    try testing.expectEqual(1, try system.poll(&fds, 10 * std.time.ns_per_s));
}

test "who listens is reached, over both families, and each end knows where the other is" {
    var system: System = .{};
    for ([_]Address.Family{ .ip4, .ip6 }) |family| {
        const listener = listen(&system, loopback(family, 0), 8) catch |failure| {
            // A machine may have no IPv6.
            if (family == .ip6 and failure == error.AddressMissing) continue;
            return failure;
        };
        defer system.close(listener);
        const place = addressOf(listener, .own).?;
        try testing.expect(place.port > 0);
        try testing.expectError(error.AddressInUse, listen(&system, place, 8));

        const dialed = try dial(&system, place);
        defer system.close(dialed);
        try waitWritable(&system, dialed);
        try testing.expectEqual(0, outcome(dialed));
        const accepted = (try system.accept(listener)).?;
        defer system.close(accepted);
        try testing.expectEqual(addressOf(dialed, .own).?, addressOf(accepted, .peer).?);
        try testing.expectEqual(place, addressOf(dialed, .peer).?);
    }
}

test "all of IPv6 stands for IPv4 as well, and who comes by that is told so" {
    var system: System = .{};
    const listener = listen(&system, .{ .family = .ip6 }, 8) catch |failure| {
        if (failure == error.AddressMissing) return;
        return failure;
    };
    defer system.close(listener);
    const port = addressOf(listener, .own).?.port;
    for ([_]Address.Family{ .ip4, .ip6 }) |family| {
        const dialed = try dial(&system, loopback(family, port));
        defer system.close(dialed);
        waitWritable(&system, dialed) catch {};
        // A machine may have IPv6, and no address of it.
        if (family == .ip6 and outcome(dialed) != 0) continue;
        const accepted = (try system.accept(listener)).?;
        defer system.close(accepted);
        try testing.expectEqual(addressOf(dialed, .own).?, addressOf(accepted, .peer).?);
        try testing.expectEqual(loopback(family, port), addressOf(accepted, .own).?);
    }
}

test "where nobody listens the outcome says so" {
    var system: System = .{};
    const listener = try listen(&system, loopback(.ip4, 0), 1);
    const place = addressOf(listener, .own).?;
    system.close(listener);
    const dialed = try dial(&system, place);
    defer system.close(dialed);
    try waitWritable(&system, dialed);
    try testing.expectEqual(@intFromEnum(c.E.CONNREFUSED), outcome(dialed));
    try testing.expectEqual(null, addressOf(dialed, .peer));
}

test "an address of another machine cannot be listened at, and a Unix socket has none" {
    var system: System = .{};
    // TEST-NET-1, RFC 5737.
    var elsewhere: Address = .{ .family = .ip4 };
    elsewhere.bytes[0..4].* = .{ 192, 0, 2, 1 };
    try testing.expectError(error.AddressMissing, listen(&system, elsewhere, 1));
    const pair = try system.pair();
    defer for (pair) |fd| system.close(fd);
    try testing.expectEqual(null, addressOf(pair[0], .peer));
}
