//! A pipe each way between two processes that talk in turns. Who reads or writes here does nothing else meanwhile: the
//! call itself waits, for as long as it is told, and for no longer than what it lives by is there.
//!
//!     life ───┐                    a pipe that nobody writes to; its other end is held by whoever is to outlive this one,
//!             ▼                    and when that goes, `error.Closed`
//!     fd ──▶ poll ──▶ read, write
//!
//! Without a context, and without memory of its own.

const std = @import("std");
const sys = @import("sys");
const Fd = sys.Fd;

pub const OpenError = sys.SocketError;
pub const WaitError = sys.PollError || error{ Closed, TimedOut };
pub const ReadError = WaitError;
pub const WriteError = WaitError || error{Ended};

/// What ends a wait beside what it is for.
pub const Bounds = struct {
    /// Something whose other end another process holds open.
    life: ?Fd = null,
    timeout_ns: ?u64 = null,
};

/// Its two ends, to read from and to write to.
pub fn open(system: *sys.System) OpenError![2]Fd {
    return system.pipeEnds();
}

/// Whether an end waits by itself, for whoever uses it without bounds: that takes one call less.
pub fn setBlocking(system: *sys.System, fd: Fd, blocks: bool) sys.AccessError!void {
    return system.setBlocking(fd, blocks);
}

/// What there is, once there is something; 0 at the end, and when whoever writes is gone.
pub fn read(system: *sys.System, fd: Fd, buffer: []u8, bounds: Bounds) ReadError!usize {
    // Without bounds, what blocks by itself waits in the read alone.
    var waits = bounds.life != null or bounds.timeout_ns != null;
    while (true) {
        if (waits) try wait(system, fd, std.c.POLL.IN, bounds);
        waits = true;
        return switch (system.read(fd, buffer)) {
            .bytes => |count| count,
            .end, .reset => 0,
            .would_block => continue,
            .failed => error.Unexpected,
        };
    }
}

/// All of it. The bound is on each time that nothing more goes. After an error nobody knows how much of it went, and the
/// pipe is of no use any more. `error.Ended` if nobody reads.
pub fn write(system: *sys.System, fd: Fd, bytes: []const u8, bounds: Bounds) WriteError!void {
    var rest = bytes;
    while (rest.len > 0) {
        switch (system.writeQuietly(fd, rest)) {
            .bytes => |count| rest = rest[count..],
            .would_block => try wait(system, fd, std.c.POLL.OUT, bounds),
            .broken => return error.Ended,
            .failed => return error.Unexpected,
        }
    }
}

fn wait(system: *sys.System, fd: Fd, what: i16, bounds: Bounds) WaitError!void {
    var watched = [_]sys.PollFd{
        .{ .fd = fd, .events = what, .revents = 0 },
        .{ .fd = bounds.life orelse -1, .events = std.c.POLL.IN, .revents = 0 },
    };
    const until_ns = if (bounds.timeout_ns) |timeout_ns| system.monotonic() +| timeout_ns else null;
    while (true) {
        const left_ns = if (until_ns) |end_ns| end_ns -| system.monotonic() else null;
        _ = try system.poll(watched[0..if (bounds.life == null) 1 else 2], left_ns);
        if (watched[1].revents != 0) return error.Closed;
        if (watched[0].revents != 0) return;
        if (until_ns) |end_ns| if (system.monotonic() >= end_ns) return error.TimedOut;
    }
}

const testing = std.testing;

test "what is written to a pipe is read from it, and then its end" {
    var system: sys.System = .{};
    const from, const to = try open(&system);
    defer system.close(from);
    try write(&system, to, "hello", .{});
    var buffer: [16]u8 = undefined;
    try testing.expectEqual(5, try read(&system, from, &buffer, .{}));
    try testing.expectEqualStrings("hello", buffer[0..5]);
    system.close(to);
    try testing.expectEqual(0, try read(&system, from, &buffer, .{}));
}

test "a wait is over in time, by each bound" {
    var system: sys.System = .{};
    const from, const to = try open(&system);
    defer for ([_]Fd{ from, to }) |fd| system.close(fd);
    const life, const holder = try open(&system);
    defer system.close(life);
    var buffer: [4096]u8 = undefined;
    const soon: Bounds = .{ .life = life, .timeout_ns = std.time.ns_per_ms };
    try testing.expectError(error.TimedOut, read(&system, from, &buffer, soon));
    // As much as it takes.
    while (system.writeQuietly(to, &buffer) != .would_block) {}
    try testing.expectError(error.TimedOut, write(&system, to, "more", soon));
    system.close(holder);
    try testing.expectError(error.Closed, write(&system, to, "more", .{ .life = life }));
    // Even where there is something to read.
    try testing.expectError(error.Closed, read(&system, from, &buffer, .{ .life = life }));
    try testing.expectEqual(buffer.len, try read(&system, from, &buffer, .{}));
}

test "an end that blocks waits by itself" {
    var system: sys.System = .{};
    const from, const to = try open(&system);
    defer system.close(from);
    try setBlocking(&system, from, true);
    const Writer = struct {
        fn run(fd: Fd) void {
            var own: sys.System = .{};
            _ = own.poll(&.{}, 5 * std.time.ns_per_ms) catch {};
            write(&own, fd, "late", .{}) catch {};
            own.close(fd);
        }
    };
    const thread = try std.Thread.spawn(.{}, Writer.run, .{to});
    var buffer: [16]u8 = undefined;
    try testing.expectEqual(4, try read(&system, from, &buffer, .{}));
    try testing.expectEqual(0, try read(&system, from, &buffer, .{}));
    thread.join();
}

test "more than a pipe holds goes while somebody reads, and an end that nobody reads is told" {
    var system: sys.System = .{};
    const from, const to = try open(&system);
    defer system.close(to);
    const bytes: [300_000]u8 = @splat(7);
    const Reader = struct {
        fn run(fd: Fd, count: usize) void {
            var own: sys.System = .{};
            var buffer: [5000]u8 = undefined;
            var left = count;
            while (left > 0) left -= read(&own, fd, &buffer, .{}) catch return;
            own.close(fd);
        }
    };
    const thread = try std.Thread.spawn(.{}, Reader.run, .{ from, bytes.len });
    try write(&system, to, &bytes, .{});
    thread.join();
    try testing.expectError(error.Ended, write(&system, to, &bytes, .{}));
}

test "what is not open is no pipe" {
    var system: sys.System = .{};
    const from, const to = try open(&system);
    system.close(from);
    system.close(to);
    var buffer: [1]u8 = undefined;
    try testing.expectError(error.Unexpected, read(&system, from, &buffer, .{}));
    try testing.expectError(error.Unexpected, write(&system, to, &buffer, .{}));
}
