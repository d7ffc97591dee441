//! A zygote and its clones, as processes: what is forked here is this test's own process.

const std = @import("std");
const sys = @import("sys");
const zygote = @import("zygote.zig");
const inheritance = @import("inheritance.zig");
const process = sys.process;
const c = std.c;

const Fd = sys.Fd;

/// What every test here begins with: where a process cannot be forked there is nothing to see. It is inline so that
/// there nothing behind it is compiled, which is for Linux alone.
inline fn open() error{SkipZigTest}!sys.System {
    if (!process.available) return error.SkipZigTest;
    return .{};
}

/// What a copy has to know of this process, as it is now.
fn studied(system: *sys.System) !*inheritance.Inheritance {
    const inherits = try std.testing.allocator.create(inheritance.Inheritance);
    errdefer std.testing.allocator.destroy(inherits);
    try inherits.study(system);
    return inherits;
}

/// Runs `body` in a child, and returns what it exits with.
fn inChild(comptime body: anytype, context: anytype) !u8 {
    var system = try open();
    const pid = try process.fork(&system);
    if (pid == 0) {
        var own: sys.System = .{};
        process.leave(body(&own, context) catch 99);
    }
    var status: c_int = 0;
    while (c.waitpid(pid, &status, 0) < 0) {}
    const word: u32 = @bitCast(status);
    try std.testing.expect(std.c.W.IFEXITED(word));
    return std.c.W.EXITSTATUS(word);
}

const Loop = struct { epoll: Fd, counter: Fd, watched: Fd, other: Fd };

test "a copy has an epoll and an eventfd of its own, with the same registrations" {
    var system = try open();
    const pair = try system.pair();
    defer for (pair) |end| system.close(end);
    const loop: Loop = .{
        .epoll = try sys.epoll.create(&system),
        .counter = try process.createEventCounter(&system, 0, process.eventCounterFlags.nonblock),
        .watched = pair[0],
        .other = pair[1],
    };
    defer system.close(loop.epoll);
    defer system.close(loop.counter);
    try sys.epoll.add(&system, loop.epoll, loop.counter, sys.epoll.EPOLL.IN, 7);
    try sys.epoll.add(&system, loop.epoll, loop.watched, sys.epoll.EPOLL.IN, 1 << 40);
    const inherits = try studied(&system);
    defer std.testing.allocator.destroy(inherits);

    const Child = struct {
        fn run(own: *sys.System, given: anytype) !u8 {
            const kept = [_]Fd{ given.loop.watched, given.loop.other };
            try given.inherits.keepOnly(own, &kept);
            try given.inherits.renew(own, &kept);
            const one: u64 = 1;
            if (c.write(given.loop.counter, std.mem.asBytes(&one), 8) != 8) return 1;
            var events: [4]sys.epoll.Event = undefined;
            var precise = true;
            // The counter is the copy's own, and so is what watches it.
            if (try sys.epoll.wait(own, given.loop.epoll, &events, 0, &precise) != 1) return 2;
            if (events[0].data.u64 != 7) return 3;
            const part = [_]std.posix.iovec_const{.{ .base = "x", .len = 1 }};
            _ = own.send(given.loop.other, &part);
            if (try sys.epoll.wait(own, given.loop.epoll, &events, 0, &precise) != 2) return 4;
            return 0;
        }
    };
    try std.testing.expectEqual(0, try inChild(Child.run, .{ .loop = loop, .inherits = inherits }));
    // Here only what was sent has come: nobody has counted.
    var events: [4]sys.epoll.Event = undefined;
    var precise = true;
    try std.testing.expectEqual(1, try sys.epoll.wait(&system, loop.epoll, &events, 0, &precise));
    try std.testing.expectEqual(1 << 40, events[0].data.u64);
}

test "what a counter had counted a copy knows" {
    var system = try open();
    const counter = try process.createEventCounter(&system, 5, process.eventCounterFlags.nonblock);
    defer system.close(counter);
    const inherits = try studied(&system);
    defer std.testing.allocator.destroy(inherits);
    const Child = struct {
        fn run(own: *sys.System, given: anytype) !u8 {
            try given.inherits.renew(own, &.{});
            var count: u64 = 0;
            if (c.read(given.counter, std.mem.asBytes(&count), 8) != 8) return 1;
            return if (count == 5) 0 else 2;
        }
    };
    try std.testing.expectEqual(0, try inChild(Child.run, .{ .counter = counter, .inherits = inherits }));
    var count: u64 = 0;
    try std.testing.expectEqual(8, c.read(counter, std.mem.asBytes(&count), 8));
    try std.testing.expectEqual(5, count);
}

test "a timer goes off in a copy as it does here" {
    var system = try open();
    const linux = std.os.linux;
    const timer: Fd = @intCast(linux.timerfd_create(.MONOTONIC, .{ .CLOEXEC = true, .NONBLOCK = true }));
    defer system.close(timer);
    const soon: linux.itimerspec = .{
        .it_interval = .{ .sec = 0, .nsec = 0 },
        .it_value = .{ .sec = 0, .nsec = 20 * std.time.ns_per_ms },
    };
    try std.testing.expectEqual(0, linux.timerfd_settime(timer, .{}, &soon, null));
    const inherits = try studied(&system);
    defer std.testing.allocator.destroy(inherits);
    const Child = struct {
        fn run(own: *sys.System, given: anytype) !u8 {
            try given.inherits.renew(own, &.{});
            return expirations(own, given.timer);
        }

        fn expirations(own: *sys.System, fd: Fd) !u8 {
            var list = [_]sys.PollFd{.{ .fd = fd, .events = sys.POLL.IN, .revents = 0 }};
            _ = try own.poll(&list, null);
            var count: u64 = 0;
            _ = c.read(fd, std.mem.asBytes(&count), 8);
            return @intCast(count);
        }
    };
    try std.testing.expectEqual(1, try inChild(Child.run, .{ .timer = timer, .inherits = inherits }));
    // That the copy's was read has taken nothing from this one.
    try std.testing.expectEqual(1, try Child.expirations(&system, timer));
}

test "a copy keeps no descriptor but those it is to have" {
    var system = try open();
    const pairs = [_][2]Fd{ try system.pair(), try system.pair() };
    defer for (pairs) |pair| for (pair) |end| system.close(end);
    const inherits = try studied(&system);
    defer std.testing.allocator.destroy(inherits);
    const Child = struct {
        fn run(own: *sys.System, given: anytype) !u8 {
            try given.inherits.keepOnly(own, &.{given.pairs[1][0]});
            if (!own.isOpen(given.pairs[1][0])) return 1;
            for ([_]Fd{ given.pairs[0][0], given.pairs[0][1], given.pairs[1][1] }) |fd| if (own.isOpen(fd)) return 2;
            return 0;
        }
    };
    try std.testing.expectEqual(0, try inChild(Child.run, .{ .pairs = pairs, .inherits = inherits }));
}

test "threads are counted, and called by name" {
    var system = try open();
    var names: [256]u8 = undefined;
    var written: usize = 0;
    const before = try zygote.threads.list(&system, &names, &written);
    var stop: std.atomic.Value(bool) = .init(false);
    const Sleeper = struct {
        fn run(flag: *std.atomic.Value(bool)) void {
            while (!flag.load(.acquire)) _ = c.sched_yield();
        }
    };
    const thread = try std.Thread.spawn(.{}, Sleeper.run, .{&stop});
    defer {
        stop.store(true, .release);
        thread.join();
    }
    try std.testing.expectEqual(before + 1, try zygote.threads.list(&system, &names, &written));
    try std.testing.expect(written > 0);
    // And where there is one, nothing is forked.
    const settings: zygote.Settings = .{ .control = -1, .lifeline = -1, .grace_ns = 0, .orphans = .end };
    try std.testing.expectError(error.NotAlone, zygote.serve(&system, std.testing.allocator, settings));
}

test "a child is reaped by its pidfd, and says how it ended" {
    var system = try open();
    const pid = try process.fork(&system);
    if (pid == 0) {
        while (true) _ = c.sched_yield();
    }
    const pidfd = try process.openProcess(&system, pid);
    defer system.close(pidfd);
    try std.testing.expectEqual(null, try process.reap(&system, pidfd));
    try process.signalProcess(&system, pidfd, @intFromEnum(c.SIG.KILL));
    var list = [_]sys.PollFd{.{ .fd = pidfd, .events = sys.POLL.IN, .revents = 0 }};
    try std.testing.expectEqual(1, try system.poll(&list, null));
    try std.testing.expectEqual(process.Ending{ .signal = @intFromEnum(c.SIG.KILL) }, (try process.reap(&system, pidfd)).?);
    try std.testing.expectError(error.Gone, process.reap(&system, pidfd));
    try std.testing.expectError(error.Gone, process.signalProcess(&system, pidfd, 0));
}

test "who hangs on a lifeline dies when nobody holds its other end" {
    var system = try open();
    const ends = system.pipe(4096) orelse return error.NoPipe;
    const pid = try process.fork(&system);
    if (pid == 0) {
        const own = process.reopen(&system, ends[0]) catch process.leave(1);
        for (ends) |end| system.close(end);
        process.dieWith(&system, own) catch process.leave(2);
        while (true) _ = c.sched_yield();
    }
    const pidfd = try process.openProcess(&system, pid);
    defer system.close(pidfd);
    var list = [_]sys.PollFd{.{ .fd = pidfd, .events = sys.POLL.IN, .revents = 0 }};
    try std.testing.expectEqual(0, try system.poll(&list, 20 * std.time.ns_per_ms));
    for (ends) |end| system.close(end);
    try std.testing.expectEqual(1, try system.poll(&list, null));
    try std.testing.expectEqual(process.Ending{ .signal = @intFromEnum(c.SIG.KILL) }, (try process.reap(&system, pidfd)).?);
}

test "a process that gives files up has no more, and none of them back" {
    const Child = struct {
        fn run(own: *sys.System, _: anytype) !u8 {
            var limits: zygote.limits.Limits = .{
                .memory_bytes = -1,
                .cpu_seconds = -1,
                .files = 8,
                .uid = -1,
                .gid = -1,
                .no_new_privileges = 1,
                .no_network = 0,
            };
            try zygote.limits.apply(own, limits);
            limits.files = 1000;
            try zygote.limits.apply(own, limits);
            for (0..8) |_| _ = own.pair() catch |failure| return if (failure == error.DescriptorLimit) 0 else 1;
            return 2;
        }
    };
    try std.testing.expectEqual(0, try inChild(Child.run, {}));
}
