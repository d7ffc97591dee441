//! Timers and external descriptors, and what wakes a context that sleeps.

const std = @import("std");
const sys = @import("sys");
const batches = @import("../batch.zig");
const frame = @import("../frame.zig");
const inbound = @import("../inbound.zig");
const Kind = @import("../poller/poller.zig").Kind;
const rigs = @import("rig.zig");
const Rig = rigs.Rig;
const testing = std.testing;
const expect = testing.expect;
const expectEqual = testing.expectEqual;
const expectError = testing.expectError;

const ms = std.time.ns_per_ms;

pub fn Suite(comptime kind: Kind) type {
    return struct {
        test "a timer fires once, never early, in the order of time" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            const begin_ns = rig.system.monotonic();
            // Far enough apart that no pause between these lines turns them round.
            const later = try rig.context.addTimer(200 * ms, 0);
            const sooner = try rig.context.addTimer(2 * ms, 0);
            const at_once = try rig.context.addTimer(0, 0);
            var due_ns = [_]u64{ 0, 2 * ms, 200 * ms };
            for (&due_ns, 1..) |due, count| {
                try rig.until(.timer, count);
                try expect(rig.system.monotonic() - begin_ns >= due);
            }
            for ([_]@TypeOf(later){ at_once, sooner, later }, rig.seen.items) |expected, seen| {
                try expectEqual(expected, seen.event.source);
                try expectEqual(1, seen.event.data);
            }
            try expectError(error.Closed, rig.context.close(later, .now));
            try expectEqual(0, rig.context.table.used);
        }

        test "a periodic timer counts what was missed in one event" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            const begin_ns = rig.system.monotonic();
            const timer = try rig.context.addTimer(ms, ms);
            try rig.sleep(10 * ms);
            _ = try rig.wait(0);
            try expectEqual(1, rig.countOf(.timer));
            try expect((try rig.find(.timer, timer)).data >= 10);
            try rig.until(.timer, 5);
            var periods: u64 = 0;
            for (rig.seen.items) |seen| periods += seen.event.data;
            try expect(periods <= (rig.system.monotonic() - begin_ns) / ms);
            try rig.context.close(timer, .now);
            rig.forget();
            try rig.sleep(2 * ms);
            _ = try rig.wait(0);
            try expectEqual(0, rig.seen.items.len);
        }

        test "a timer, an end and a drain are told of while others send without pause" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            // So many that a batch is full, though each has a bounded part of it.
            var peers: [batches.events_max / inbound.messages_wanted_max + 8]Rig.Peer = undefined;
            for (&peers) |*peer| peer.* = try rig.pair(.{});
            const empty: [64 * 1024]u8 = @splat(0);
            const pressed = try rig.pair(.{ .queue_bytes_high = 1 });
            _ = try rig.fill(pressed);
            const gone = try rig.pair(.{});
            const timer = try rig.context.addTimer(0, 1);
            var full: u32 = 0;
            var ended = false;
            var drained = false;
            for (0..60) |round| {
                for (peers) |peer| {
                    while (rig.sendSome(peer.fd, &empty) > 0) {}
                }
                if (round == 10) rig.drop(gone.fd);
                if (round == 10) try rig.drinkAll(pressed.fd);
                const count = try rig.context.wait(0, 0, 0, Rig.code);
                full += @intFromBool(!rig.context.batch.hasRoom(0));
                var fired = false;
                for (rig.context.batch.events[0..count]) |event| {
                    if (event.type == .timer) fired = event.source == timer;
                    if (event.type == .disconnection) ended = event.source == gone.handle;
                    if (event.type == .drain) drained = event.source == pressed.handle;
                }
                try expect(fired);
            }
            try expect(full > 40);
            try expect(ended and drained);
        }

        test "a timer can be taken back" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            const timer = try rig.context.addTimer(0, 0);
            try rig.context.close(timer, .now);
            try expectEqual(0, try rig.wait(ms));
        }

        test "a thousand timers" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            var prng: std.Random.DefaultPrng = .init(testing.random_seed);
            for (0..1000) |_| _ = try rig.context.addTimer(prng.random().uintLessThan(u64, 3 * ms), 0);
            try rig.until(.timer, 1000);
            try rig.untilQuiet();
            try expectEqual(1000, rig.countOf(.timer));
        }

        test "times beyond all reason are never" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            _ = try rig.context.addTimer(std.math.maxInt(u64), std.math.maxInt(u64));
            _ = try rig.context.addTimer(0, std.math.maxInt(u64));
            try rig.until(.timer, 1);
            try expectEqual(0, try rig.wait(ms));
        }

        test "a wait takes as long as it was asked to" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            for ([_]i64{ 0, 1, 1000, 3 * ms + 1 }) |timeout_ns| {
                const begin_ns = rig.system.monotonic();
                try expectEqual(0, try rig.wait(timeout_ns));
                try expect(rig.system.monotonic() - begin_ns >= timeout_ns);
                // Looking before sleeping makes no difference to that.
                const looking_ns = rig.system.monotonic();
                try expectEqual(0, try rig.context.wait(timeout_ns, 100_000, 0, Rig.code));
                try expect(rig.system.monotonic() - looking_ns >= timeout_ns);
            }
        }

        test "an external descriptor is reported while it is readable" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            const fds = try rig.system.pair();
            defer for (fds) |fd| rig.system.close(fd);
            const external = try rig.context.addExternal(fds[0]);
            try expectEqual(0, try rig.wait(0));
            try expectEqual(1, rig.sendSome(fds[1], "x"));
            for (1..4) |count| try rig.until(.external, count);
            try expectEqual(fds[0], (try rig.find(.external, external)).detail);
            var byte: [1]u8 = undefined;
            try expectEqual(sys.Received{ .bytes = 1 }, rig.system.read(fds[0], &byte));
            try expectEqual(0, try rig.wait(0));
            // Its end is something to report too.
            rig.system.shutdownWrite(fds[1]);
            try rig.until(.external, 4);
            try rig.context.close(external, .now);
            rig.forget();
            try expectEqual(0, try rig.wait(0));
            try expectError(error.Closed, rig.context.close(external, .now));
        }

        test "a pipe is reported when something is in it, and when nobody can write to it any more" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            var fds: [2]sys.Fd = undefined;
            try expectEqual(0, std.c.pipe(&fds));
            defer rig.system.close(fds[0]);
            const external = try rig.context.addExternal(fds[0]);
            try expectEqual(0, try rig.wait(0));
            try expectEqual(1, std.c.write(fds[1], "x", 1));
            try rig.until(.external, 1);
            var byte: [1]u8 = undefined;
            try expectEqual(1, std.c.read(fds[0], &byte, 1));
            try expectEqual(0, try rig.wait(0));
            rig.system.close(fds[1]);
            try rig.until(.external, 2);
            try rig.context.close(external, .now);
        }

        test "a plain file is always ready" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            rig.scratch.file("text", "to be read");
            const fd = std.c.open(rig.scratch.path("text"), .{ .ACCMODE = .RDONLY, .CLOEXEC = true });
            try expect(fd >= 0);
            defer rig.system.close(fd);
            const external = try rig.context.addExternal(fd);
            for (1..4) |count| try rig.until(.external, count);
            // It keeps nobody from being heard.
            const peer = try rig.pair(.{});
            try rig.feedMessage(peer.fd, "hello");
            try rig.until(.message_rx, 1);
            try rig.context.close(external, .now);
            try rig.untilQuiet();
        }

        test "a descriptor that is closed before its handle costs no time, and leaves its number to others" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            const fds = try rig.system.pair();
            const kept = try rig.system.duplicate(fds[0]);
            defer rig.system.close(kept);
            const external = try rig.context.addExternal(fds[0]);
            rig.system.close(fds[0]);
            // Its number goes to the next one.
            const peer = try rig.pair(.{});
            rig.system.close(fds[1]);
            try rig.until(.external, 1);
            try rig.context.close(external, .now);
            try rig.untilQuiet();
            const begin_ns = rig.system.monotonic();
            try expectEqual(0, try rig.wait(5 * ms));
            try expect(rig.system.monotonic() - begin_ns >= 5 * ms);
            try rig.feed(peer.fd, &frame.encodeHeader(2) ++ "hi");
            try rig.until(.message_rx, 1);
        }

        test "what is not open cannot be watched" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            const fds = try rig.system.pair();
            for (fds) |fd| rig.system.close(fd);
            try expectError(error.Unexpected, rig.context.addExternal(fds[0]));
            try expectEqual(0, rig.context.table.used);
        }

        test "another thread wakes a context that waits for ever" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            const thread = try std.Thread.spawn(.{}, ring, .{&rig.context});
            try expectEqual(0, try rig.wait(-1));
            thread.join();
            // A ring that came before the wait is not lost, and any number of them is one.
            try rig.untilQuiet();
            for (0..3) |_| rig.context.ring();
            try expectEqual(0, try rig.wait(-1));
            const begin_ns = rig.system.monotonic();
            try expectEqual(0, try rig.wait(ms));
            try expect(rig.system.monotonic() - begin_ns >= ms);
        }

        fn ring(context: anytype) void {
            var system: sys.System = .{};
            _ = system.poll(&.{}, ms) catch unreachable;
            context.ring();
        }

        test "every call from another thread is refused, and changes nothing" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            const peer = try rig.pair(.{});
            var failure: ?anyerror = null;
            const thread = try std.Thread.spawn(.{}, trespass, .{ &rig, peer, &failure });
            thread.join();
            if (failure) |found| return found;
            _ = try rig.context.write(peer.handle, "unharmed");
            try rig.expectDrinks(peer.fd, "unharmed");
        }

        fn trespass(rig: *Rig, peer: Rig.Peer, failure: *?anyerror) void {
            tryEverything(rig, peer) catch |found| {
                failure.* = found;
            };
        }

        fn tryEverything(rig: *Rig, peer: Rig.Peer) !void {
            const context = &rig.context;
            const wrong = error.WrongThread;
            try expectError(wrong, context.check());
            try expectError(wrong, context.wait(0, 0, 0, Rig.code));
            try expectError(wrong, context.flush(0, Rig.code));
            try expectError(wrong, context.schedule(peer.handle, "x", 0));
            try expectError(wrong, context.write(peer.handle, "x"));
            try expectError(wrong, context.pause(peer.handle, true));
            try expectError(wrong, context.close(peer.handle, .now));
            try expectError(wrong, context.closeAll(.now));
            try expectError(wrong, context.peer(peer.handle));
            try expectError(wrong, context.peerProcess(peer.handle));
            try expectError(wrong, context.statisticsOf(.none));
            try expectError(wrong, context.addTimer(0, 0));
            try expectError(wrong, context.addExternal(0));
            try expectError(wrong, context.addConnection(peer.fd, .{}));
            const nobody: [*]u8 = @ptrFromInt(1);
            try expectError(wrong, context.take(nobody));
            try expectError(wrong, context.deinit());
            try expectError(wrong, rig.serve("pong", .{}, .{}));
        }
    };
}
