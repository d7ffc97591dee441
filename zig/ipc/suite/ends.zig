//! How conversations end: well, badly, by either side, and what the others notice of it (nothing).

const std = @import("std");
const frame = @import("../frame.zig");
const Kind = @import("../poller/poller.zig").Kind;
const Limits = @import("../connection.zig").Limits;
const Reason = @import("../event.zig").Reason;
const rigs = @import("rig.zig");
const Rig = rigs.Rig;
const testing = std.testing;
const expect = testing.expect;
const expectEqual = testing.expectEqual;
const expectError = testing.expectError;

const impatient: Limits = .{ .stall_ns = 5 * std.time.ns_per_ms, .drain_ns = 5 * std.time.ns_per_ms };

pub fn Suite(comptime kind: Kind) type {
    return struct {
        test "what is no message of ours ends its connection, with a counted reason, and no other" {
            const inputs = [_]struct { bytes: []const u8, reason: Reason }{
                .{ .bytes = "\x01\x00\x00\x01", .reason = .message_too_long },
                .{ .bytes = "\xff\xff\xff\xff", .reason = .message_too_long },
                .{ .bytes = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", .reason = .message_too_long },
                .{ .bytes = "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", .reason = .message_too_long },
                .{ .bytes = "\x00\x00\x00\x01a\xff\xff\xff\xff", .reason = .message_too_long },
            };
            for (inputs) |input| {
                var rig: Rig = undefined;
                try rig.begin(kind);
                defer rig.end();
                const service = try rig.serve("pong", .{}, .{});
                const good = try rig.connect("pong");
                const bad = try rig.connect("pong");
                try rig.until(.connection, 2);
                try rig.feed(bad, input.bytes);
                try rig.until(.disconnection, 1);
                try rig.expectEnd(try rig.accepted(1), input.reason);
                try rig.expectOver(bad);
                try rig.feedMessage(good, "still here");
                try rig.until(.message_rx, rig.countOf(.message_rx) + 1);
                const figures = try rig.context.statisticsOf(service);
                try expectEqual(1, figures.reasons[@intFromEnum(input.reason)]);
                try expectEqual(1, figures.connections_open);
            }
        }

        test "random bytes never harm anybody else" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            const good = try rig.pair(.{});
            for (0..50) |salt| {
                const bad = try rig.pair(.{});
                var noise: [300]u8 = undefined;
                _ = rig.sendSome(bad.fd, rigs.pattern(&noise, salt));
                rig.drop(bad.fd);
                try rig.feedMessage(good.fd, "still here");
            }
            try rig.until(.disconnection, 50);
            try rig.until(.message_rx, 50);
            try expectEqual(0, rig.context.statistics.connections_open - 1);
        }

        test "a peer that goes in the middle of a message" {
            for ([_][]const u8{ "\x00", "\x00\x00\x00", "\x00\x00\x00\x05", "\x00\x00\x00\x05hell" }) |bytes| {
                var rig: Rig = undefined;
                try rig.begin(kind);
                defer rig.end();
                const peer = try rig.pair(.{});
                try rig.feed(peer.fd, bytes);
                rig.drop(peer.fd);
                try rig.until(.disconnection, 1);
                try rig.expectEnd(peer.handle, .truncated);
            }
        }

        test "a peer that goes in the middle of a message too large for the inbox" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            const peer = try rig.pair(.{});
            try rig.feed(peer.fd, &frame.encodeHeader(1_000_000));
            const part: [400_000]u8 = @splat('x');
            try rig.feed(peer.fd, &part);
            rig.drop(peer.fd);
            try rig.until(.disconnection, 1);
            try rig.expectEnd(peer.handle, .truncated);
        }

        test "a peer that stalls in the middle of a message is dropped, one that is silent is not" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            const silent = try rig.pair(impatient);
            const stalling = try rig.pair(impatient);
            const patient = try rig.pair(.{ .stall_ns = 0 });
            const began_ns = rig.system.monotonic();
            try rig.feed(stalling.fd, "\x00\x00\x00\x05he");
            try rig.feed(patient.fd, "\x00\x00\x00\x05he");
            try rig.until(.disconnection, 1);
            try expect(rig.system.monotonic() - began_ns >= impatient.stall_ns);
            try rig.expectEnd(stalling.handle, .stalled);
            try rig.feedMessage(silent.fd, "here I am");
            try rig.feed(patient.fd, "llo");
            try rig.until(.message_rx, 2);
            try rig.expectMessages(silent.handle, &.{"here I am"});
            try rig.expectMessages(patient.handle, &.{"hello"});
        }

        test "a peer is not to blame for an owner who was away" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            const peer = try rig.pair(impatient);
            try rig.feed(peer.fd, "\x00\x00\x00\x05he");
            try rig.untilQuiet();
            try expectEqual(2, rig.sendSome(peer.fd, "ll"));
            try rig.sleep(2 * impatient.stall_ns);
            try rig.untilQuiet();
            try expectEqual(1, rig.sendSome(peer.fd, "o"));
            try rig.until(.message_rx, 1);
            try rig.expectMessages(peer.handle, &.{"hello"});
        }

        test "who says that he sends no more is answered before the end" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            const peer = try rig.pair(.{});
            for ([_][]const u8{ "one", "two", "three" }) |text| try rig.feedMessage(peer.fd, text);
            rig.system.shutdownWrite(peer.fd);
            try rig.until(.message_rx, 3);
            for (rig.seen.items) |seen| if (seen.event.type == .message_rx) {
                _ = try rig.context.schedule(peer.handle, seen.bytes, 0);
            };
            for ([_][]const u8{ "one", "two", "three" }) |text| try rig.expectDrinks(peer.fd, text);
            try rig.expectOver(peer.fd);
            try rig.until(.disconnection, 1);
            try rig.expectEnd(peer.handle, .peer_closed);
            try expectEqual(0, (try rig.find(.disconnection, peer.handle)).length);
        }

        test "long answers to who sends no more are delivered as well" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            const peer = try rig.pair(.{});
            const answer = try testing.allocator.alloc(u8, 3_000_000);
            defer testing.allocator.free(answer);
            _ = rigs.pattern(answer, 5);
            try rig.feedMessage(peer.fd, "more");
            rig.system.shutdownWrite(peer.fd);
            try rig.until(.message_rx, 1);
            _ = try rig.context.write(peer.handle, answer);
            try rig.expectDrinks(peer.fd, answer);
            try rig.expectOver(peer.fd);
            try rig.until(.disconnection, 1);
            try rig.expectEnd(peer.handle, .peer_closed);
        }

        test "a peer that is gone: what it did not take is lost, what it had sent is not" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            const peer = try rig.pair(.{});
            _ = try rig.fill(peer);
            _ = try rig.context.schedule(peer.handle, "never read", 0);
            try expectEqual(7, rig.sendSome(peer.fd, "\x00\x00\x00\x03bye"));
            rig.drop(peer.fd);
            try rig.until(.disconnection, 1);
            try rig.expectMessages(peer.handle, &.{"bye"});
            try rig.expectEnd(peer.handle, .peer_reset);
            try expect((try rig.find(.disconnection, peer.handle)).length >= 2);
        }

        test "closing sends what was taken; closing at once does not" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            const drained = try rig.pair(.{});
            const dropped = try rig.pair(.{});
            const messages = try rig.fill(drained);
            _ = try rig.fill(dropped);
            try rig.context.close(drained.handle, .drain);
            try expectError(error.Closed, rig.context.schedule(drained.handle, "too late", 0));
            try expectError(error.Closed, rig.context.close(drained.handle, .drain));
            try rig.context.close(dropped.handle, .now);
            try expectError(error.Closed, rig.context.close(dropped.handle, .now));
            const payload: [10_000]u8 = @splat('f');
            for (0..messages) |_| try rig.expectDrinks(drained.fd, &payload);
            try rig.expectOver(drained.fd);
            try rig.until(.disconnection, 2);
            try rig.expectEnd(drained.handle, .closed);
            try rig.expectEnd(dropped.handle, .closed);
            try expectEqual(0, (try rig.find(.disconnection, drained.handle)).length);
            try expectEqual(1, (try rig.find(.disconnection, dropped.handle)).length);
        }

        test "closing does not wait for ever, and can be hurried" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            const slow = try rig.pair(impatient);
            const hurried = try rig.pair(.{});
            _ = try rig.fill(slow);
            _ = try rig.fill(hurried);
            const began_ns = rig.system.monotonic();
            try rig.context.close(slow.handle, .drain);
            try rig.context.close(hurried.handle, .drain);
            try rig.context.close(hurried.handle, .now);
            try rig.until(.disconnection, 2);
            try expect(rig.system.monotonic() - began_ns >= impatient.drain_ns);
            try rig.expectEnd(slow.handle, .closed);
            try rig.expectEnd(hurried.handle, .closed);
            try expectEqual(1, (try rig.find(.disconnection, slow.handle)).length);
        }

        test "a stale handle finds nothing, whatever is asked of it" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            const peer = try rig.pair(.{});
            try rig.context.close(peer.handle, .now);
            try rig.until(.disconnection, 1);
            const context = &rig.context;
            try expectError(error.Closed, context.schedule(peer.handle, "x", 1));
            try expectError(error.Closed, context.write(peer.handle, "x"));
            try expectError(error.Closed, context.close(peer.handle, .drain));
            try expectError(error.Closed, context.pause(peer.handle, true));
            try expectError(error.Closed, context.peer(peer.handle));
            try expectError(error.Closed, context.peerProcess(peer.handle));
            try expectError(error.Closed, context.statisticsOf(peer.handle));
            // A handle of another kind is no connection.
            const timer = try context.addTimer(std.time.ns_per_hour, 0);
            try expectError(error.Closed, context.schedule(timer, "x", 1));
            try expectError(error.Closed, context.peer(timer));
            try expectError(error.Closed, context.statisticsOf(timer));
        }

        test "everything can be closed at once" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            _ = try rig.serve("pong", .{}, .{});
            const client = try rig.connect("pong");
            const peer = try rig.pair(.{});
            _ = try rig.context.addTimer(0, 1);
            _ = try rig.context.addExternal(client);
            try rig.until(.connection, 1);
            _ = try rig.context.schedule(peer.handle, "goodbye", 0);
            try rig.context.closeAll(.drain);
            try rig.until(.disconnection, 2);
            try rig.expectDrinks(peer.fd, "goodbye");
            try rig.expectOver(peer.fd);
            try rig.expectOver(client);
            try expectEqual(0, rig.context.table.used);
            try expectError(error.NotFound, rig.connect("pong"));
            rig.forget();
            try rig.untilQuiet();
            try expectEqual(0, rig.seen.items.len);
        }
    };
}
