//! What is queued for peers that read slowly or not at all: pressure, drains, limits, reports, and what is lost.

const std = @import("std");
const batches = @import("../batch.zig");
const contexts = @import("../context.zig");
const frame = @import("../frame.zig");
const Kind = @import("../poller/poller.zig").Kind;
const Limits = @import("../connection.zig").Limits;
const rigs = @import("rig.zig");
const Rig = rigs.Rig;
const testing = std.testing;
const expect = testing.expect;
const expectEqual = testing.expectEqual;
const expectError = testing.expectError;

const small: Limits = .{
    .message_bytes_max = 10_000,
    .queue_bytes_high = 20_000,
    .queue_bytes_max = 100_000,
};

pub fn Suite(comptime kind: Kind) type {
    return struct {
        test "pressure is told to the sender, and a drain follows when the peer reads" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            const peer = try rig.pair(small);
            var messages = try rig.fill(peer);
            const payload: [10_000]u8 = @splat('f');
            var queued: u64 = 0;
            while (queued <= small.queue_bytes_high) : (messages += 1)
                queued = try rig.context.schedule(peer.handle, &payload, 0);
            try rig.untilQuiet();
            try expectEqual(0, rig.countOf(.drain));
            for (0..messages) |_| try rig.expectDrinks(peer.fd, &payload);
            try rig.until(.drain, 1);
            try expect((try rig.find(.drain, peer.handle)).data <= small.queue_bytes_high / 2);
            try rig.untilQuiet();
            try expectEqual(1, rig.countOf(.drain));
        }

        test "a peer that never reads is dropped at the limit, and what it lost is counted" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            const peer = try rig.pair(small);
            const other = try rig.pair(small);
            const payload: [10_000]u8 = @splat('n');
            var sent: u32 = 0;
            const failure = while (true) : (sent += 1) {
                _ = rig.context.schedule(peer.handle, &payload, 0) catch |failure| break failure;
            };
            try expectEqual(error.Ended, failure);
            // The one over which it ended is among them.
            sent += 1;
            const with_kernel = try rig.context.statisticsOf(peer.handle);
            try rig.until(.disconnection, 1);
            try rig.expectEnd(peer.handle, .queue_limit);
            const event = try rig.find(.disconnection, peer.handle);
            try expectEqual(sent - with_kernel.messages_sent, event.length);
            try expectEqual(sent * @as(u64, payload.len + 4) - with_kernel.bytes_sent, event.data);
            const figures = try rig.context.statisticsOf(.none);
            try expectEqual(event.length, figures.messages_lost);
            try expectEqual(0, figures.queued_bytes);
            _ = try rig.context.write(other.handle, "unharmed");
            try rig.expectDrinks(other.fd, "unharmed");
        }

        test "or, by choice, the sender is refused, and may go on after a drain" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            var limits = small;
            limits.queue_policy = .refuse;
            const peer = try rig.pair(limits);
            const payload: [10_000]u8 = @splat('r');
            var sent: usize = 0;
            const failure = while (true) : (sent += 1) {
                _ = rig.context.schedule(peer.handle, &payload, 0) catch |failure| break failure;
            };
            try expectEqual(error.QueueFull, failure);
            try expectError(error.QueueFull, rig.context.write(peer.handle, &payload));
            for (0..sent) |_| try rig.expectDrinks(peer.fd, &payload);
            try rig.until(.drain, 1);
            _ = try rig.context.write(peer.handle, "again");
            try rig.expectDrinks(peer.fd, "again");
            try expectEqual(0, rig.countOf(.disconnection));
        }

        test "a message over the limit is refused and harms nothing" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            const peer = try rig.pair(small);
            const payload: [10_001]u8 = @splat('t');
            try expectError(error.MessageTooLong, rig.context.schedule(peer.handle, &payload, 0));
            try expectError(error.MessageTooLong, rig.context.write(peer.handle, &payload));
            _ = try rig.context.write(peer.handle, payload[0..10_000]);
            try rig.expectDrinks(peer.fd, payload[0..10_000]);
        }

        test "a report comes when the kernel has the message, in order, and only if asked for" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            const peer = try rig.pair(.{});
            const before = try rig.fill(peer);
            const payload: [10_000]u8 = @splat('f');
            _ = try rig.context.schedule(peer.handle, "one", 1);
            _ = try rig.context.schedule(peer.handle, "silent", 0);
            _ = try rig.context.schedule(peer.handle, "two", -2);
            try rig.untilQuiet();
            try expectEqual(0, rig.countOf(.message_tx));
            for (0..before) |_| try rig.expectDrinks(peer.fd, &payload);
            for ([_][]const u8{ "one", "silent", "two" }) |text| try rig.expectDrinks(peer.fd, text);
            try rig.until(.message_tx, 2);
            try rig.untilQuiet();
            var tokens: [2]u64 = undefined;
            var count: usize = 0;
            for (rig.seen.items) |seen| {
                if (seen.event.type != .message_tx) continue;
                try expectEqual(peer.handle, seen.event.source);
                try expectEqual(3, seen.event.length);
                tokens[count] = seen.event.data;
                count += 1;
            }
            try testing.expectEqualSlices(u64, &.{ 1, @as(u32, @bitCast(@as(i32, -2))) }, tokens[0..count]);
        }

        test "what was sent is reported even if the connection has ended since" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            const peer = try rig.pair(.{});
            _ = try rig.context.schedule(peer.handle, "last words", 3);
            try rig.context.close(peer.handle, .drain);
            try rig.until(.disconnection, 1);
            try expectEqual(3, (try rig.find(.message_tx, peer.handle)).data);
            try rig.expectEnd(peer.handle, .closed);
            try rig.expectDrinks(peer.fd, "last words");
        }

        test "a paused connection is not read, and goes on sending" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            const peer = try rig.pair(.{});
            try rig.context.pause(peer.handle, true);
            try rig.feedMessage(peer.fd, "later");
            const before = try rig.fill(peer);
            const payload: [10_000]u8 = @splat('f');
            for (0..before) |_| try rig.expectDrinks(peer.fd, &payload);
            try rig.untilQuiet();
            try expectEqual(0, rig.countOf(.message_rx));
            try rig.context.pause(peer.handle, false);
            try rig.until(.message_rx, 1);
            try rig.expectMessages(peer.handle, &.{"later"});
        }

        test "whoever stops reading in the middle of a flood still gets rid of what is queued" {
            var rig: Rig = undefined;
            try rig.beginWith(kind, .{ .sizes = .{ .inbox_bytes = batches.Sizes.inbox_bytes_min } }, testing.allocator);
            defer rig.end();
            var peers: [3]Rig.Peer = undefined;
            var queued: [3]usize = undefined;
            const flood: [1 << 20]u8 = @splat(0);
            for (&peers, &queued) |*peer, *messages| {
                peer.* = try rig.pair(.{});
                messages.* = try rig.fill(peer.*);
                _ = rig.sendSome(peer.fd, &flood);
            }
            // All of it does not fit into one batch, so that somebody is in line for the next one when he is paused.
            while (try rig.context.wait(0, 0, 0, Rig.code) == 0) {}
            try expect(rig.context.pending());
            for (peers) |peer| try rig.context.pause(peer.handle, true);
            const payload: [10_000]u8 = @splat('f');
            for (peers, queued) |peer, messages| {
                for (0..messages) |_| try rig.expectDrinks(peer.fd, &payload);
            }
        }

        test "a paused connection whose peer is gone brings what was sent, and ends" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            const peer = try rig.pair(.{});
            try rig.context.pause(peer.handle, true);
            try rig.feed(peer.fd, &frame.encodeHeader(4) ++ "last");
            const begin_ns = rig.system.monotonic();
            try expectEqual(0, try rig.wait(5 * std.time.ns_per_ms));
            try expect(rig.system.monotonic() - begin_ns >= 5 * std.time.ns_per_ms);
            rig.drop(peer.fd);
            try rig.until(.disconnection, 1);
            try expectEqual(1, rig.countOf(.message_rx));
            try rig.expectEnd(peer.handle, .peer_closed);
        }

        test "an idle connection costs next to nothing, whatever it has done before" {
            var memory: std.testing.FailingAllocator = .init(testing.allocator, .{});
            var rig: Rig = undefined;
            try rig.beginWith(kind, .{}, memory.allocator());
            defer rig.end();
            const peer = try rig.pair(.{});
            const payload = try testing.allocator.alloc(u8, 500_000);
            defer testing.allocator.free(payload);
            _ = rigs.pattern(payload, 3);
            // Many reports, a long queue, a message in many pieces, and one too large for the inbox behind it.
            for (1..5000) |token| _ = try rig.context.schedule(peer.handle, "report", @intCast(token));
            _ = try rig.context.schedule(peer.handle, payload, 5000);
            for (1..5000) |_| try rig.expectDrinks(peer.fd, "report");
            try rig.expectDrinks(peer.fd, payload);
            try rig.until(.message_tx, 5000);
            try rig.feed(peer.fd, &frame.encodeHeader(200_000));
            try rig.feed(peer.fd, payload[0..150_000]);
            try rig.untilQuiet();
            const end_and_more = try std.mem.concat(testing.allocator, u8, &.{
                payload[150_000..200_000],
                &frame.encodeHeader(@intCast(payload.len)),
                payload,
            });
            defer testing.allocator.free(end_and_more);
            try rig.feed(peer.fd, end_and_more);
            try rig.until(.message_rx, 2);
            try rig.expectMessages(peer.handle, &.{ payload[0..200_000], payload });
            try rig.untilQuiet();
            const before = memory.allocated_bytes - memory.freed_bytes;
            try rig.context.close(peer.handle, .now);
            try rig.until(.disconnection, 1);
            try expect(before - (memory.allocated_bytes - memory.freed_bytes) <= 4096);
        }

        test "what is known of a peer changes how long its messages may be" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            const peer = try rig.pair(.{ .message_bytes_max = 4 });
            try expectError(error.MessageTooLong, rig.context.write(peer.handle, "hello"));
            try rig.context.limitMessages(peer.handle, 5);
            _ = try rig.context.write(peer.handle, "hello");
            try rig.feedMessage(peer.fd, "world");
            try rig.until(.message_rx, 1);
            try rig.expectMessages(peer.handle, &.{"world"});
            try expectError(error.InvalidArgument, rig.context.limitMessages(peer.handle, std.math.maxInt(u32)));
            try rig.context.limitMessages(peer.handle, 1);
            try rig.feedMessage(peer.fd, "no");
            try rig.until(.disconnection, 1);
            try rig.expectEnd(peer.handle, .message_too_long);
            try expectError(error.Closed, rig.context.limitMessages(peer.handle, 5));
            const tight = try rig.pair(.{ .message_bytes_max = 10, .queue_bytes_high = 1, .queue_bytes_max = 20 });
            try expectError(error.InvalidArgument, rig.context.limitMessages(tight.handle, 17));
            try rig.context.limitMessages(tight.handle, 16);
        }

        test "a message whose length was read goes on when its connection is held to less" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            const peer = try rig.pair(.{});
            const payload: [500_000]u8 = @splat('m');
            try rig.feed(peer.fd, &frame.encodeHeader(payload.len));
            try rig.feed(peer.fd, payload[0..100]);
            try rig.untilQuiet();
            try rig.context.limitMessages(peer.handle, 5);
            try rig.feed(peer.fd, payload[100..]);
            try rig.until(.message_rx, 1);
            try rig.expectMessages(peer.handle, &.{&payload});
        }

        test "limits that contradict each other are refused" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            const bad = [_]Limits{
                .{ .message_bytes_max = 100, .queue_bytes_max = 103, .queue_bytes_high = 10 },
                .{ .queue_bytes_high = 2, .queue_bytes_max = 1, .message_bytes_max = 0 },
                .{ .message_bytes_max = std.math.maxInt(u32) },
                .{ .stall_ns = std.math.maxInt(u64) },
                .{ .queue_policy = @enumFromInt(7) },
            };
            const fds = try rig.system.pair();
            defer for (fds) |fd| rig.system.close(fd);
            for (bad) |limits| try expectError(error.InvalidArgument, rig.context.addConnection(fds[0], limits));
            var context: contexts.ContextType(@import("../ipc.zig").World) = undefined;
            try expectError(error.InvalidArgument, context.init(testing.allocator, .{}, .{ .sizes = .{ .inbox_bytes = 1 } }));
            try expectError(error.InvalidArgument, context.init(testing.allocator, .{}, .{ .sizes = .{ .outbox_bytes = 1 } }));
        }
    };
}
