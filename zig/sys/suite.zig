//! What every system must do, run on the real one: one body of tests for all of them.
//!
//! Each test works in a directory of its own and leaves no descriptor behind (`Place`).

const std = @import("std");
const builtin = @import("builtin");
const sys = @import("sys.zig");
const c = std.c;
const testing = std.testing;

const E = c.E;
const Fd = sys.Fd;
const System = sys.System;
const expect = testing.expect;
const expectEqual = testing.expectEqual;
const expectError = testing.expectError;

const is_linux = builtin.os.tag == .linux;

// Time, threads, memory

test "the clock does not run backwards" {
    var system: System = .{};
    var last = system.monotonic();
    for (0..1000) |_| {
        const now = system.monotonic();
        try expect(now >= last);
        last = now;
    }
    try expect(last > 0);
}

test "each living thread has a number of its own, and keeps it" {
    var system: System = .{};
    const Other = struct {
        fn run(id: *u64) void {
            var own: System = .{};
            id.* = own.threadId();
        }
    };
    var other: u64 = 0;
    const thread = try std.Thread.spawn(.{}, Other.run, .{&other});
    thread.join();
    try expect(other != 0);
    try expect(system.threadId() != other);
    try expectEqual(system.threadId(), system.threadId());
}

test "there is a processor to run on, and a process that runs" {
    var system: System = .{};
    try expect(system.processorsUsable() >= 1);
    try expectEqual(c.getpid(), system.processId());
    try expectEqual(c.geteuid(), system.userId());
    const before = system.switches();
    system.yield();
    try expect(system.switches() >= before);
}

test "a process is alive until it has ended and its parent knows" {
    var place: Place = try .init();
    defer place.deinit();
    var system: System = .{};
    try expect(system.processAlive(system.processId()));
    const child = try Child.run(struct {
        fn run(_: *Place) !void {}
    }.run, &place);
    try child.expectSuccess();
    try expect(!system.processAlive(child.pid));
}

test "a variable of the environment is found, and one that is not there is not" {
    var system: System = .{};
    try expectEqual(null, system.environment("EARSHOT_A_NAME_THAT_NOBODY_SETS"));
    try expect(system.environment("PATH").?.len > 0);
}

test "mapped pages are zero and writable" {
    var system: System = .{};
    const bytes = 4 * std.heap.pageSize();
    const pages = try system.mapPages(bytes);
    defer system.unmapPages(pages);
    try expectEqual(bytes, pages.len);
    try expect(std.mem.allEqual(u8, pages, 0));
    @memset(pages, 0xaa);
}

test "more memory than there can be is refused, and the errno kept" {
    var system: System = .{};
    const bytes = std.mem.alignBackward(usize, std.math.maxInt(usize) / 2, std.heap.pageSize());
    try expectError(error.OutOfMemory, system.mapPages(bytes));
    try expectFailure(&system, .mmap, .NOMEM);
}

// Streams

test "every socket is born non-blocking and does not outlive an exec" {
    var place: Place = try .init();
    defer place.deinit();
    var system: System = .{};
    const listener = try place.listen(&system, "service");
    defer system.close(listener);
    const client = try system.socket();
    defer system.close(client);
    try system.connect(client, place.path("service"));
    const accepted = (try system.accept(listener)).?;
    defer system.close(accepted);
    const pair = try system.pair();
    defer for (pair) |fd| system.close(fd);
    for ([_]Fd{ listener, client, accepted, pair[0], pair[1] }) |fd| {
        const nonblock: c_int = @bitCast(c.O{ .NONBLOCK = true });
        try expect(c.fcntl(fd, c.F.GETFL) & nonblock != 0);
        try expect(c.fcntl(fd, c.F.GETFD) & @as(c_int, c.FD_CLOEXEC) != 0);
    }
}

test "a read takes what is there, then would block, then meets the end" {
    var place: Place = try .init();
    defer place.deinit();
    var system: System = .{};
    const source, const target = try system.pair();
    defer system.close(target);
    try expectEqual(sys.Sent{ .bytes = 5 }, system.send(source, &.{part("hello")}));
    var buffer: [16]u8 = undefined;
    try expectEqual(sys.Received{ .bytes = 2 }, receive(&system, target, buffer[0..2]));
    try testing.expectEqualStrings("he", buffer[0..2]);
    try expectEqual(sys.Received{ .bytes = 3 }, receive(&system, target, &buffer));
    try testing.expectEqualStrings("llo", buffer[0..3]);
    try expectEqual(sys.Received.would_block, receive(&system, target, &buffer));
    system.close(source);
    try expectEqual(sys.Received.end, receive(&system, target, &buffer));
    try expectEqual(sys.Received.end, receive(&system, target, &buffer));
}

test "parts leave as one stream, in order, empty ones included" {
    var place: Place = try .init();
    defer place.deinit();
    var system: System = .{};
    const source, const target = try system.pair();
    defer system.close(source);
    defer system.close(target);
    const parts = [_]std.posix.iovec_const{ part("he"), part(""), part("llo"), part("!") };
    try expectEqual(sys.Sent{ .bytes = 6 }, system.send(source, &parts));
    var buffer: [16]u8 = undefined;
    try expectEqual(sys.Received{ .bytes = 6 }, receive(&system, target, &buffer));
    try testing.expectEqualStrings("hello!", buffer[0..6]);
}

test "more parts than the system takes at once are cut, not refused" {
    var place: Place = try .init();
    defer place.deinit();
    var system: System = .{};
    const source, const target = try system.pair();
    defer system.close(source);
    defer system.close(target);
    const parts: [sys.send_parts_max + 1]std.posix.iovec_const = @splat(part("x"));
    try expectEqual(sys.Sent{ .bytes = sys.send_parts_max }, system.send(source, &parts));
}

test "a full stream takes a part of the bytes, then would block, and no byte is lost" {
    var place: Place = try .init();
    defer place.deinit();
    var system: System = .{};
    const source, const target = try system.pair();
    defer system.close(source);
    defer system.close(target);
    const message = try testing.allocator.alloc(u8, 4 << 20);
    defer testing.allocator.free(message);
    for (message, 0..) |*byte, index| byte.* = @truncate(index *% 31);
    const received = try testing.allocator.alloc(u8, message.len);
    defer testing.allocator.free(received);

    var sent: usize = 0;
    var taken: usize = 0;
    var blocked: usize = 0;
    while (taken < message.len) {
        while (sent < message.len) switch (system.send(source, &.{part(message[sent..])})) {
            .bytes => |count| sent += count,
            .would_block => {
                blocked += 1;
                break;
            },
            .broken, .failed => return error.TestUnexpectedResult,
        };
        switch (receive(&system, target, received[taken..])) {
            .bytes => |count| taken += count,
            .would_block, .end, .reset, .failed => return error.TestUnexpectedResult,
        }
    }
    try expect(blocked > 0);
    try expect(std.mem.eql(u8, message, received));
}

test "sending to a peer that is gone is an answer and raises no signal" {
    var place: Place = try .init();
    defer place.deinit();
    var system: System = .{};
    const signals: SignalCounter = .begin(.PIPE);
    defer signals.end();
    const source, const target = try system.pair();
    defer system.close(source);
    system.close(target);
    try expectEqual(sys.Sent.broken, system.send(source, &.{part("anybody there?")}));
    const parts = [_]std.posix.iovec_const{ part("any"), part("body?") };
    try expectEqual(sys.Sent.broken, system.send(source, &parts));
    try expectFailure(&system, .send, .PIPE);
    try expectEqual(0, SignalCounter.count.load(.monotonic));
}

test "passing bytes to a peer that is gone raises no signal, whether the process ignores it or not" {
    if (!System.splices) return error.SkipZigTest;
    var system: System = .{};
    for ([_]bool{ false, true }) |ignored| {
        const signals: SignalCounter = .begin(.PIPE);
        defer signals.end();
        if (ignored) std.posix.sigaction(.PIPE, &.{
            .handler = .{ .handler = std.c.SIG.IGN },
            .mask = std.posix.sigemptyset(),
            .flags = 0,
        }, null);
        const source, const target = try system.pair();
        defer system.close(source);
        system.close(target);
        const from, const to = system.pipe(4096).?;
        defer system.close(from);
        defer system.close(to);
        try expectEqual(sys.Sent{ .bytes = 3 }, system.write(to, "bye"));
        try expectEqual(sys.Spliced.broken, system.splice(from, source, 3));
        const gone, const left = system.pipe(4096).?;
        defer system.close(left);
        system.close(gone);
        try expectEqual(sys.Sent.broken, system.write(left, "anybody there?"));
        // And as where a write cannot say that it wants none.
        if (is_linux) @import("linux.zig").writes_say_so.store(false, .monotonic);
        defer if (is_linux) @import("linux.zig").writes_say_so.store(true, .monotonic);
        try expectEqual(sys.Sent.broken, system.write(left, "anybody there?"));
        try expectFailure(&system, .write, .PIPE);
        try expectEqual(0, SignalCounter.count.load(.monotonic));
    }
}

test "an accepted connection raises no signal either" {
    var place: Place = try .init();
    defer place.deinit();
    var system: System = .{};
    const signals: SignalCounter = .begin(.PIPE);
    defer signals.end();
    const listener = try place.listen(&system, "service");
    defer system.close(listener);
    const client = try system.socket();
    try system.connect(client, place.path("service"));
    // The client is gone before it is accepted, and what it said is there all the same.
    try expectEqual(sys.Sent{ .bytes = 3 }, system.send(client, &.{part("bye")}));
    system.close(client);
    const accepted = (try system.accept(listener)).?;
    defer system.close(accepted);
    var buffer: [8]u8 = undefined;
    try expectEqual(sys.Received{ .bytes = 3 }, receive(&system, accepted, &buffer));
    try expectEqual(sys.Received.end, receive(&system, accepted, &buffer));
    try expectEqual(sys.Sent.broken, system.send(accepted, &.{part("you too")}));
    try expectEqual(0, SignalCounter.count.load(.monotonic));
}

test "a peer that goes without reading what it got resets the stream" {
    var place: Place = try .init();
    defer place.deinit();
    var system: System = .{};
    const source, const target = try system.pair();
    defer system.close(source);
    try expectEqual(sys.Sent{ .bytes = 6 }, system.send(source, &.{part("unread")}));
    system.close(target);
    var buffer: [8]u8 = undefined;
    const received = receive(&system, source, &buffer);
    // Only Linux tells this from an end that came in good order.
    if (is_linux) {
        try expectEqual(sys.Received.reset, received);
        try expectFailure(&system, .recv, .CONNRESET);
    } else {
        try expectEqual(sys.Received.end, received);
    }
}

test "who stops sending can still receive" {
    var place: Place = try .init();
    defer place.deinit();
    var system: System = .{};
    const near, const far = try system.pair();
    defer system.close(near);
    defer system.close(far);
    system.shutdownWrite(near);
    var buffer: [8]u8 = undefined;
    try expectEqual(sys.Received.end, receive(&system, far, &buffer));
    try expectEqual(sys.Sent{ .bytes = 2 }, system.send(far, &.{part("ok")}));
    try expectEqual(sys.Received{ .bytes = 2 }, receive(&system, near, &buffer));
    try expectEqual(sys.Sent.broken, system.send(near, &.{part("no")}));
    system.shutdownWrite(near);
}

test "a descriptor that is no socket is a failure with its errno" {
    var place: Place = try .init();
    defer place.deinit();
    var system: System = .{};
    var buffer: [8]u8 = undefined;
    try expectEqual(sys.Received.failed, receive(&system, place.dir, &buffer));
    try expectFailure(&system, .recv, .NOTSOCK);
    try expectEqual(sys.Sent.failed, system.send(place.dir, &.{part("x")}));
    try expectFailure(&system, .send, .NOTSOCK);
    try expectError(error.Unexpected, system.listen(place.dir, 1));
    try expectFailure(&system, .listen, .NOTSOCK);
}

// Names

test "a path as long as a socket can have works, and one byte more is refused" {
    var place: Place = try .init();
    defer place.deinit();
    var system: System = .{};
    var long: [sys.socket_path_bytes_max + 1]u8 = @splat('x');
    const directory = place.path("");
    @memcpy(long[0..directory.len], directory);

    const listener = try system.socket();
    defer system.close(listener);
    try expectError(error.PathTooLong, system.bind(listener, &long));
    try expectFailure(&system, .bind, .NAMETOOLONG);
    try expectError(error.PathTooLong, system.connect(listener, &long));
    try expectFailure(&system, .connect, .NAMETOOLONG);

    const longest = long[0..sys.socket_path_bytes_max];
    try system.bind(listener, longest);
    try system.listen(listener, 8);
    const client = try system.socket();
    defer system.close(client);
    try system.connect(client, longest);
    try expectEqual(.socket, (try system.statPath(longest)).kind);
}

test "a path that is empty or holds a zero byte never reaches the system" {
    var place: Place = try .init();
    defer place.deinit();
    var system: System = .{};
    const fd = try system.socket();
    defer system.close(fd);
    try expectError(error.NotFound, system.bind(fd, ""));
    try expectError(error.NotFound, system.connect(fd, ""));
    try expectError(error.Unexpected, system.bind(fd, place.path("a\x00b")));
    try expectFailure(&system, .bind, .INVAL);
    try expectError(error.NotFound, system.statAt(place.dir, "a"));
    try expectError(error.NotFound, system.unlinkAt(place.dir, ""));
    try expectError(error.Unexpected, system.openLock(place.dir, "a\x00b"));
    const longer_than_any: [1 << 13]u8 = @splat('x');
    try expectError(error.PathTooLong, system.statPath(&longer_than_any));
    try expectError(error.PathTooLong, system.openDirectory(&longer_than_any));
}

test "a name is bound once, in a directory that is there" {
    var place: Place = try .init();
    defer place.deinit();
    var system: System = .{};
    const first = try place.listen(&system, "service");
    defer system.close(first);
    const second = try system.socket();
    defer system.close(second);
    try expectError(error.InUse, system.bind(second, place.path("service")));
    try expectFailure(&system, .bind, .ADDRINUSE);
    try expectError(error.NotFound, system.bind(second, place.path("missing/service")));
    try expectError(error.NotFound, system.bind(second, place.path("service/service")));
}

test "each way a connection is refused has its own name" {
    var place: Place = try .init();
    defer place.deinit();
    var system: System = .{};
    const client = try system.socket();
    defer system.close(client);

    try expectError(error.NotFound, system.connect(client, place.path("missing")));
    try expectFailure(&system, .connect, .NOENT);

    system.close(try place.listen(&system, "dead"));
    try expectError(error.Refused, system.connect(client, place.path("dead")));
    try expectFailure(&system, .connect, .CONNREFUSED);

    system.close(try system.openLock(place.dir, "file"));
    if (system.connect(client, place.path("file"))) {
        return error.TestUnexpectedResult;
    } else |err| try expect(err == error.Refused or err == error.NotService);

    const datagram = c.socket(c.AF.UNIX, c.SOCK.DGRAM, 0);
    defer system.close(datagram);
    try system.bind(datagram, place.path("datagram"));
    try expectError(error.NotService, system.connect(client, place.path("datagram")));
    try expectFailure(&system, .connect, .PROTOTYPE);
}

test "a service that does not keep up is busy, or refuses where the system knows no better" {
    var place: Place = try .init();
    defer place.deinit();
    var system: System = .{};
    const listener = try system.socket();
    defer system.close(listener);
    try system.bind(listener, place.path("service"));
    try system.listen(listener, 1);
    var clients: [16]Fd = undefined;
    var opened: usize = 0;
    defer for (clients[0..opened]) |fd| system.close(fd);
    const refused = while (opened < clients.len) {
        clients[opened] = try system.socket();
        opened += 1;
        system.connect(clients[opened - 1], place.path("service")) catch |err| break err;
    } else return error.TestUnexpectedResult;
    try expectEqual(if (is_linux) error.Busy else error.Refused, refused);
}

test "who may not write into a directory cannot bind in it, and is told so" {
    if (c.geteuid() == 0) return error.SkipZigTest;
    var place: Place = try .init();
    defer place.deinit();
    var system: System = .{};
    try system.makeDirectory(place.path("closed"), 0o500);
    const fd = try system.socket();
    defer system.close(fd);
    try expectError(error.Permission, system.bind(fd, place.path("closed/service")));
}

// Accepting

test "accepting when nobody waits is no connection and no error" {
    var place: Place = try .init();
    defer place.deinit();
    var system: System = .{};
    const listener = try place.listen(&system, "service");
    defer system.close(listener);
    try expectEqual(null, try system.accept(listener));
    const client = try system.socket();
    defer system.close(client);
    try system.connect(client, place.path("service"));
    system.close((try system.accept(listener)).?);
    try expectEqual(null, try system.accept(listener));
}

test "accepting on what does not listen is a failure with its errno" {
    var place: Place = try .init();
    defer place.deinit();
    var system: System = .{};
    const fd = try system.socket();
    defer system.close(fd);
    try expectError(error.Unexpected, system.accept(fd));
    try expectFailure(&system, .accept, .INVAL);
}

test "at the limit of descriptors each call says so, and goes on when there is room again" {
    var place: Place = try .init();
    defer place.deinit();
    var system: System = .{};
    const listener = try place.listen(&system, "service");
    defer system.close(listener);
    const client = try system.socket();
    defer system.close(client);
    try system.connect(client, place.path("service"));
    {
        const limit: DescriptorLimit = try .lower();
        defer limit.restore();
        try expectError(error.DescriptorLimit, system.accept(listener));
        try expectFailure(&system, .accept, .MFILE);
        try expectError(error.DescriptorLimit, system.socket());
        try expectError(error.DescriptorLimit, system.pair());
        try expectError(error.DescriptorLimit, system.wakeCreate());
        try expectError(error.DescriptorLimit, system.openLock(place.dir, "lock"));
        try expectError(error.DescriptorLimit, system.openDirectory(place.path("")));
    }
    // The client waited, and was not lost.
    system.close((try system.accept(listener)).?);
}

test "the kernel says who the peer is" {
    var place: Place = try .init();
    defer place.deinit();
    var system: System = .{};
    const listener = try place.listen(&system, "service");
    defer system.close(listener);
    const client = try system.socket();
    defer system.close(client);
    try expectError(error.NotConnected, system.credentials(client));
    try system.connect(client, place.path("service"));
    const accepted = (try system.accept(listener)).?;
    defer system.close(accepted);
    for ([_]Fd{ client, accepted }) |fd| {
        const peer = try system.credentials(fd);
        try expectEqual(c.geteuid(), peer.uid);
        try expectEqual(c.getegid(), peer.gid);
        try expectEqual(c.getpid(), peer.pid);
    }
}

test "the credentials outlast the peer" {
    var place: Place = try .init();
    defer place.deinit();
    if (!is_linux) return error.SkipZigTest;
    var system: System = .{};
    const near, const far = try system.pair();
    defer system.close(near);
    system.close(far);
    try expectEqual(c.getpid(), (try system.credentials(near)).pid);
}

test "a descriptor stands for the peer's process and becomes readable when that ends" {
    if (!is_linux) return error.SkipZigTest;
    var place: Place = try .init();
    defer place.deinit();
    var system: System = .{};
    const listener = try place.listen(&system, "service");
    defer system.close(listener);
    const child = try Child.run(struct {
        fn run(at: *Place) !void {
            var own: System = .{};
            const fd = try own.socket();
            try own.connect(fd, at.path("service"));
            // Lives until the parent hangs up.
            var readable = [1]sys.PollFd{.{ .fd = fd, .events = sys.POLL.IN, .revents = 0 }};
            _ = try own.poll(&readable, null);
        }
    }.run, &place);
    var waiting = [1]sys.PollFd{.{ .fd = listener, .events = sys.POLL.IN, .revents = 0 }};
    while (try system.poll(&waiting, null) == 0) {}
    const accepted = (try system.accept(listener)).?;
    const peer = try system.credentials(accepted);
    try expectEqual(child.pid, peer.pid);
    const process = system.processDescriptor(accepted, peer.pid).?;
    defer system.close(process);
    try expect(c.fcntl(process, c.F.GETFD) & @as(c_int, c.FD_CLOEXEC) != 0);

    var ended = [1]sys.PollFd{.{ .fd = process, .events = sys.POLL.IN, .revents = 0 }};
    try expectEqual(0, try system.poll(&ended, 0));
    system.close(accepted);
    while (try system.poll(&ended, null) == 0) {}
    try child.expectSuccess();
}

// The wake-up

test "any number of rings make one wake-up, and clearing takes them all" {
    var place: Place = try .init();
    defer place.deinit();
    var system: System = .{};
    const wake = try system.wakeCreate();
    defer wake.close();
    try expect(!try isReadable(&system, wake.descriptor()));
    for (0..1000) |_| wake.ring();
    try expect(try isReadable(&system, wake.descriptor()));
    wake.clear();
    try expect(!try isReadable(&system, wake.descriptor()));
    wake.clear();
    wake.ring();
    try expect(try isReadable(&system, wake.descriptor()));
    wake.clear();
    try expect(!try isReadable(&system, wake.descriptor()));
}

test "a ring from another thread ends a wait" {
    var place: Place = try .init();
    defer place.deinit();
    var system: System = .{};
    const wake = try system.wakeCreate();
    defer wake.close();
    const thread = try std.Thread.spawn(.{}, sys.Wake.ring, .{wake});
    var fds = [1]sys.PollFd{.{ .fd = wake.descriptor(), .events = sys.POLL.IN, .revents = 0 }};
    while (try system.poll(&fds, null) == 0) {}
    thread.join();
    wake.clear();
}

test "a wake-up that is full rings without waiting" {
    if (!is_linux) return error.SkipZigTest;
    var place: Place = try .init();
    defer place.deinit();
    var system: System = .{};
    const wake = try system.wakeCreate();
    defer wake.close();
    // eventfd(2): the greatest value the counter can hold.
    const full: u64 = std.math.maxInt(u64) - 1;
    try expectEqual(8, c.write(wake.descriptor(), std.mem.asBytes(&full), 8));
    wake.ring();
    try expect(try isReadable(&system, wake.descriptor()));
    wake.clear();
    try expect(!try isReadable(&system, wake.descriptor()));
}

test "a wait is never shorter than what was asked for" {
    var place: Place = try .init();
    defer place.deinit();
    var system: System = .{};
    for ([_]u64{ 1, 999, 1_000_000, 1_000_001, 2_500_000 }) |timeout_ns| {
        const begin = system.monotonic();
        try expectEqual(0, try system.poll(&.{}, timeout_ns));
        try expect(system.monotonic() - begin >= timeout_ns);
    }
}

// Files

test "a lock is held once, and free again when its file is closed" {
    var place: Place = try .init();
    defer place.deinit();
    var system: System = .{};
    const first = try system.openLock(place.dir, "lock");
    try expect(try system.lockTake(first));
    const second = try system.openLock(place.dir, "lock");
    defer system.close(second);
    try expect(!try system.lockTake(second));
    system.close(first);
    try expect(try system.lockTake(second));
}

test "asking for a lock does not take it" {
    var place: Place = try .init();
    defer place.deinit();
    var system: System = .{};
    const owner = try system.openLock(place.dir, "lock");
    defer system.close(owner);
    const visitor = try system.openRead(place.dir, "lock");
    defer system.close(visitor);
    try expect(!try system.lockHeld(visitor));
    try expect(!try system.lockHeld(visitor));
    try expect(try system.lockTake(owner));
    try expect(try system.lockHeld(visitor));
    try expect(try system.lockHeld(visitor));
}

test "a lock excludes other processes, and dies with its owner" {
    var place: Place = try .init();
    defer place.deinit();
    var system: System = .{};
    const own = try system.openLock(place.dir, "lock");
    defer system.close(own);
    try expect(try system.lockTake(own));
    const child = try Child.run(struct {
        fn run(at: *Place) !void {
            var other: System = .{};
            const visitor = try other.openLock(at.dir, "lock");
            try expect(try other.lockHeld(visitor));
            try expect(!try other.lockTake(visitor));
            const second = try other.openLock(at.dir, "second");
            try expect(try other.lockTake(second));
        }
    }.run, &place);
    try child.expectSuccess();
    const second = try system.openRead(place.dir, "second");
    defer system.close(second);
    try expect(!try system.lockHeld(second));
}

test "only a plain file is opened as a lock, and nothing else is touched" {
    var place: Place = try .init();
    defer place.deinit();
    var system: System = .{};
    try system.makeDirectory(place.path("directory"), 0o700);
    try expectEqual(0, c.symlinkat("elsewhere", place.dir, "link"));
    try expectEqual(0, mkfifo(place.path("pipe"), 0o600));
    const listener = try place.listen(&system, "socket");
    defer system.close(listener);
    for ([_][]const u8{ "directory", "link", "pipe", "socket" }) |name| {
        try expectError(error.NotFile, system.openLock(place.dir, name));
        try expectError(error.NotFile, system.openRead(place.dir, name));
        try expect(system.failure.errno != 0);
    }
    try expectError(error.NotFound, system.statAt(place.dir, "elsewhere"));
    try expectError(error.NotFound, system.openRead(place.dir, "missing"));
    try expectError(error.NotFound, system.openLock(place.dir, "missing/lock"));
}

test "a directory is opened as itself, and never through a link" {
    var place: Place = try .init();
    defer place.deinit();
    var system: System = .{};
    try system.makeDirectory(place.path("directory"), 0o700);
    try expectError(error.Exists, system.makeDirectory(place.path("directory/"), 0o700));
    try expectError(error.NotFound, system.makeDirectory(place.path("missing/directory"), 0o700));
    const dir = try system.openDirectory(place.path("directory"));
    defer system.close(dir);
    try expect((try system.statFd(dir)).same(try system.statAt(place.dir, "directory")));

    try expectEqual(0, c.symlinkat("directory", place.dir, "link"));
    try expectError(error.NotDirectory, system.openDirectory(place.path("link")));
    try expectError(error.NotDirectory, system.openDirectory(place.path("link//")));
    try expectEqual(.link, (try system.statPath(place.path("link/"))).kind);
    system.close(try system.openLock(place.dir, "file"));
    try expectError(error.NotDirectory, system.openDirectory(place.path("file")));
    try expectError(error.NotFound, system.openDirectory(place.path("missing")));
}

test "what a name stands for: kind, owner, permissions, identity" {
    var place: Place = try .init();
    defer place.deinit();
    var system: System = .{};
    try system.makeDirectory(place.path("directory"), 0o700);
    const file = try system.openLock(place.dir, "file");
    defer system.close(file);
    const listener = try place.listen(&system, "socket");
    defer system.close(listener);
    try system.setMode(place.dir, "socket", 0o600);
    try system.setMode(place.dir, "directory", 0o1770);

    const socket = try system.statAt(place.dir, "socket");
    try expectEqual(.socket, socket.kind);
    try expectEqual(0o600, socket.mode);
    try expectEqual(c.geteuid(), socket.uid);
    const directory = try system.statPath(place.path("directory"));
    try expectEqual(.directory, directory.kind);
    try expectEqual(0o1770, directory.mode);
    const by_name = try system.statAt(place.dir, "file");
    try expectEqual(.file, by_name.kind);
    // Who can open a lock can hold it, so nobody else may.
    try expectEqual(0, by_name.mode & 0o077);
    try expect(by_name.same(try system.statFd(file)));
    try expect(!by_name.same(socket));
    try expectEqual(.device, (try system.statPath("/dev/null")).kind);
    try expectError(error.NotFound, system.statPath(place.path("missing")));
    try expectError(error.NotFound, system.setMode(place.dir, "missing", 0o600));
}

test "only files are unlinked" {
    var place: Place = try .init();
    defer place.deinit();
    var system: System = .{};
    system.close(try place.listen(&system, "socket"));
    try system.unlinkAt(place.dir, "socket");
    try expectError(error.NotFound, system.unlinkAt(place.dir, "socket"));
    try system.makeDirectory(place.path("directory"), 0o700);
    if (system.unlinkAt(place.dir, "directory")) {
        return error.TestUnexpectedResult;
    } else |err| try expect(err == error.NotFile or err == error.Permission);
    try expectEqual(.directory, (try system.statAt(place.dir, "directory")).kind);
}

test "a text replaces a longer one, and is read as far as there is room" {
    var place: Place = try .init();
    defer place.deinit();
    var system: System = .{};
    const file = try system.openLock(place.dir, "lock");
    defer system.close(file);
    var buffer: [16]u8 = undefined;
    try testing.expectEqualStrings("", try system.readAll(file, &buffer));
    try system.writeAll(file, "1234567\n");
    try testing.expectEqualStrings("1234567\n", try system.readAll(file, &buffer));
    try system.writeAll(file, "42\n");
    try testing.expectEqualStrings("42\n", try system.readAll(file, &buffer));
    try testing.expectEqualStrings("4", try system.readAll(file, buffer[0..1]));
    const reader = try system.openRead(place.dir, "lock");
    defer system.close(reader);
    try testing.expectEqualStrings("42\n", try system.readAll(reader, &buffer));
}

test "an open descriptor is told from one that is not" {
    var place: Place = try .init();
    defer place.deinit();
    var system: System = .{};
    const wake = try system.wakeCreate();
    try expect(system.isOpen(wake.descriptor()));
    wake.close();
    try expect(!system.isOpen(wake.descriptor()));
    try expectFailure(&system, .fcntl, .BADF);
    try expect(!system.isOpen(-1));
}

// Helpers

extern "c" fn mkfifo(path: [*:0]const u8, mode: c.mode_t) c_int;
extern "c" fn fork() c_int;

fn part(bytes: []const u8) std.posix.iovec_const {
    return .{ .base = bytes.ptr, .len = bytes.len };
}

fn expectFailure(system: *const System, syscall: sys.Syscall, errno: E) !void {
    const expected: sys.Failure = .{ .errno = @intFromEnum(errno), .syscall = syscall };
    try expectEqual(expected, system.failure);
}

fn isReadable(system: *System, fd: Fd) !bool {
    var fds = [1]sys.PollFd{.{ .fd = fd, .events = sys.POLL.IN, .revents = 0 }};
    return try system.poll(&fds, 0) == 1;
}

/// A directory for one test, and the descriptors that were open before it.
const Place = struct {
    tmp: testing.TmpDir,
    dir: Fd,
    descriptors_before: usize,
    buffer: [256]u8 = undefined,

    fn init() !Place {
        const before = descriptorsOpen();
        var place: Place = .{
            .tmp = testing.tmpDir(.{}),
            .dir = undefined,
            .descriptors_before = before,
        };
        errdefer place.tmp.cleanup();
        var system: System = .{};
        place.dir = try system.openDirectory(place.path(""));
        return place;
    }

    fn deinit(place: *Place) void {
        var system: System = .{};
        system.close(place.dir);
        place.tmp.cleanup();
        const after = descriptorsOpen();
        if (after == place.descriptors_before) return;
        std.debug.panic("{d} descriptors open before, {d} after", .{
            place.descriptors_before,
            after,
        });
    }

    /// Good until the next call.
    fn path(place: *Place, name: []const u8) [:0]const u8 {
        const directory = ".zig-cache/tmp/" ++ place.tmp.sub_path;
        return std.fmt.bufPrintZ(&place.buffer, "{s}/{s}", .{ directory, name }) catch unreachable;
    }

    fn listen(place: *Place, system: *System, name: []const u8) !Fd {
        const fd = try system.socket();
        errdefer system.close(fd);
        try system.bind(fd, place.path(name));
        try system.listen(fd, 64);
        return fd;
    }
};

/// Far more than any of these tests opens.
const descriptors_max = 1024;

/// Looks at each number, which opens nothing and works on every system.
fn descriptorsOpen() usize {
    var count: usize = 0;
    for (0..descriptors_max) |fd| {
        if (c.fcntl(@intCast(fd), c.F.GETFD) >= 0) count += 1;
    }
    return count;
}

/// No further descriptor can be opened until it is restored.
pub const DescriptorLimit = struct {
    before: c.rlimit,

    pub fn lower() !DescriptorLimit {
        var limit: DescriptorLimit = .{ .before = undefined };
        try expectEqual(0, c.getrlimit(.NOFILE, &limit.before));
        const lowest = c.dup(0);
        try expect(lowest >= 0);
        _ = c.close(lowest);
        // Descriptors above the limit stay open; only new ones must be below it.
        const lowered: c.rlimit = .{ .cur = @intCast(lowest), .max = limit.before.max };
        try expectEqual(0, c.setrlimit(.NOFILE, &lowered));
        return limit;
    }

    pub fn restore(limit: DescriptorLimit) void {
        std.debug.assert(c.setrlimit(.NOFILE, &limit.before) == 0);
    }
};

/// Counts a signal while it is there; the test runner would have it ignored.
const SignalCounter = struct {
    signal: c.SIG,
    before: c.Sigaction,

    var count: std.atomic.Value(u32) = .init(0);

    fn begin(signal: c.SIG) SignalCounter {
        count.store(0, .monotonic);
        var counter: SignalCounter = .{ .signal = signal, .before = undefined };
        std.posix.sigaction(signal, &.{
            .handler = .{ .handler = handle },
            .mask = std.posix.sigemptyset(),
            .flags = 0,
        }, &counter.before);
        return counter;
    }

    fn handle(_: c.SIG) callconv(.c) void {
        _ = count.fetchAdd(1, .monotonic);
    }

    fn end(counter: SignalCounter) void {
        std.posix.sigaction(counter.signal, &counter.before, null);
    }
};

/// A forked process that runs one function.
const Child = struct {
    pid: i32,

    fn run(comptime function: fn (*Place) anyerror!void, place: *Place) !Child {
        const pid = fork();
        if (pid != 0) return .{ .pid = pid };
        function(place) catch c._exit(1);
        c._exit(0);
    }

    fn expectSuccess(child: Child) !void {
        try expect(child.pid > 0);
        var status: c_int = undefined;
        try expectEqual(child.pid, c.waitpid(child.pid, &status, 0));
        try expectEqual(0, status);
    }
};

/// A read that wants no descriptors.
fn receive(system: *System, fd: Fd, buffer: []u8) sys.Received {
    var none: sys.rights.Arrivals = .{};
    return system.receive(fd, buffer, &none);
}
