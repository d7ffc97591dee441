//! How ipcd is asked for a service elsewhere, while the caller waits.
//!
//!     ─▶ the message  SERVICE;NETWORK     NETWORK is the variable IPC_NETWORK whole
//!     ◀─ the two bytes  ok  with the descriptor, which is the connection to the service
//!        or the text  error: WHY  without one, and the end
//!
//! `src/ipc/lookup.ts` says more, and `tests/vectors/lookup.json` has the bytes.

const std = @import("std");
const sys = @import("sys");
const claims = @import("claim.zig");
const frame = @import("frame.zig");
const networks = @import("network.zig");
const RunDirectory = @import("run_directory.zig").RunDirectory;

/// Who is asked. It is itself always here.
pub const service = "ipc";
/// The longest answer.
pub const answer_bytes_max = 512;
/// ipcd may have to wait for machines far away.
pub const timeout_default_ns = 35 * std.time.ns_per_s;

const ok = "ok";
const error_prefix = "error: ";
/// Between two looks at a service that has no room for another connection.
const busy_retry_ns = std.time.ns_per_ms;

pub const Error = claims.ConnectError || error{
    /// ipcd has said so, and perhaps why; or has said nothing that can be understood.
    NoWay,
    TimedOut,
};

/// Why there is no way, for people to read: what ipcd said, or what was wrong with that. Empty if nobody has asked it.
pub const Reason = struct {
    buffer: [answer_bytes_max]u8 = undefined,
    length: usize = 0,

    pub fn text(reason: *const Reason) []const u8 {
        return reason.buffer[0..reason.length];
    }

    fn set(reason: *Reason, why: []const u8) void {
        std.mem.copyForwards(u8, &reason.buffer, why);
        reason.length = why.len;
    }
};

/// The environment's variable, or nothing.
pub fn variableOf(system: anytype) []const u8 {
    return system.environment(networks.variable_name) orelse "";
}

/// Where `name` is. Who is asked for the others is always here.
pub fn whereIs(name: []const u8, variable: []const u8) networks.Found {
    return if (std.mem.eql(u8, name, service)) .here else networks.find(name, variable);
}

/// A connection to `name`, by way of ipcd in `directory`. The descriptor is the caller's. `until_ns` is a time of the
/// system's monotonic clock, null for never.
pub fn find(
    system: anytype,
    directory: *const RunDirectory,
    name: []const u8,
    network: []const u8,
    until_ns: ?u64,
    reason: *Reason,
) Error!sys.Fd {
    reason.length = 0;
    const ipcd = try connectTo(system, directory, service, until_ns);
    defer system.close(ipcd);
    return ask(system, ipcd, name, network, until_ns, reason);
}

/// Connects to a service here, and waits for as long as it has no room.
pub fn connectTo(
    system: anytype,
    directory: *const RunDirectory,
    name: []const u8,
    until_ns: ?u64,
) claims.ConnectError!sys.Fd {
    while (true) {
        return claims.connectTo(system, directory, name) catch |failure| {
            if (failure != error.Busy) return failure;
            const left_ns = leftOf(system, until_ns) orelse return failure;
            _ = system.poll(&.{}, @min(left_ns, busy_retry_ns)) catch return failure;
            continue;
        };
    }
}

/// The same over a connection to ipcd, which stays the caller's.
pub fn ask(
    system: anytype,
    ipcd: sys.Fd,
    name: []const u8,
    network: []const u8,
    until_ns: ?u64,
    reason: *Reason,
) Error!sys.Fd {
    reason.length = 0;
    try send(system, ipcd, name, network, until_ns);
    var connection: ?sys.Fd = null;
    errdefer if (connection) |fd| system.close(fd);
    var count: usize = 0;
    const buffer = &reason.buffer;
    while (true) {
        // No more is read at once than `ok` has, and nothing behind it.
        const room = if (count < ok.len) buffer[count..ok.len] else buffer[count..];
        if (room.len == 0) return noWay(reason, count);
        var fds: [1]sys.Fd = undefined;
        var arrivals: sys.rights.Arrivals = .{ .room = &fds };
        const received = system.receive(ipcd, room, &arrivals);
        for (arrivals.fds()) |fd| {
            if (connection) |former| system.close(former);
            connection = fd;
        }
        // There was no number left for it.
        if (arrivals.cut and arrivals.count == 0) return error.DescriptorLimit;
        switch (received) {
            .bytes => |bytes| count += bytes,
            .would_block => try waitFor(system, ipcd, sys.POLL.IN, until_ns),
            .end, .reset => return noWay(reason, count),
            .failed => return error.Unexpected,
        }
        if (!std.mem.eql(u8, buffer[0..count], ok)) continue;
        const found = connection orelse {
            reason.set("it said ok and sent no connection");
            return error.NoWay;
        };
        const kind = system.socketKind(found) catch {
            reason.set("what it sent is no connection");
            return error.NoWay;
        };
        if (!kind.listens) return found;
        reason.set("what it sent is no connection");
        return error.NoWay;
    }
}

fn send(system: anytype, ipcd: sys.Fd, name: []const u8, network: []const u8, until_ns: ?u64) Error!void {
    const header = frame.encodeHeader(@intCast(name.len + ";".len + network.len));
    const whole = [_][]const u8{ &header, name, ";", network };
    var sent: usize = 0;
    while (true) {
        var parts: [whole.len]std.posix.iovec_const = undefined;
        var count: usize = 0;
        var before = sent;
        for (whole) |part| {
            const skipped = @min(before, part.len);
            before -= skipped;
            if (skipped == part.len) continue;
            parts[count] = .{ .base = part[skipped..].ptr, .len = part.len - skipped };
            count += 1;
        }
        if (count == 0) return;
        switch (system.send(ipcd, parts[0..count])) {
            .bytes => |bytes| sent += bytes,
            .would_block => try waitFor(system, ipcd, sys.POLL.OUT, until_ns),
            // What it may have said before it went is still to be read.
            .broken => return,
            .failed => return error.Unexpected,
        }
    }
}

/// Null when the time has come.
fn leftOf(system: anytype, until_ns: ?u64) ?u64 {
    const until = until_ns orelse return std.math.maxInt(u64);
    const now_ns = system.monotonic();
    return if (now_ns >= until) null else until - now_ns;
}

fn waitFor(system: anytype, fd: sys.Fd, events: i16, until_ns: ?u64) error{ TimedOut, Unexpected }!void {
    const left_ns = leftOf(system, until_ns) orelse return error.TimedOut;
    var one: [1]sys.PollFd = .{.{ .fd = fd, .events = events, .revents = 0 }};
    // A signal ends it early, and it is tried again.
    _ = try system.poll(&one, if (until_ns == null) null else left_ns);
}

/// Of an answer that is not `ok`, and whole.
fn noWay(reason: *Reason, count: usize) error{NoWay} {
    const answer = reason.buffer[0..count];
    if (count == 0) {
        reason.set("it ended the connection without an answer");
    } else if (std.mem.startsWith(u8, answer, error_prefix) and std.unicode.utf8ValidateSlice(answer)) {
        const why = answer[error_prefix.len..];
        reason.set(if (why.len > 0) why else "there is no way, and the answer does not say why");
    } else {
        reason.set("the answer is neither ok nor an error; is it ipcd that answers?");
    }
    return error.NoWay;
}

const testing = std.testing;
const vectors = @import("vectors.zig");

/// ipcd, played by the test: what it says lies there before it is asked.
const Played = struct {
    system: sys.System = .{},
    client: sys.Fd,
    ipcd: sys.Fd,
    reason: Reason = .{},

    fn init() !Played {
        var played: Played = .{ .client = undefined, .ipcd = undefined };
        played.client, played.ipcd = try played.system.pair();
        return played;
    }

    fn deinit(played: *Played) void {
        played.system.close(played.client);
        if (played.ipcd >= 0) played.system.close(played.ipcd);
    }

    fn say(played: *Played, text: []const u8, fds: []const sys.Fd) !void {
        const parts = [_]std.posix.iovec_const{.{ .base = text.ptr, .len = text.len }};
        if (fds.len == 0) {
            try testing.expectEqual(sys.Sent{ .bytes = text.len }, played.system.send(played.ipcd, &parts));
        } else {
            try testing.expectEqual(sys.Passed{ .bytes = text.len }, played.system.sendRights(played.ipcd, &parts, fds));
        }
    }

    fn end(played: *Played) void {
        played.system.close(played.ipcd);
        played.ipcd = -1;
    }

    fn answer(played: *Played) Error!sys.Fd {
        const until_ns = played.system.monotonic() + 20 * std.time.ns_per_ms;
        return ask(&played.system, played.client, "pong", "pong tcp://host:1", until_ns, &played.reason);
    }

    fn expectNoWay(played: *Played, why: []const u8) !void {
        try testing.expectError(error.NoWay, played.answer());
        try testing.expectEqualStrings(why, played.reason.text());
    }

    /// That the two are one connection.
    fn expectJoined(played: *Played, one: sys.Fd, other: sys.Fd) !void {
        const parts = [_]std.posix.iovec_const{.{ .base = "x", .len = 1 }};
        try testing.expectEqual(sys.Sent{ .bytes = 1 }, played.system.send(one, &parts));
        var buffer: [4]u8 = undefined;
        var arrivals: sys.rights.Arrivals = .{};
        try testing.expectEqual(sys.Received{ .bytes = 1 }, played.system.receive(other, &buffer, &arrivals));
    }

    /// That nobody has `fd`'s other end any more.
    fn expectClosed(played: *Played, fd: sys.Fd) !void {
        var buffer: [4]u8 = undefined;
        var arrivals: sys.rights.Arrivals = .{};
        try testing.expectEqual(sys.Received.end, played.system.receive(fd, &buffer, &arrivals));
    }
};

const neither = "the answer is neither ok nor an error; is it ipcd that answers?";

test "ok brings the connection, in whatever pieces it comes" {
    const ways = [_]struct { []const u8, []const u8, usize }{
        .{ "ok", "", 0 }, .{ "o", "k", 0 }, .{ "o", "k", 1 },
    };
    for (ways) |way| {
        var played = try Played.init();
        defer played.deinit();
        const far = try played.system.pair();
        defer played.system.close(far[1]);
        try played.say(way[0], if (way[2] == 0) far[0..1] else &.{});
        if (way[1].len > 0) try played.say(way[1], if (way[2] == 1) far[0..1] else &.{});
        played.system.close(far[0]);
        const found = try played.answer();
        try played.expectJoined(found, far[1]);
        played.system.close(found);
        try played.expectClosed(far[1]);
    }
}

test "of two connections the last counts, and the other is closed" {
    var played = try Played.init();
    defer played.deinit();
    const one = try played.system.pair();
    const other = try played.system.pair();
    try played.say("o", one[0..1]);
    try played.say("k", other[0..1]);
    for ([_]sys.Fd{ one[0], other[0] }) |fd| played.system.close(fd);
    const found = try played.answer();
    try played.expectClosed(one[1]);
    try played.expectJoined(found, other[1]);
    for ([_]sys.Fd{ found, one[1], other[1] }) |fd| played.system.close(fd);
}

test "the request is the shared vectors', and so are answers" {
    const Vectors = struct {
        version: u32,
        answer_bytes_max: usize,
        requests: []const struct { hex: []const u8, service: ?[]const u8, network: ?[]const u8 },
        answers: []const struct { hex: []const u8, @"error": ?[]const u8 },
        no_answers: []const []const u8,
        exchanges: []const struct {
            what: []const u8,
            service: []const u8,
            network: []const u8,
            sent: []const u8,
            answered: []const u8,
            connection: bool,
            @"error": ?[]const u8,
        },
        /// Those that only ipcd sends.
        daemon_requests: []const struct { uri: []const u8, sent: []const u8 },
    };
    const parsed = try vectors.read(Vectors, "lookup");
    defer parsed.deinit();
    try testing.expectEqual(parsed.value.answer_bytes_max, answer_bytes_max);
    for (parsed.value.requests) |vector| {
        var played = try Played.init();
        defer played.deinit();
        const bytes = try vectors.unhex(vector.hex);
        defer testing.allocator.free(bytes);
        try send(&played.system, played.client, vector.service orelse continue, vector.network.?, 0);
        var buffer: [256]u8 = undefined;
        var arrivals: sys.rights.Arrivals = .{};
        const received = played.system.receive(played.ipcd, &buffer, &arrivals);
        try testing.expectEqual(frame.header_bytes + bytes.len, received.bytes);
        try testing.expectEqual(bytes.len, frame.payloadLength(&buffer).?);
        try testing.expectEqualSlices(u8, bytes, buffer[frame.header_bytes..received.bytes]);
    }
    for (parsed.value.answers) |vector| {
        const bytes = try vectors.unhex(vector.hex);
        defer testing.allocator.free(bytes);
        var played = try Played.init();
        defer played.deinit();
        try played.say(bytes, &.{});
        played.end();
        try played.expectNoWay(vector.@"error" orelse "it said ok and sent no connection");
    }
    for (parsed.value.exchanges) |vector| {
        errdefer std.debug.print("{s}\n", .{vector.what});
        try tryExchange(vector);
    }
    for (parsed.value.no_answers) |hex| {
        const bytes = try vectors.unhex(hex);
        defer testing.allocator.free(bytes);
        var played = try Played.init();
        defer played.deinit();
        if (bytes.len > 0) try played.say(bytes, &.{});
        played.end();
        // What comes behind `ok` is not read.
        const is_ok = std.mem.startsWith(u8, bytes, ok);
        try played.expectNoWay(if (bytes.len == 0)
            "it ended the connection without an answer"
        else if (is_ok) "it said ok and sent no connection" else neither);
    }
}

fn tryExchange(vector: anytype) !void {
    var played = try Played.init();
    defer played.deinit();
    const far = try played.system.pair();
    defer played.system.close(far[1]);
    const answered = try vectors.unhex(vector.answered);
    defer testing.allocator.free(answered);
    if (answered.len > 0) try played.say(answered, if (vector.connection) far[0..1] else &.{});
    played.system.close(far[0]);
    const asked = played.system.duplicate(played.ipcd) catch unreachable;
    defer played.system.close(asked);
    // Asking goes on to its end before it is over.
    std.debug.assert(std.c.shutdown(played.ipcd, std.c.SHUT.WR) == 0);
    const found = ask(&played.system, played.client, vector.service, vector.network, 0, &played.reason);
    if (vector.@"error") |why| {
        try testing.expectError(error.NoWay, found);
        try testing.expectEqualStrings(why, played.reason.text());
    } else {
        const connection = try found;
        try played.expectJoined(connection, far[1]);
        played.system.close(connection);
    }
    try played.expectClosed(far[1]);
    var buffer: [256]u8 = undefined;
    var arrivals: sys.rights.Arrivals = .{};
    const sent = try vectors.unhex(vector.sent);
    defer testing.allocator.free(sent);
    const received = played.system.receive(asked, &buffer, &arrivals);
    try testing.expectEqualSlices(u8, sent, buffer[0..received.bytes]);
}

test "an answer has its limit" {
    const longest = error_prefix ++ "x" ** (answer_bytes_max - error_prefix.len);
    for ([_][]const u8{ longest, longest ++ "y", longest ++ "y" ** 5000 }) |text| {
        var played = try Played.init();
        defer played.deinit();
        try played.say(text, &.{});
        // Nobody waits for the end of one that is too long.
        if (text.len == answer_bytes_max) played.end();
        try played.expectNoWay(longest[error_prefix.len..]);
    }
}

test "what comes without ok, or is no connection, is closed" {
    var played = try Played.init();
    defer played.deinit();
    const far = try played.system.pair();
    try played.say("o", far[0..1]);
    played.system.close(far[0]);
    played.end();
    try played.expectNoWay(neither);
    try played.expectClosed(far[1]);
    played.system.close(far[1]);

    var other = try Played.init();
    defer other.deinit();
    var pipe: [2]sys.Fd = undefined;
    try testing.expectEqual(0, std.c.pipe(&pipe));
    try other.say("ok", pipe[1..2]);
    other.system.close(pipe[1]);
    try other.expectNoWay("what it sent is no connection");
    var buffer: [1]u8 = undefined;
    try testing.expectEqual(sys.Received.end, other.system.read(pipe[0], &buffer));
    other.system.close(pipe[0]);
}

test "an answer that never comes, or never ends, is waited for no longer than is said" {
    for ([_][]const u8{ "", "o", "error: wh" }) |text| {
        var played = try Played.init();
        defer played.deinit();
        if (text.len > 0) try played.say(text, &.{});
        try testing.expectError(error.TimedOut, played.answer());
    }
}

test "one that has gone before it is asked is heard all the same" {
    var played = try Played.init();
    defer played.deinit();
    try played.say("error: closing time", &.{});
    played.end();
    try played.expectNoWay("closing time");
}

/// Reads slowly, all of it, and answers in pieces.
const Slow = struct {
    system: sys.System = .{},
    ipcd: sys.Fd,
    far: sys.Fd,
    bytes: usize,
    read: usize = 0,
    good: bool = false,

    fn run(slow: *Slow) void {
        var buffer: [1000]u8 = undefined;
        while (slow.read < slow.bytes) {
            var arrivals: sys.rights.Arrivals = .{};
            switch (slow.system.receive(slow.ipcd, &buffer, &arrivals)) {
                .bytes => |count| slow.read += count,
                .would_block => {
                    var one: [1]sys.PollFd = .{.{ .fd = slow.ipcd, .events = sys.POLL.IN, .revents = 0 }};
                    _ = slow.system.poll(&one, std.time.ns_per_s) catch return;
                },
                else => return,
            }
        }
        const first = [_]std.posix.iovec_const{.{ .base = "o", .len = 1 }};
        const second = [_]std.posix.iovec_const{.{ .base = "k", .len = 1 }};
        _ = slow.system.send(slow.ipcd, &first);
        _ = slow.system.poll(&.{}, 5 * std.time.ns_per_ms) catch {};
        _ = slow.system.sendRights(slow.ipcd, &second, &.{slow.far});
        slow.good = true;
    }
};

test "the longest request goes to one that reads slowly" {
    var played = try Played.init();
    defer played.deinit();
    const small: c_int = 4096;
    _ = std.c.setsockopt(played.client, std.c.SOL.SOCKET, std.c.SO.SNDBUF, &small, @sizeOf(c_int));
    const far = try played.system.pair();
    const network = ";" ** 65_536;
    var slow: Slow = .{ .ipcd = played.ipcd, .far = far[0], .bytes = frame.header_bytes + "pong;".len + network.len };
    const thread = try std.Thread.spawn(.{}, Slow.run, .{&slow});
    const found = ask(&played.system, played.client, "pong", network, null, &played.reason);
    thread.join();
    played.system.close(far[0]);
    const connection = try found;
    try testing.expect(slow.good);
    try played.expectJoined(connection, far[1]);
    for ([_]sys.Fd{ connection, far[1] }) |fd| played.system.close(fd);
}
