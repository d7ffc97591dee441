//! Descriptors that go along with messages: each arrives with its own, whoever sends it and however it is cut, nobody has
//! more of them held than may be, and none is left behind.

const std = @import("std");
const builtin = @import("builtin");
const sys = @import("sys");
const frame = @import("../frame.zig");
const ipc = @import("../ipc.zig");
const connections = @import("../connection.zig");
const rigs = @import("rig.zig");
const thing = @import("things.zig");
const DescriptorLimit = @import("../descriptor_limit.zig").DescriptorLimit;
const Descriptors = @import("../descriptors.zig").Descriptors;
const Forked = @import("../forked.zig").Forked;
const Handle = @import("library").handle.Handle;
const Kind = @import("../poller/poller.zig").Kind;
const Limits = connections.Limits;
const Reason = @import("../event.zig").Reason;
const Rig = rigs.Rig;
const Scratch = @import("../scratch.zig").Scratch;
const Signals = @import("../signals.zig").Signals;
const Things = thing.Things;
const c = std.c;
const testing = std.testing;
const expect = testing.expect;
const expectEqual = testing.expectEqual;
const expectError = testing.expectError;
const expectNoneHeld = thing.expectNoneHeld;

const most = sys.rights.descriptors_max;
const many: Limits = .{ .descriptors_max = most };
const few: Limits = .{ .descriptors_max = 2 };
const last_byte = sys.rights.come_with == .last_byte;

pub fn Suite(comptime kind: Kind) type {
    return struct {
        test "a message has its own, before, between and behind others, in the order they were given" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            rig.takes = true;
            var things: Things = .{ .rig = &rig };
            const ends = try rig.both(many, many);
            const fds = try things.files(6);
            _ = try rig.context.write(ends[0], "before");
            _ = try rig.context.sendRights(ends[0], "one", fds[0..1]);
            _ = try rig.context.sendRights(ends[0], "three", fds[1..4]);
            _ = try rig.context.write(ends[0], "between");
            _ = try rig.context.sendRights(ends[0], "", fds[4..6]);
            _ = try rig.context.schedule(ends[0], "behind", 0);
            try rig.until(.message_rx, 6);
            try rig.expectMessages(ends[1], &.{ "before", "one", "three", "between", "", "behind" });
            const expected = [_][]const sys.Fd{ &.{}, fds[0..1], fds[1..4], &.{}, fds[4..6], &.{} };
            for (expected, 0..) |those, index| try things.expectBrought(try things.message(ends[1], index), those);
            try expectNoneHeld(&rig);
        }

        test "one batch holds many messages that each bring some, as far as the most that may be held allows" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            rig.takes = true;
            var things: Things = .{ .rig = &rig };
            const fds = try things.files(2);
            const Case = struct { held_max: u32, batches: []const u32 };
            // Of three that bring two each; while a batch lasts, all that it holds is held.
            const cases = [_]Case{
                .{ .held_max = 6, .batches = &.{3} },
                .{ .held_max = 5, .batches = &.{ 2, 1 } },
                .{ .held_max = 2, .batches = &.{ 1, 1, 1 } },
            };
            for (cases) |case| {
                rig.forget();
                const peer = try rig.pair(.{ .descriptors_max = 2, .descriptors_held_max = case.held_max });
                for (0..3) |_| try things.feed(peer.fd, "\x00\x00\x00\x01a", &fds);
                for (case.batches) |messages| try expectEqual(messages, try rig.wait(0));
                try rig.expectMessages(peer.handle, &.{ "a", "a", "a" });
                for (0..3) |index| try things.expectBrought(try things.message(peer.handle, index), &fds);
                try expectNoneHeld(&rig);
                try rig.context.close(peer.handle, .now);
                try rig.untilQuiet();
            }
        }

        test "descriptors stay with their message when it comes a byte at a time, on whichever byte they ride" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            rig.takes = true;
            var things: Things = .{ .rig = &rig };
            const peer = try rig.pair(many);
            const fds = try things.files(2);
            const wire = "\x00\x00\x00\x05hello\x00\x00\x00\x03you";
            const first_bytes = 9;
            for (0..wire.len) |rides| {
                for ([_]bool{ true, false }) |waits| {
                    rig.forget();
                    for (wire, 0..) |byte, at| {
                        if (at == rides) try things.feed(peer.fd, &.{byte}, &fds) else try rig.feed(peer.fd, &.{byte});
                        if (waits) _ = try rig.wait(0);
                    }
                    try rig.until(.message_rx, 2);
                    try rig.expectMessages(peer.handle, &.{ "hello", "you" });
                    const mine: usize = if (rides < first_bytes) 0 else 1;
                    try things.expectBrought(try things.message(peer.handle, mine), &fds);
                    try things.expectBrought(try things.message(peer.handle, 1 - mine), &.{});
                    try expectNoneHeld(&rig);
                }
            }
        }

        test "several lots for one message are one, in their order" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            rig.takes = true;
            var things: Things = .{ .rig = &rig };
            const peer = try rig.pair(many);
            const fds = try things.files(4);
            for ([_]bool{ true, false }) |waits| {
                rig.forget();
                try things.feed(peer.fd, "\x00\x00", fds[0..1]);
                if (waits) _ = try rig.wait(0);
                try things.feed(peer.fd, "\x00\x05he", fds[1..3]);
                if (waits) _ = try rig.wait(0);
                try things.feed(peer.fd, "llo", fds[3..4]);
                try rig.feed(peer.fd, "\x00\x00\x00\x00");
                try rig.until(.message_rx, 2);
                try things.expectBrought(try things.message(peer.handle, 0), &fds);
                try things.expectBrought(try things.message(peer.handle, 1), &.{});
            }
        }

        test "what comes with a send that ends one message and begins the next is of the byte that the system names" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            rig.takes = true;
            var things: Things = .{ .rig = &rig };
            const peer = try rig.pair(many);
            const fds = try things.files(1);
            try rig.feed(peer.fd, "\x00\x00\x00\x02a");
            try things.feed(peer.fd, "b\x00", &fds);
            try rig.feed(peer.fd, "\x00\x00\x01c");
            try rig.until(.message_rx, 2);
            try rig.expectMessages(peer.handle, &.{ "ab", "c" });
            const mine: usize = if (last_byte) 1 else 0;
            try things.expectBrought(try things.message(peer.handle, mine), &fds);
            try things.expectBrought(try things.message(peer.handle, 1 - mine), &.{});
        }

        test "a message with a buffer of its own has what came with its beginning, its middle and its end" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            rig.takes = true;
            var things: Things = .{ .rig = &rig };
            const peer = try rig.pair(many);
            const fds = try things.files(3);
            const payload = try testing.allocator.alloc(u8, 600_000);
            defer testing.allocator.free(payload);
            _ = rigs.pattern(payload, 3);
            try things.feed(peer.fd, &frame.encodeHeader(600_000), fds[0..1]);
            try rig.feed(peer.fd, payload[0..300_000]);
            try rig.untilQuiet();
            try things.feed(peer.fd, payload[300_000..300_100], fds[1..2]);
            try rig.feed(peer.fd, payload[300_100 .. payload.len - 1]);
            try rig.untilQuiet();
            try things.feed(peer.fd, payload[payload.len - 1 ..], fds[2..3]);
            try rig.until(.message_rx, 1);
            try rig.expectMessages(peer.handle, &.{payload});
            try things.expectBrought(try things.message(peer.handle, 0), &fds);
            try expectNoneHeld(&rig);
        }

        test "more than may come with one message end the connection, and what was whole before is still told" {
            try Scratch.needCutRights();
            for ([_]bool{ true, false }) |in_one_lot| {
                for ([_]usize{ 0, 1, 5, 600_000 }) |bytes| {
                    var rig: Rig = undefined;
                    try rig.begin(kind);
                    defer rig.end();
                    rig.takes = true;
                    var things: Things = .{ .rig = &rig };
                    const peer = try rig.pair(few);
                    const fds = try things.files(3);
                    try rig.feedMessage(peer.fd, "good");
                    const header = frame.encodeHeader(@intCast(bytes));
                    if (in_one_lot) {
                        try things.feed(peer.fd, &header, &fds);
                    } else {
                        try things.feed(peer.fd, header[0..2], fds[0..2]);
                        try things.feed(peer.fd, header[2..], fds[2..3]);
                    }
                    try rig.until(.disconnection, 1);
                    try rig.expectMessages(peer.handle, &.{"good"});
                    try rig.expectEnd(peer.handle, .descriptors_too_many);
                    _ = try rig.wait(0);
                    try expectNoneHeld(&rig);
                    try rig.expectDescriptors(rig.descriptorsElsewhere());
                    const figures = try rig.context.statisticsOf(.none);
                    if (last_byte) try expectEqual(4 + 4 + 4, figures.bytes_received);
                }
            }
        }

        test "a message whose last byte brings too many is not told, and its buffer is given back" {
            for ([_]usize{ 3, 600_000 }) |bytes| {
                var rig: Rig = undefined;
                try rig.begin(kind);
                defer rig.end();
                var things: Things = .{ .rig = &rig };
                const peer = try rig.pair(few);
                const fds = try things.files(2);
                const payload = try testing.allocator.alloc(u8, bytes);
                defer testing.allocator.free(payload);
                _ = rigs.pattern(payload, bytes);
                try things.feed(peer.fd, &frame.encodeHeader(@intCast(bytes)), &fds);
                try rig.feed(peer.fd, payload[0 .. bytes - 1]);
                try rig.untilQuiet();
                try things.feed(peer.fd, payload[bytes - 1 ..], fds[0..1]);
                try rig.until(.disconnection, 1);
                try expectEqual(0, rig.countOf(.message_rx));
                try rig.expectEnd(peer.handle, .descriptors_too_many);
                _ = try rig.wait(0);
                try expectNoneHeld(&rig);
                try rig.expectDescriptors(rig.descriptorsElsewhere());
            }
        }

        test "a whole message with too many is not told, and the one before it in the same read is" {
            try Scratch.needCutRights();
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            var things: Things = .{ .rig = &rig };
            for ([_]Limits{ .{}, few, .{ .descriptors_max = 3, .descriptors_held_max = 2 } }) |limits| {
                rig.forget();
                const peer = try rig.pair(limits);
                const fds = try things.files(3);
                try rig.feed(peer.fd, "\x00\x00\x00\x04good\x00\x00\x00\x00");
                try things.feed(peer.fd, "\x00\x00\x00\x03bad", &fds);
                try rig.feed(peer.fd, "\x00\x00\x00\x04late");
                try rig.until(.disconnection, 1);
                if (last_byte) try rig.expectMessages(peer.handle, &.{ "good", "" });
                const reason: Reason = if (limits.descriptors_max == 0) .descriptors_unasked else .descriptors_too_many;
                try rig.expectEnd(peer.handle, reason);
                try rig.expectOver(peer.fd);
                try expectNoneHeld(&rig);
                try rig.expectDescriptors(rig.descriptorsElsewhere());
            }
        }

        test "a table that is full closes all that came, and says so" {
            for ([_]u32{ 0, 1, 2 }) |left| {
                var rig: Rig = undefined;
                try rig.begin(kind);
                defer rig.end();
                var things: Things = .{ .rig = &rig };
                const peer = try rig.pair(many);
                const fds = try things.files(3);
                try things.feed(peer.fd, "\x00\x00\x00\x03all", &fds);
                {
                    const limit: DescriptorLimit = try .lowerTo(left);
                    defer limit.restore();
                    try rig.until(.disconnection, 1);
                }
                try rig.expectEnd(peer.handle, .descriptor_limit);
                try expectEqual(0, rig.countOf(.message_rx));
                try expectNoneHeld(&rig);
                try rig.expectDescriptors(rig.descriptorsElsewhere());
            }
        }

        test "without a descriptor for the copies that must wait nothing is taken, and the connection goes on" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            rig.takes = true;
            var things: Things = .{ .rig = &rig };
            const ends = try rig.both(many, many);
            const fds = try things.files(3);
            try rig.context.pause(ends[1], true);
            const before = try fill(&rig, ends[0]);
            for ([_]u32{ 0, 2 }) |left| {
                const limit: DescriptorLimit = try .lowerTo(left);
                defer limit.restore();
                try expectError(error.DescriptorLimit, rig.context.sendRights(ends[0], "not taken", &fds));
            }
            try expectNoneHeld(&rig);
            _ = try rig.context.sendRights(ends[0], "taken", &fds);
            try rig.context.pause(ends[1], false);
            try rig.until(.message_rx, before + 1);
            const found = try things.message(ends[1], before);
            try testing.expectEqualStrings("taken", found.bytes);
            try things.expectBrought(found, &fds);
            try expectNoneHeld(&rig);
        }

        test "a socket that takes little at a time mixes up no message with another's descriptors" {
            for ([_]bool{ false, true }) |is_interrupted| {
                var rig: Rig = undefined;
                try rig.begin(kind);
                defer rig.end();
                rig.takes = true;
                var signals: Signals = undefined;
                if (is_interrupted) try signals.begin();
                defer if (is_interrupted) signals.end();
                var things: Things = .{ .rig = &rig };
                const ends = try rig.both(many, many);
                for (ends) |end| {
                    const connection = try rig.context.connectionOf(end);
                    const bytes: c_int = 4096;
                    try expectEqual(0, c.setsockopt(connection.fd, c.SOL.SOCKET, c.SO.SNDBUF, &bytes, @sizeOf(c_int)));
                }
                const fds = try things.files(12);
                const messages = 120;
                var payloads: [messages][]u8 = undefined;
                var lots: [messages][]const sys.Fd = undefined;
                var prng: std.Random.DefaultPrng = .init(5);
                const die = prng.random();
                const arena = rig.arena.allocator();
                var sent: usize = 0;
                while (sent < messages or rig.countOf(.message_rx) < messages) {
                    for (0..die.uintAtMost(usize, 8)) |_| {
                        if (sent == messages) break;
                        const size = die.uintLessThan(usize, if (die.boolean()) 50 else 60_000);
                        payloads[sent] = rigs.pattern(try arena.alloc(u8, size), sent);
                        const begin = die.uintLessThan(usize, fds.len - 4);
                        lots[sent] = if (die.boolean()) &.{} else fds[begin..][0..die.uintAtMost(usize, 4)];
                        if (lots[sent].len == 0 and die.boolean())
                            _ = try rig.context.schedule(ends[0], payloads[sent], 0)
                        else
                            _ = try rig.context.sendRights(ends[0], payloads[sent], lots[sent]);
                        sent += 1;
                    }
                    for (0..die.uintAtMost(usize, 20)) |_| _ = try rig.wait(0);
                }
                for (0..messages) |index| {
                    const found = try things.message(ends[1], index);
                    try testing.expectEqualSlices(u8, payloads[index], found.bytes);
                    try things.expectBrought(found, lots[index]);
                }
                try expectNoneHeld(&rig);
            }
        }

        test "all messages with descriptors that wait go at once when there is room" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            var things: Things = .{ .rig = &rig };
            const peer = try rig.pair(.{ .drain_ns = 0 });
            const fds = try things.files(2);
            _ = try rig.fill(peer);
            for (0..5) |_| _ = try rig.context.sendRights(peer.handle, "with", &fds);
            try expectEqual(10, rig.context.descriptors.held_count);
            try rig.drinkAll(peer.fd);
            // There is no time to drain, so that this one try is all.
            try rig.context.close(peer.handle, .drain);
            try rig.until(.disconnection, 1);
            try expectEqual(0, (try rig.find(.disconnection, peer.handle)).length);
            try expectNoneHeld(&rig);
        }

        test "more than a message takes are refused, and as many as it takes are not" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            rig.takes = true;
            var things: Things = .{ .rig = &rig };
            const ends = try rig.both(many, many);
            const fd = try things.file();
            const fds: [most + 1]sys.Fd = @splat(fd);
            try expectError(error.DescriptorsTooMany, rig.context.sendRights(ends[0], "x", &fds));
            _ = try rig.context.sendRights(ends[0], "x", fds[0..most]);
            try rig.until(.message_rx, 1);
            try things.expectBrought(try things.message(ends[1], 0), fds[0..most]);
            try expectNoneHeld(&rig);
        }

        test "one that is not open among them is refused, at once or behind others, and nothing was taken" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            rig.takes = true;
            var things: Things = .{ .rig = &rig };
            const ends = try rig.both(many, many);
            const fds = try things.files(2);
            const wrong = [_][]const sys.Fd{ &.{ fds[0], -1 }, &.{ 100_000, fds[0] }, &.{std.math.minInt(i32)} };
            for (wrong) |those| try expectError(error.Unpassable, rig.context.sendRights(ends[0], "wrong", those));
            try rig.context.pause(ends[1], true);
            const before = try fill(&rig, ends[0]);
            for (wrong) |those| try expectError(error.Unpassable, rig.context.sendRights(ends[0], "wrong", those));
            try expectNoneHeld(&rig);
            _ = try rig.context.sendRights(ends[0], "right", &fds);
            try rig.context.pause(ends[1], false);
            try rig.until(.message_rx, before + 1);
            const found = try things.message(ends[1], before);
            try testing.expectEqualStrings("right", found.bytes);
            try things.expectBrought(found, &fds);
            try expectNoneHeld(&rig);
        }

        test "what a user's messages brought and nobody took counts until the next wait, for all of the user's" {
            try Scratch.needCutRights();
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            var things: Things = .{ .rig = &rig };
            const limits: Limits = .{ .descriptors_max = 3, .descriptors_held_max = 4 };
            const one = try rig.pair(limits);
            const other = try rig.pair(limits);
            const fds = try things.files(3);
            // One after the other is no more than one.
            for (0..5) |_| {
                try things.feed(one.fd, "\x00\x00\x00\x00", &fds);
                while (try rig.wait(0) == 0) {}
                try expectEqual(3, rig.context.descriptors.held_count);
                try rig.expectDescriptors(rig.descriptorsElsewhere());
            }
            _ = try rig.wait(0);
            try expectNoneHeld(&rig);
            rig.forget();
            // Half a message holds its own as well.
            try things.feed(one.fd, "\x00\x00\x00", &fds);
            for (0..3) |_| _ = try rig.wait(0);
            try things.feed(other.fd, "\x00\x00\x00\x00", fds[0..2]);
            try rig.until(.disconnection, 1);
            try rig.expectEnd(other.handle, .descriptors_too_many);
            try expectEqual(3, rig.context.descriptors.held_count);
            const third = try rig.pair(limits);
            try things.feed(third.fd, "\x00\x00\x00\x00", fds[0..1]);
            try rig.until(.message_rx, 1);
            try rig.feed(one.fd, "\x00");
            try rig.until(.message_rx, 2);
            _ = try rig.wait(0);
            try expectNoneHeld(&rig);
        }

        test "what waits to be sent counts as well, and is refused beyond what may be held" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            var things: Things = .{ .rig = &rig };
            const limits: Limits = .{ .descriptors_max = 3, .descriptors_held_max = 5 };
            const peer = try rig.pair(limits);
            const fds = try things.files(3);
            _ = try rig.fill(peer);
            _ = try rig.context.sendRights(peer.handle, "three", &fds);
            try expectError(error.DescriptorsTooMany, rig.context.sendRights(peer.handle, "three", &fds));
            _ = try rig.context.sendRights(peer.handle, "two", fds[0..2]);
            try expectError(error.DescriptorsTooMany, rig.context.sendRights(peer.handle, "one", fds[0..1]));
            try expectEqual(5, rig.context.descriptors.held_count);
            try rig.expectDescriptors(rig.descriptorsElsewhere());
            // What comes finds no room either.
            try things.feed(peer.fd, "\x00\x00\x00\x00", fds[0..1]);
            try rig.until(.disconnection, 1);
            try rig.expectEnd(peer.handle, .descriptors_too_many);
            // Two with descriptors, and the one behind which they waited.
            try expectEqual(3, (try rig.find(.disconnection, peer.handle)).length);
            try expectNoneHeld(&rig);
        }

        test "whatever ends a connection, nothing is held for it any more" {
            const Way = enum { taken, not_taken, peer_gone, closed, closed_later, drained, broken, stalled, too_long };
            for (std.enums.values(Way)) |way| {
                var rig: Rig = undefined;
                try rig.begin(kind);
                defer rig.end();
                rig.takes = way == .taken;
                var things: Things = .{ .rig = &rig };
                var limits = many;
                limits.drain_ns = std.time.ns_per_ms;
                limits.stall_ns = if (way == .stalled) std.time.ns_per_ms else 0;
                const peer = try rig.pair(limits);
                const fds = try things.files(2);
                // With a whole message, with the beginning of another, and with some that wait.
                if (way == .broken) {
                    _ = try rig.fill(peer);
                    for (0..3) |_| _ = try rig.context.sendRights(peer.handle, "waits", &fds);
                    try expectEqual(6, rig.context.descriptors.held_count);
                    try expectEqual(0, c.shutdown(peer.fd, c.SHUT.RD));
                } else {
                    try things.feed(peer.fd, "\x00\x00\x00\x01w", &fds);
                    try things.feed(peer.fd, if (way == .too_long) "\xff\xff\xff" else "\x00\x00\x00", &fds);
                    for (0..4) |_| _ = try rig.wait(0);
                    try expectEqual(1, rig.countOf(.message_rx));
                    if (way != .taken and way != .not_taken) _ = try rig.fill(peer);
                    if (way != .taken and way != .not_taken) for (0..3) |_| {
                        _ = try rig.context.sendRights(peer.handle, "waits", &fds);
                    };
                }
                switch (way) {
                    .taken, .not_taken => {
                        try rig.feed(peer.fd, "\x00");
                        try rig.until(.message_rx, 2);
                        rig.drop(peer.fd);
                    },
                    .peer_gone => rig.drop(peer.fd),
                    .closed => try rig.context.close(peer.handle, .now),
                    .closed_later => try rig.context.close(peer.handle, .drain),
                    .drained => {
                        try rig.context.close(peer.handle, .drain);
                        try rig.drinkAll(peer.fd);
                    },
                    .broken => {},
                    .stalled => try rig.sleep(2 * std.time.ns_per_ms),
                    .too_long => try rig.feed(peer.fd, "\xff\xff\xff\xff"),
                }
                if (way == .broken) {
                    try expectError(error.Ended, rig.context.write(peer.handle, "x"));
                    try expectNoneHeld(&rig);
                    rig.drop(peer.fd);
                }
                errdefer std.debug.print("{t}\n", .{way});
                try rig.until(.disconnection, 1);
                _ = try rig.wait(0);
                try expectNoneHeld(&rig);
                try rig.expectDescriptors(rig.descriptorsElsewhere());
            }
        }

        test "a context that goes closes all that it held for others" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            // It counts what is open.
            defer rig.end();
            var things: Things = .{ .rig = &rig };
            const peer = try rig.pair(many);
            const fds = try things.files(2);
            try things.feed(peer.fd, "\x00\x00\x00\x01w", &fds);
            try things.feed(peer.fd, "\x00\x00\x00", &fds);
            while (rig.countOf(.message_rx) == 0) _ = try rig.wait(0);
            _ = try rig.fill(peer);
            _ = try rig.context.sendRights(peer.handle, "waits", &fds);
            try expect(rig.context.descriptors.held_count >= 4);
        }

        test "what arrives does not outlive an exec, whatever it was before" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            rig.takes = true;
            var things: Things = .{ .rig = &rig };
            const ends = try rig.both(many, many);
            const fd = try things.file();
            try expectEqual(0, c.fcntl(fd, c.F.SETFD, @as(c_int, 0)));
            _ = try rig.context.sendRights(ends[0], "x", &.{fd});
            try rig.until(.message_rx, 1);
            const found = (try things.message(ends[1], 0)).fds[0];
            try expectEqual(c.FD_CLOEXEC, c.fcntl(found, c.F.GETFD, @as(c_int, 0)));
        }

        test "a descriptor of each kind goes over: pipes, sockets, memory, and a connection that goes on elsewhere" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            rig.takes = true;
            var things: Things = .{ .rig = &rig };
            const ends = try rig.both(many, many);
            var pipe: [2]sys.Fd = undefined;
            try expectEqual(0, c.pipe(&pipe));
            for (pipe) |fd| try rig.own(fd);
            const sockets = try rig.system.pair();
            for (sockets) |fd| try rig.own(fd);
            const other = try rig.pair(.{});
            var copies: [2]sys.Fd = undefined;
            const made = try rig.context.copies(other.handle, &copies);
            try expectEqual(1, made.len);
            try rig.own(made[0]);
            const given = [_]sys.Fd{ pipe[0], sockets[1], made[0] };
            _ = try rig.context.sendRights(ends[0], "all kinds", &given);
            try rig.until(.message_rx, 1);
            const found = try things.message(ends[1], 0);
            try things.expectBrought(found, &given);
            try expectEqual(1, c.write(pipe[1], "p", 1));
            var buffer: [4]u8 = undefined;
            try expectEqual(1, c.read(found.fds[0], &buffer, buffer.len));
            try expectEqual(2, rig.sendSome(found.fds[1], "so"));
            try rig.drink(sockets[0], buffer[0..2]);

            try rig.context.close(other.handle, .leave);
            const adopted_fd = c.dup(found.fds[2]);
            rig.drop(found.fds[2]);
            rig.drop(made[0]);
            const adopted = try rig.context.adopt(adopted_fd, .{}, .{});
            _ = try rig.context.write(adopted, "goes on");
            try rig.expectDrinks(other.fd, "goes on");
            try rig.feedMessage(other.fd, "and back");
            try rig.until(.message_rx, 2);
            try rig.expectMessages(adopted, &.{"and back"});
        }

        test "memory as a descriptor goes over" {
            if (builtin.os.tag != .linux) return error.SkipZigTest;
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            rig.takes = true;
            const ends = try rig.both(many, many);
            const memory = try std.posix.memfd_create("memory", 0);
            try rig.own(memory);
            try expectEqual(4, c.pwrite(memory, "kept", 4, 0));
            _ = try rig.context.sendRights(ends[0], "x", &.{memory});
            try rig.until(.message_rx, 1);
            var things: Things = .{ .rig = &rig };
            var buffer: [8]u8 = undefined;
            const found = (try things.message(ends[1], 0)).fds[0];
            try expectEqual(4, c.pread(found, &buffer, buffer.len, 0));
            try testing.expectEqualStrings("kept", buffer[0..4]);
        }

        test "they are taken once, by their own batch, and a number that means nothing is refused" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            var things: Things = .{ .rig = &rig };
            const peer = try rig.pair(many);
            const fds = try things.files(2);
            try things.feed(peer.fd, "\x00\x00\x00\x00", &fds);
            try rig.until(.message_rx, 1);
            const event = try rig.find(.message_rx, peer.handle);
            var room: [most]sys.Fd = undefined;
            try expectEqual(2, Descriptors.countOf(event.detail));
            for ([_]i32{ 0, -1, event.detail + 1, event.detail + 256, std.math.maxInt(i32) }) |detail|
                try expectError(error.Closed, rig.context.takeDescriptors(detail, &room));
            const taken = try rig.context.takeDescriptors(event.detail, &room);
            for (taken) |fd| try rig.own(fd);
            try expectError(error.Closed, rig.context.takeDescriptors(event.detail, &room));
            try things.feed(peer.fd, "\x00\x00\x00\x00", &fds);
            try rig.until(.message_rx, 2);
            const second = event.detail;
            _ = try rig.wait(0);
            try expectError(error.Closed, rig.context.takeDescriptors(second, &room));
            for (taken) |fd| try expect(rig.system.isOpen(fd));
        }

        test "of a kind that cannot be passed is refused when it is sent, at once or behind others" {
            if (builtin.os.tag != .linux) return error.SkipZigTest;
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            rig.takes = true;
            const linux = std.os.linux;
            var parameters = std.mem.zeroes(linux.io_uring_params);
            const made: isize = @bitCast(linux.io_uring_setup(1, &parameters));
            // Not every system has it, or lets everybody.
            if (made < 0) return error.SkipZigTest;
            const ring: sys.Fd = @intCast(made);
            defer rig.system.close(ring);
            const ends = try rig.both(many, many);
            try expectError(error.Unpassable, rig.context.sendRights(ends[0], "wrong", &.{ring}));
            try rig.context.pause(ends[1], true);
            const before = try fill(&rig, ends[0]);
            try expectError(error.Unpassable, rig.context.sendRights(ends[0], "wrong", &.{ring}));
            try expectNoneHeld(&rig);
            try rig.context.pause(ends[1], false);
            try rig.until(.message_rx, before);
            try expectEqual(0, rig.countOf(.disconnection));
        }

        test "as many as the system lets be on their way are not exceeded at once, and behind others wait until there is room" {
            if (builtin.os.tag != .linux) return error.SkipZigTest;
            try Scratch.needRoot("who may not become another user cannot be short of what the system keeps on its way");
            var child = try Forked.start(crowd, {});
            defer child.finish();
            try expectEqual(done, child.hear());
        }

        /// Says how far it got.
        fn crowd(channel: Forked.Channel, _: void) void {
            const reached = crowdAs(nobody_user) catch |failure| {
                std.debug.print("in the child: {t}\n", .{failure});
                return channel.say(-1);
            };
            channel.say(reached);
        }

        fn crowdAs(user: u32) !i32 {
            const on_their_way_max = 64;
            try expectEqual(0, c.setuid(user));
            var limit: c.rlimit = undefined;
            try expectEqual(0, c.getrlimit(.NOFILE, &limit));
            limit.cur = on_their_way_max;
            try expectEqual(0, c.setrlimit(.NOFILE, &limit));
            var system: sys.System = .{};
            var context: ipc.Context = undefined;
            try context.init(std.heap.page_allocator, .{}, .{ .poller = kind });
            const one = try system.pair();
            const other = try system.pair();
            const first = try context.addConnection(one[0], many);
            const second = try context.addConnection(other[0], many);
            const eight: [8]sys.Fd = @splat(0);
            // Some wait on the first, behind bytes that fill it.
            const payload: [10_000]u8 = @splat('f');
            while (try context.write(first, &payload) == 0) {}
            _ = try context.sendRights(first, "waits", &eight);
            var sent: usize = 0;
            while (sent < 100) : (sent += 1) {
                _ = context.sendRights(second, "goes", &eight) catch |failure| {
                    if (failure != error.Crowded) return failure;
                    break;
                };
            }
            // Nothing was taken of the last, and the connection goes on.
            if (sent < on_their_way_max / 8 or sent == 100) return 1;
            if (try context.write(second, "goes on") != 0) return 2;
            // The first has room now, and the system has none: it waits for that.
            drain(&system, one[1]);
            if (try waitFor(&context, first, 20)) |_| return 3;
            if ((try context.statisticsOf(first)).queued_bytes == 0) return 4;
            // Once others are read, there is some again, and they go by themselves.
            drain(&system, other[1]);
            for (0..1000) |_| {
                if ((try context.statisticsOf(first)).queued_bytes == 0) break;
                if (try waitFor(&context, first, 1)) |_| return 5;
            } else return 6;
            var room: [8]sys.Fd = undefined;
            var arrivals: sys.rights.Arrivals = .{ .room = &room };
            var buffer: [64 * 1024]u8 = undefined;
            while (arrivals.count == 0) switch (system.receive(one[1], &buffer, &arrivals)) {
                .bytes => |count| if (arrivals.count > 0 and !std.mem.endsWith(u8, buffer[0..count], "waits")) return 8,
                else => return 8,
            };
            if (arrivals.count != 8) return 8;
            for (arrivals.fds()) |fd| system.close(fd);
            // When nobody reads, it learns that in the end.
            while (try context.write(first, &payload) == 0) {}
            _ = try context.sendRights(first, "waits", &eight);
            while (true) _ = context.sendRights(second, "goes", &eight) catch break;
            drain(&system, one[1]);
            const event = try waitFor(&context, first, 100_000) orelse return 9;
            if (event.reason != .descriptor_limit) return 10;
            if (event.detail != @intFromEnum(c.E.TOOMANYREFS)) return 11;
            if (context.descriptors.held.count() != 0) return 12;
            // The other goes on.
            drain(&system, other[1]);
            _ = try context.sendRights(second, "goes again", &eight);
            try context.deinit();
            return done;
        }

        /// Its disconnection, if it comes within so many waits of a millisecond.
        fn waitFor(context: *ipc.Context, handle: Handle, waits: usize) !?ipc.event.Event {
            for (0..waits) |_| {
                const count = try context.wait(std.time.ns_per_ms, 0, 0, Rig.code);
                for (context.batch.events[0..count]) |event| {
                    if (event.type == .disconnection and event.source == handle) return event;
                }
            }
            return null;
        }

        fn drain(system: *sys.System, fd: sys.Fd) void {
            var buffer: [64 * 1024]u8 = undefined;
            while (true) switch (system.read(fd, &buffer)) {
                .bytes => {},
                else => return,
            };
        }
    };
}

const done = 99;
/// The one that has no rights anywhere; any other that is not root's would do.
const nobody_user = 65534;

/// Sends until something stays queued, and says how many messages that took.
fn fill(rig: *Rig, handle: Handle) !usize {
    const payload: [10_000]u8 = @splat('f');
    var count: usize = 0;
    while (true) {
        count += 1;
        if (try rig.context.write(handle, &payload) > 0) return count;
    }
}
