//! The pollers' behaviour: one body of tests, made once for each poller that can run here.

const std = @import("std");
const builtin = @import("builtin");
const sys = @import("sys");
const poller = @import("poller.zig");
const c = std.c;
const testing = std.testing;

const Allocator = std.mem.Allocator;
const DescriptorLimit = @import("../descriptor_limit.zig").DescriptorLimit;
const Fd = sys.Fd;
const Interest = poller.Interest;
const Poller = poller.Poller;
const Ready = poller.Ready;
const Signals = @import("../signals.zig").Signals;
const System = sys.System;
const expect = testing.expect;
const expectEqual = testing.expectEqual;
const expectError = testing.expectError;

const readable: Interest = .{ .readable = true };
const writable: Interest = .{ .writable = true };
const both: Interest = .{ .readable = true, .writable = true };
const neither: Interest = .{};

test {
    _ = Suite(poller.Poll);
    if (poller.Epoll != noreturn) _ = Suite(poller.Epoll);
    if (poller.Kqueue != noreturn) _ = Suite(poller.Kqueue);
}

test "kqueue, of the system or of what -Dkqueue-library names" {
    // The build says what to do about it; who prints here is taken for one that failed.
    if (!poller.Kind.kqueue.isAvailable()) return error.SkipZigTest;
    try expect(poller.Kqueue != noreturn);
}

test "a poller is chosen by its kind, and one that is not here is refused" {
    var system: System = .{};
    try expect(poller.Kind.default.isAvailable());
    for (std.enums.values(poller.Kind)) |kind| {
        if (!kind.isAvailable()) {
            try expectError(error.NotAvailable, Poller.init(kind, &system, testing.allocator));
            continue;
        }
        const fd, const other = try system.pair();
        defer system.close(fd);
        defer system.close(other);
        var chosen = try Poller.init(kind, &system, testing.allocator);
        defer chosen.deinit();
        try expectEqual(kind, @as(poller.Kind, chosen));
        try chosen.add(fd, 1, readable);
        try chosen.modify(fd, 2, both);
        var ready: [2]Ready = undefined;
        try expectEqual(1, try chosen.wait(&ready, null));
        try expectEqual(2, ready[0].token);
        // There is always one way, and only one, for another thread to wait beside the owner.
        try expect((chosen.waitable() == null) != (chosen.descriptors() == null));
        if (chosen.descriptors()) |fds| try expectEqual(fd, fds[0].fd);
        chosen.remove(fd);
        try expectEqual(0, try chosen.wait(&ready, 0));
    }
}

test "the numbers of the kinds are part of what others rely on" {
    try expectEqual(1, @intFromEnum(poller.Kind.poll));
    try expectEqual(2, @intFromEnum(poller.Kind.epoll));
    try expectEqual(3, @intFromEnum(poller.Kind.kqueue));
}

fn Suite(comptime Backend: type) type {
    return struct {
        test "nothing watched, nothing ready" {
            var kit: Kit(Backend) = undefined;
            try kit.begin();
            defer kit.end();
            try kit.expectReady(&.{});
        }

        test "a descriptor is readable while there is something to read, at every wait" {
            var kit: Kit(Backend) = undefined;
            try kit.begin();
            defer kit.end();
            const near, const far = try kit.pair();
            try kit.poller.add(near, 7, readable);
            try kit.expectReady(&.{});
            kit.write(far, "ab");
            for (0..3) |_| try kit.expectReady(&.{reads(7)});
            kit.read(near, 1);
            try kit.expectReady(&.{reads(7)});
            kit.read(near, 1);
            try kit.expectReady(&.{});
        }

        test "a descriptor is writable until it is full" {
            var kit: Kit(Backend) = undefined;
            try kit.begin();
            defer kit.end();
            const near, const far = try kit.pair();
            try kit.poller.add(near, 7, writable);
            for (0..3) |_| try kit.expectReady(&.{writes(7)});
            kit.fill(near);
            try kit.expectReady(&.{});
            kit.drain(far);
            try kit.expectReady(&.{writes(7)});
        }

        test "reading and writing come as one" {
            var kit: Kit(Backend) = undefined;
            try kit.begin();
            defer kit.end();
            const near, const far = try kit.pair();
            try kit.poller.add(near, 7, both);
            try kit.expectReady(&.{writes(7)});
            kit.write(far, "a");
            try kit.expectReady(&.{.{
                .token = 7,
                .readable = true,
                .writable = true,
                .ended = false,
            }});
            kit.fill(near);
            try kit.expectReady(&.{reads(7)});
        }

        test "interest and token change while others stay" {
            var kit: Kit(Backend) = undefined;
            try kit.begin();
            defer kit.end();
            const first, const first_far = try kit.pair();
            const second, const second_far = try kit.pair();
            try kit.poller.add(first, 1, readable);
            try kit.poller.add(second, 2, readable);
            kit.write(first_far, "a");
            kit.write(second_far, "a");
            try kit.expectReady(&.{ reads(1), reads(2) });
            try kit.poller.modify(first, 10, writable);
            try kit.expectReady(&.{ reads(2), writes(10) });
            try kit.poller.modify(first, 10, neither);
            try kit.expectReady(&.{reads(2)});
            try kit.poller.modify(first, 11, readable);
            try kit.expectReady(&.{ reads(2), reads(11) });
        }

        test "a removed descriptor is silent, can be added again, and takes nobody with it" {
            var kit: Kit(Backend) = undefined;
            try kit.begin();
            defer kit.end();
            var near: [5]Fd = undefined;
            for (&near, 0..) |*fd, index| {
                fd.*, const far = try kit.pair();
                try kit.poller.add(fd.*, index, readable);
                kit.write(far, "a");
            }
            // The first, the last and one between: each leaves another kind of gap.
            kit.poller.remove(near[0]);
            kit.poller.remove(near[4]);
            kit.poller.remove(near[2]);
            try kit.expectReady(&.{ reads(1), reads(3) });
            kit.poller.remove(near[2]);
            try kit.poller.add(near[2], 22, readable);
            try kit.poller.modify(near[1], 11, readable);
            try kit.expectReady(&.{ reads(3), reads(11), reads(22) });
            for (near) |fd| kit.poller.remove(fd);
            try kit.expectReady(&.{});
        }

        test "a descriptor removed between two waits of one batch does not come any more" {
            var kit: Kit(Backend) = undefined;
            try kit.begin();
            defer kit.end();
            var near: [2]Fd = undefined;
            for (&near, 0..) |*fd, index| {
                fd.*, const far = try kit.pair();
                try kit.poller.add(fd.*, index, readable);
                kit.write(far, "a");
            }
            var ready: [1]Ready = undefined;
            try expectEqual(1, try kit.poller.wait(&ready, null));
            const first = ready[0].token;
            kit.poller.remove(near[1 - first]);
            for (0..4) |_| try kit.expectReady(&.{reads(first)});
        }

        test "tokens come back as they were given, all 64 bits" {
            var kit: Kit(Backend) = undefined;
            try kit.begin();
            defer kit.end();
            const tokens = [_]u64{ 0, 1, 0x0123_4567_89ab_cdef, 1 << 63, std.math.maxInt(u64) };
            var near: [tokens.len]Fd = undefined;
            for (&near, tokens) |*fd, token| {
                fd.*, const far = try kit.pair();
                try kit.poller.add(fd.*, token, readable);
                kit.write(far, "a");
            }
            var expected: [tokens.len]Ready = undefined;
            for (&expected, tokens) |*entry, token| entry.* = reads(token);
            try kit.expectReady(&expected);
        }

        test "a peer that closed is readable, and the conversation ended" {
            var kit: Kit(Backend) = undefined;
            try kit.begin();
            defer kit.end();
            const near, const far = try kit.pair();
            try kit.poller.add(near, 7, both);
            kit.write(far, "last words");
            kit.close(far);
            for (0..2) |_| {
                var ready: [2]Ready = undefined;
                try expectEqual(1, try kit.poller.wait(&ready, null));
                try expect(ready[0].readable);
                try expect(ready[0].ended);
            }
        }

        test "who waits to read only learns of the end by reading" {
            var kit: Kit(Backend) = undefined;
            try kit.begin();
            defer kit.end();
            const near, const far = try kit.pair();
            try kit.poller.add(near, 7, readable);
            kit.close(far);
            var ready: [2]Ready = undefined;
            try expectEqual(1, try kit.poller.wait(&ready, null));
            try expect(ready[0].readable);
            var buffer: [1]u8 = undefined;
            try expectEqual(sys.Received.end, kit.system.read(near, &buffer));
        }

        test "who waits for nothing is told of the end alone, at every wait" {
            var kit: Kit(Backend) = undefined;
            try kit.begin();
            defer kit.end();
            const near, const far = try kit.pair();
            try kit.poller.add(near, 7, neither);
            kit.write(far, "unread");
            try kit.expectReady(&.{});
            kit.close(far);
            for (0..3) |_| try kit.expectReady(&.{ends(7)});
        }

        test "who waits for nothing is not told of room, nor of a peer that only stopped sending" {
            var kit: Kit(Backend) = undefined;
            try kit.begin();
            defer kit.end();
            const near, const far = try kit.pair();
            try kit.poller.add(near, 7, neither);
            try kit.expectReady(&.{});
            kit.fill(near);
            kit.drain(far);
            try kit.expectReady(&.{});
            kit.system.shutdownWrite(far);
            for (0..2) |_| try kit.expectReady(&.{});
            // Nor is anybody kept awake by it.
            if (kit.poller.waitable() != null) try kit.expectWaitable(false);
            kit.close(far);
            for (0..2) |_| try kit.expectReady(&.{ends(7)});
        }

        test "what nobody asks for leaves its place to others" {
            var kit: Kit(Backend) = undefined;
            try kit.begin();
            defer kit.end();
            for (0..3) |token| try kit.poller.add((try kit.pair())[0], token, neither);
            const near, const far = try kit.pair();
            try kit.poller.add(near, 3, readable);
            kit.write(far, "a");
            var ready: [1]Ready = undefined;
            // Zero does not mean that nothing is ready, but it does not come for long.
            for (0..4) |_| {
                if (try kit.poller.wait(&ready, null) == 1) break;
            } else return error.NeverTold;
            try expectEqual(reads(3), ready[0]);
        }

        test "an end that was told to who waited for nothing is there for any interest after it" {
            var kit: Kit(Backend) = undefined;
            try kit.begin();
            defer kit.end();
            const near, const far = try kit.pair();
            try kit.poller.add(near, 7, readable);
            try kit.poller.modify(near, 7, neither);
            try kit.expectReady(&.{});
            kit.write(far, "last words");
            kit.close(far);
            for ([_]Interest{ neither, writable, neither, readable, both, neither }) |interest| {
                try kit.poller.modify(near, 8, interest);
                for (0..2) |_| {
                    var ready: [2]Ready = undefined;
                    try expectEqual(1, try kit.poller.wait(&ready, 0));
                    try expectEqual(8, ready[0].token);
                    try expectEqual(interest.readable, ready[0].readable);
                    if (!interest.readable) try expect(ready[0].ended);
                    if (interest.isEmpty()) try expectEqual(ends(8), ready[0]);
                }
            }
            kit.poller.remove(near);
            try kit.expectReady(&.{});
        }

        test "a peer that only stopped sending has not ended the conversation" {
            var kit: Kit(Backend) = undefined;
            try kit.begin();
            defer kit.end();
            const near, const far = try kit.pair();
            try kit.poller.add(near, 7, both);
            kit.system.shutdownWrite(far);
            for (0..2) |_| try kit.expectReady(&.{.{
                .token = 7,
                .readable = true,
                .writable = true,
                .ended = false,
            }});
            var buffer: [1]u8 = undefined;
            try expectEqual(sys.Received.end, kit.system.read(near, &buffer));
            // It still listens, and we still can say something.
            kit.write(near, "answer");
            kit.read(far, 6);
        }

        test "an error ends the conversation: a pipe nobody reads" {
            var kit: Kit(Backend) = undefined;
            try kit.begin();
            defer kit.end();
            const target, const source = try kit.pipe();
            try kit.poller.add(source, 7, writable);
            try kit.expectReady(&.{writes(7)});
            kit.close(target);
            var ready: [2]Ready = undefined;
            try expectEqual(1, try kit.poller.wait(&ready, null));
            try expectEqual(7, ready[0].token);
            try expect(ready[0].ended);
        }

        test "a pipe that nobody reads any more is taken, and is not silent" {
            var kit: Kit(Backend) = undefined;
            try kit.begin();
            defer kit.end();
            const target, const source = try kit.pipe();
            kit.close(target);
            try kit.poller.add(source, 7, neither);
            try kit.poller.modify(source, 7, writable);
            for (0..2) |_| {
                var ready: [2]Ready = undefined;
                try expectEqual(1, try kit.poller.wait(&ready, 0));
                try expectEqual(7, ready[0].token);
                try expect(ready[0].writable or ready[0].ended);
            }
        }

        test "a pipe nobody writes to any more is readable or ended, and not silent" {
            var kit: Kit(Backend) = undefined;
            try kit.begin();
            defer kit.end();
            const target, const source = try kit.pipe();
            try kit.poller.add(target, 7, readable);
            try kit.expectReady(&.{});
            kit.close(source);
            var ready: [2]Ready = undefined;
            try expectEqual(1, try kit.poller.wait(&ready, null));
            try expect(ready[0].readable or ready[0].ended);
        }

        test "a listening socket is readable when somebody waits to be accepted" {
            var kit: Kit(Backend) = undefined;
            try kit.begin();
            defer kit.end();
            var tmp = testing.tmpDir(.{});
            defer tmp.cleanup();
            const path = ".zig-cache/tmp/" ++ tmp.sub_path ++ "/service";
            const listener = kit.keep(try kit.system.socket());
            try kit.system.bind(listener, path);
            try kit.system.listen(listener, 8);
            try kit.poller.add(listener, 7, readable);
            try kit.expectReady(&.{});
            const client = kit.keep(try kit.system.socket());
            try kit.system.connect(client, path);
            try kit.expectReady(&.{reads(7)});
            _ = kit.keep((try kit.system.accept(listener)).?);
            try kit.expectReady(&.{});
        }

        test "what cannot be watched is always ready, for what was asked" {
            var kit: Kit(Backend) = undefined;
            try kit.begin();
            defer kit.end();
            const near, const far = try kit.pair();
            try kit.poller.add(near, 1, readable);
            const file = try kit.file();
            const device = kit.keep(c.open("/dev/null", .{ .ACCMODE = .RDWR, .CLOEXEC = true }));
            try kit.poller.add(file, 2, neither);
            try kit.expectReady(&.{});
            try kit.poller.modify(file, 2, readable);
            try kit.poller.add(device, 3, writable);
            for (0..3) |_| try kit.expectReady(&.{ reads(2), writes(3) });
            kit.write(far, "a");
            for (0..3) |_| try kit.expectReady(&.{ reads(1), reads(2), writes(3) });
            try kit.poller.modify(device, 4, both);
            kit.poller.remove(file);
            kit.poller.remove(file);
            try kit.expectReady(&.{ reads(1), .{
                .token = 4,
                .readable = true,
                .writable = true,
                .ended = false,
            } });
            try kit.poller.modify(device, 5, neither);
            try kit.expectReady(&.{reads(1)});
            kit.read(near, 1);
            try kit.expectReady(&.{});
            kit.poller.remove(device);
        }

        test "a file at its end is as ready as any" {
            var kit: Kit(Backend) = undefined;
            try kit.begin();
            defer kit.end();
            const file = try kit.file();
            try kit.poller.add(file, 2, both);
            for (0..2) |_| try kit.expectReady(&.{.{
                .token = 2,
                .readable = true,
                .writable = true,
                .ended = false,
            }});
        }

        test "a short list of results comes round to everybody" {
            var kit: Kit(Backend) = undefined;
            try kit.begin();
            defer kit.end();
            const sockets = 7;
            for (0..sockets) |token| {
                const near, const far = try kit.pair();
                try kit.poller.add(near, token, readable);
                kit.write(far, "a");
            }
            const files = 3;
            for (sockets..sockets + files) |token| {
                try kit.poller.add(try kit.file(), token, readable);
            }
            for ([_]usize{ 1, 2, 3, 5 }) |places| {
                var seen: [sockets + files]u32 = @splat(0);
                var buffer: [5]Ready = undefined;
                // Twice round, however the sockets and the files take turns.
                for (0..4 * seen.len) |_| {
                    const ready = buffer[0..places];
                    const count = try kit.poller.wait(ready, null);
                    try expect(count <= places);
                    for (ready[0..count]) |entry| seen[@intCast(entry.token)] += 1;
                }
                for (seen) |times| try expect(times > 0);
            }
        }

        test "a wait without anything ready lasts at least as long as it was asked to" {
            var kit: Kit(Backend) = undefined;
            try kit.begin();
            defer kit.end();
            const near, _ = try kit.pair();
            try kit.poller.add(near, 1, readable);
            var ready: [1]Ready = undefined;
            for ([_]u64{ 0, 1, 999, 1_000_000, 1_000_001, 2_500_000 }) |timeout_ns| {
                const begin = kit.system.monotonic();
                try expectEqual(0, try kit.poller.wait(&ready, timeout_ns));
                try expect(kit.system.monotonic() - begin >= timeout_ns);
            }
            if (!@hasField(Backend, "precise")) return;
            // As on a kernel that counts milliseconds.
            kit.poller.precise = false;
            for ([_]u64{ 0, 1, 1_000_000, 1_000_001 }) |timeout_ns| {
                const begin = kit.system.monotonic();
                try expectEqual(0, try kit.poller.wait(&ready, timeout_ns));
                try expect(kit.system.monotonic() - begin >= timeout_ns);
            }
        }

        test "a wait longer than any clock counts is still a wait, and ends when something comes" {
            var kit: Kit(Backend) = undefined;
            try kit.begin();
            defer kit.end();
            const near, const far = try kit.pair();
            try kit.poller.add(near, 1, readable);
            kit.write(far, "a");
            var ready: [1]Ready = undefined;
            for ([_]u64{ 1 << 62, std.math.maxInt(i64), std.math.maxInt(u64) }) |timeout_ns| {
                try expectEqual(1, try kit.poller.wait(&ready, timeout_ns));
            }
        }

        test "what another thread writes ends a wait" {
            var kit: Kit(Backend) = undefined;
            try kit.begin();
            defer kit.end();
            const near, const far = try kit.pair();
            try kit.poller.add(near, 1, readable);
            const thread = try std.Thread.spawn(.{}, writeFrom, .{far});
            defer thread.join();
            var ready: [1]Ready = undefined;
            while (try kit.poller.wait(&ready, null) == 0) {}
            try expectEqual(reads(1), ready[0]);
        }

        test "a signal ends a wait with nothing, and the next one works" {
            var kit: Kit(Backend) = undefined;
            try kit.begin();
            defer kit.end();
            const near, const far = try kit.pair();
            try kit.poller.add(near, 1, readable);
            var signals: Signals = undefined;
            try signals.begin();
            {
                defer signals.end();
                var ready: [1]Ready = undefined;
                for (0..10) |_| try expectEqual(0, try kit.poller.wait(&ready, null));
                // A wait that knows milliseconds only, and one that knows better.
                for (0..10) |_| {
                    try expectEqual(0, try kit.poller.wait(&ready, 1000 * std.time.ns_per_s));
                    try expectEqual(0, try kit.poller.wait(&ready, 1000 * std.time.ns_per_s + 1));
                }
            }
            kit.write(far, "a");
            try kit.expectReady(&.{reads(1)});
        }

        test "the waitable is readable exactly when something is ready" {
            var kit: Kit(Backend) = undefined;
            try kit.begin();
            defer kit.end();
            if (kit.poller.waitable() == null) return;
            const near, const far = try kit.pair();
            try kit.expectWaitable(false);
            try kit.poller.add(near, 1, readable);
            try kit.expectWaitable(false);
            kit.write(far, "a");
            try kit.expectWaitable(true);
            try kit.expectReady(&.{reads(1)});
            try kit.expectWaitable(true);
            kit.read(near, 1);
            try kit.expectWaitable(false);
            try kit.poller.modify(near, 1, writable);
            try kit.expectWaitable(true);
            kit.poller.remove(near);
            try kit.expectWaitable(false);

            const file = try kit.file();
            try kit.poller.add(file, 2, readable);
            for (0..2) |_| {
                try kit.expectWaitable(true);
                try kit.expectReady(&.{reads(2)});
            }
            try kit.poller.modify(file, 2, neither);
            try kit.expectWaitable(false);
            try kit.poller.modify(file, 2, writable);
            try kit.expectWaitable(true);
            kit.poller.remove(file);
            try kit.expectWaitable(false);
        }

        test "a descriptor that is not open, or is there already, is refused and changes nothing" {
            var kit: Kit(Backend) = undefined;
            try kit.begin();
            defer kit.end();
            const near, const far = try kit.pair();
            try kit.poller.add(near, 1, readable);
            kit.write(far, "a");
            const closed = (try kit.pair())[0];
            kit.close(closed);
            for ([_]Interest{ readable, neither }) |interest| {
                try expectError(error.Unexpected, kit.poller.add(closed, 2, interest));
                try expectEqual(@intFromEnum(c.E.BADF), kit.system.failure.errno);
            }
            // The number is free, and the file below may get it.
            kit.poller.remove(closed);
            try expectError(error.Unexpected, kit.poller.add(near, 3, both));
            try expectEqual(@intFromEnum(c.E.EXIST), kit.system.failure.errno);
            const file = try kit.file();
            try kit.poller.add(file, 4, readable);
            try expectError(error.Unexpected, kit.poller.add(file, 5, both));
            try expectEqual(@intFromEnum(c.E.EXIST), kit.system.failure.errno);
            try expectError(error.Unexpected, kit.poller.modify(far, 6, readable));
            try expectEqual(@intFromEnum(c.E.NOENT), kit.system.failure.errno);
            kit.poller.remove(far);
            try kit.expectReady(&.{ reads(1), reads(4) });
        }

        test "a descriptor that is closed while it is watched does not keep the wait awake" {
            if (isForeign(Backend)) return;
            var kit: Kit(Backend) = undefined;
            try kit.begin();
            defer kit.end();
            const near, const far = try kit.pair();
            const gone = (try kit.pair())[0];
            var one: [1]Ready = undefined;
            try kit.poller.add(gone, 1, readable);
            try kit.poller.add(near, 2, readable);
            kit.close(gone);
            // Poll alone can tell that it is gone, and does so once.
            if (poller.Poll == Backend) try kit.expectReady(&.{
                .{ .token = 1, .readable = false, .writable = false, .ended = true },
            });
            for (0..2) |_| try kit.expectReady(&.{});
            kit.write(far, "a");
            try kit.expectReady(&.{reads(2)});

            // Its number is free for another. Removing one that is gone moves the last as ever.
            try expectEqual(gone, c.dup2(far, gone));
            _ = kit.keep(gone);
            try kit.poller.add(gone, 3, readable);
            try kit.expectReady(&.{reads(2)});
            kit.close(gone);
            kit.read(near, 1);
            if (poller.Poll == Backend) try expectEqual(1, try kit.poller.wait(&one, 0));
            kit.poller.remove(near);
            kit.poller.remove(gone);
            try kit.poller.add(near, 4, readable);
            kit.write(far, "b");
            try kit.expectReady(&.{reads(4)});
        }

        test "the number of a plain file that was closed while it was watched is free for a socket" {
            if (isForeign(Backend)) return;
            var kit: Kit(Backend) = undefined;
            try kit.begin();
            defer kit.end();
            const near, const far = try kit.pair();
            const file = try kit.file();
            try kit.poller.add(file, 1, readable);
            try kit.expectReady(&.{reads(1)});
            kit.close(file);
            try expectEqual(file, c.dup2(near, file));
            _ = kit.keep(file);
            // Poll alone cannot tell the one from the other: to it, nothing was closed.
            if (Backend == poller.Poll) kit.poller.remove(file);
            try kit.poller.add(file, 2, readable);
            try kit.expectReady(&.{});
            kit.write(far, "a");
            try kit.expectReady(&.{reads(2)});
            kit.poller.remove(file);
            try kit.expectReady(&.{});
        }

        test "a thousand descriptors, a few of them ready" {
            var kit: Kit(Backend) = undefined;
            try kit.begin();
            defer kit.end();
            const count = 1000;
            try raiseDescriptorLimit(count + 64);
            var fds: [count]Fd = undefined;
            for (0..count / 2) |pair| {
                fds[2 * pair], fds[2 * pair + 1] = try kit.pair();
                try kit.poller.add(fds[2 * pair], 2 * pair, readable);
                try kit.poller.add(fds[2 * pair + 1], 2 * pair + 1, readable);
            }
            try kit.expectReady(&.{});
            for ([_]usize{ 0, 501, 998 }) |token| kit.write(fds[token ^ 1], "a");
            try kit.expectReady(&.{ reads(0), reads(501), reads(998) });
            for ([_]usize{ 0, 501, 998 }) |token| kit.read(fds[token], 1);

            // All at once, more than one call brings.
            for (fds) |fd| kit.write(fd, "a");
            var seen: [count]bool = @splat(false);
            var left: usize = count;
            while (left > 0) {
                var ready: [count]Ready = undefined;
                const found = try kit.poller.wait(&ready, null);
                try expect(found > 0);
                for (ready[0..found]) |entry| {
                    const token: usize = @intCast(entry.token);
                    try expect(!seen[token]);
                    seen[token] = true;
                    kit.read(fds[token], 1);
                    left -= 1;
                }
            }
            try kit.expectReady(&.{});
            for (fds, 0..) |fd, token| if (token % 2 == 0) kit.poller.remove(fd);
            for (fds) |fd| kit.write(fd, "a");
            while (left < count / 2) {
                var ready: [64]Ready = undefined;
                const found = try kit.poller.wait(&ready, null);
                for (ready[0..found]) |entry| {
                    try expect(entry.token % 2 == 1);
                    kit.read(fds[@intCast(entry.token)], 1);
                    left += 1;
                }
            }
        }

        test "memory that runs out refuses a descriptor and harms no other" {
            try testing.checkAllAllocationFailures(testing.allocator, addSome, .{});
        }

        fn addSome(allocator: Allocator) !void {
            var kit: Kit(Backend) = undefined;
            try kit.beginWith(allocator);
            defer kit.end();
            const near, const far = try kit.pair();
            const file = try kit.file();
            kit.write(far, "a");
            const near_added = kit.poller.add(near, 1, readable);
            const file_added = kit.poller.add(file, 2, writable);
            var expected: [2]Ready = undefined;
            var count: usize = 0;
            if (near_added) {
                expected[count] = reads(1);
                count += 1;
            } else |_| {}
            if (file_added) {
                expected[count] = writes(2);
                count += 1;
            } else |_| {}
            try kit.expectReady(expected[0..count]);
            try near_added;
            try file_added;
        }

        test "at the limit of descriptors there is no new poller, and no file is added" {
            if (poller.Poll == Backend) return;
            var kit: Kit(Backend) = undefined;
            try kit.begin();
            defer kit.end();
            const file = try kit.file();
            const limit: DescriptorLimit = try .lower();
            defer limit.restore();
            const opened = Backend.init(&kit.system, testing.allocator);
            try expectError(error.DescriptorLimit, opened);
            kit.poller.add(file, 1, readable) catch |err| {
                try expectEqual(error.WatchLimit, err);
                return kit.expectReady(&.{});
            };
            try kit.expectReady(&.{reads(1)});
        }
    };
}

// Helpers

/// See `sys.kqueue.foreign`.
fn isForeign(comptime Backend: type) bool {
    return Backend == poller.Kqueue and sys.kqueue.foreign;
}

fn reads(token: u64) Ready {
    return .{ .token = token, .readable = true, .writable = false, .ended = false };
}

fn writes(token: u64) Ready {
    return .{ .token = token, .readable = false, .writable = true, .ended = false };
}

fn ends(token: u64) Ready {
    return .{ .token = token, .readable = false, .writable = false, .ended = true };
}

fn writeFrom(fd: Fd) void {
    var system: System = .{};
    std.debug.assert(system.send(fd, &.{.{ .base = "a", .len = 1 }}).bytes == 1);
}

/// A poller, and descriptors that are closed at the end. Then none may be open that was not before.
fn Kit(comptime Backend: type) type {
    return struct {
        const Self = @This();

        system: System,
        poller: Backend,
        fds: std.ArrayList(Fd),
        descriptors_before: usize,

        fn begin(kit: *Self) !void {
            return kit.beginWith(testing.allocator);
        }

        fn beginWith(kit: *Self, allocator: Allocator) !void {
            kit.system = .{};
            kit.fds = .empty;
            kit.descriptors_before = descriptorsOpen();
            kit.poller = try Backend.init(&kit.system, allocator);
        }

        fn end(kit: *Self) void {
            kit.poller.deinit();
            for (kit.fds.items) |fd| kit.system.close(fd);
            kit.fds.deinit(testing.allocator);
            if (sys.kqueue.foreign) return;
            std.debug.assert(descriptorsOpen() == kit.descriptors_before);
        }

        fn keep(kit: *Self, fd: Fd) Fd {
            std.debug.assert(fd >= 0);
            kit.fds.append(testing.allocator, fd) catch @panic("out of memory");
            return fd;
        }

        fn close(kit: *Self, fd: Fd) void {
            const index = std.mem.findScalar(Fd, kit.fds.items, fd).?;
            kit.system.close(kit.fds.swapRemove(index));
        }

        fn pair(kit: *Self) ![2]Fd {
            const fds = try kit.system.pair();
            return .{ kit.keep(fds[0]), kit.keep(fds[1]) };
        }

        fn pipe(kit: *Self) ![2]Fd {
            var fds: [2]Fd = undefined;
            try expectEqual(0, c.pipe(&fds));
            return .{ kit.keep(fds[0]), kit.keep(fds[1]) };
        }

        /// A plain file, empty, and without a name by now.
        fn file(kit: *Self) !Fd {
            var tmp = testing.tmpDir(.{});
            defer tmp.cleanup();
            const dir = try kit.system.openDirectory(".zig-cache/tmp/" ++ tmp.sub_path);
            defer kit.system.close(dir);
            return kit.keep(try kit.system.openLock(dir, "file"));
        }

        fn write(kit: *Self, fd: Fd, bytes: []const u8) void {
            const sent = kit.system.send(fd, &.{.{ .base = bytes.ptr, .len = bytes.len }});
            std.debug.assert(sent.bytes == bytes.len);
        }

        fn read(kit: *Self, fd: Fd, comptime count: usize) void {
            var buffer: [count]u8 = undefined;
            std.debug.assert(kit.system.read(fd, &buffer).bytes == count);
        }

        fn fill(kit: *Self, fd: Fd) void {
            const bytes: [4096]u8 = @splat(0);
            while (true) switch (kit.system.send(fd, &.{.{ .base = &bytes, .len = bytes.len }})) {
                .bytes => {},
                .would_block => return,
                .broken, .failed => unreachable,
            };
        }

        fn drain(kit: *Self, fd: Fd) void {
            var bytes: [4096]u8 = undefined;
            while (true) switch (kit.system.read(fd, &bytes)) {
                .bytes => {},
                .would_block => return,
                .end, .reset, .failed => unreachable,
            };
        }

        /// Looks without waiting; the order does not matter.
        fn expectReady(kit: *Self, expected: []const Ready) !void {
            var buffer: [16]Ready = undefined;
            const ready = buffer[0..try kit.poller.wait(&buffer, 0)];
            std.mem.sort(Ready, ready, {}, lessThan);
            try testing.expectEqualSlices(Ready, expected, ready);
        }

        fn lessThan(_: void, a: Ready, b: Ready) bool {
            return a.token < b.token;
        }

        fn expectWaitable(kit: *Self, expected: bool) !void {
            var fds = [1]sys.PollFd{.{
                .fd = kit.poller.waitable().?,
                .events = sys.POLL.IN,
                .revents = 0,
            }};
            try expectEqual(@intFromBool(expected), try kit.system.poll(&fds, 0));
        }
    };
}

/// Looks at each number, which opens nothing and works on every system. A descriptor that is left
/// behind has a low one: the tests close theirs, one after the other.
fn descriptorsOpen() usize {
    var system: System = .{};
    var count: usize = 0;
    for (0..256) |fd| count += @intFromBool(system.isOpen(@intCast(fd)));
    return count;
}

fn raiseDescriptorLimit(wanted: usize) !void {
    var limit: c.rlimit = undefined;
    try expectEqual(0, c.getrlimit(.NOFILE, &limit));
    if (limit.cur >= wanted) return;
    if (limit.max < wanted) return error.SkipZigTest;
    limit.cur = @intCast(wanted);
    try expectEqual(0, c.setrlimit(.NOFILE, &limit));
}
