//! Messages arrive whole, in order and byte for byte, however they are cut on the way.

const std = @import("std");
const batches = @import("../batch.zig");
const events = @import("../event.zig");
const frame = @import("../frame.zig");
const inbound = @import("../inbound.zig");
const loans = @import("../loan.zig");
const Handle = @import("library").handle.Handle;
const Kind = @import("../poller/poller.zig").Kind;
const Limits = @import("../connection.zig").Limits;
const rigs = @import("rig.zig");
const Rig = rigs.Rig;
const testing = std.testing;
const expect = testing.expect;
const expectEqual = testing.expectEqual;

pub fn Suite(comptime kind: Kind) type {
    return struct {
        test "a service hears a client, and the client the answer" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            const service = try rig.serve("pong", .{}, .{});
            const client = try rig.connect("pong");
            try rig.feedMessage(client, "hello");
            try rig.until(.message_rx, 1);
            const connection = try rig.accepted(0);
            try rig.expectMessages(connection, &.{"hello"});
            try expectEqual(service, (try rig.find(.connection, connection)).origin);
            try expectEqual(service, (try rig.find(.message_rx, connection)).origin);
            _ = try rig.context.write(connection, "hello");
            try rig.expectDrinks(client, "hello");
        }

        test "every size arrives byte for byte, in both directions" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            const peer = try rig.pair(.{});
            const largest = (Limits{}).message_bytes_max;
            const buffer = try testing.allocator.alloc(u8, largest);
            defer testing.allocator.free(buffer);
            const edge = batches.inbox_message_bytes_max;
            const sizes = [_]u32{ 0, 1, 127, 128, 255, 256, 65535, 65536, edge - 4, edge, edge + 1, 1 << 20, largest };
            for (sizes) |size| {
                const payload = rigs.pattern(buffer[0..size], size);
                rig.forget();
                try rig.feedMessage(peer.fd, payload);
                try rig.until(.message_rx, 1);
                try rig.expectMessages(peer.handle, &.{payload});
                _ = try rig.context.schedule(peer.handle, payload, 0);
                try rig.expectDrinks(peer.fd, payload);
            }
        }

        test "ten thousand frames in one write" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            const peer = try rig.pair(.{});
            var bytes: std.ArrayList(u8) = .empty;
            defer bytes.deinit(testing.allocator);
            for (0..10_000) |number| {
                const payload = std.mem.asBytes(&number)[0 .. number % 9];
                try bytes.appendSlice(testing.allocator, &frame.encodeHeader(@intCast(payload.len)));
                try bytes.appendSlice(testing.allocator, payload);
            }
            try rig.feed(peer.fd, bytes.items);
            try rig.until(.message_rx, 10_000);
            var number: usize = 0;
            for (rig.seen.items) |seen| {
                if (seen.event.type != .message_rx) continue;
                try testing.expectEqualSlices(u8, std.mem.asBytes(&number)[0 .. number % 9], seen.bytes);
                number += 1;
            }
            try expectEqual(10_000, number);
        }

        test "a frame that comes a byte at a time, and a header cut at each byte" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            const peer = try rig.pair(.{});
            const two = "\x00\x00\x00\x05hello\x00\x00\x00\x03you";
            for (two) |byte| {
                try rig.feed(peer.fd, &.{byte});
                _ = try rig.wait(0);
            }
            try rig.expectMessages(peer.handle, &.{ "hello", "you" });
            for (0..two.len) |cut| {
                rig.forget();
                try rig.feed(peer.fd, two[0..cut]);
                try rig.untilQuiet();
                try rig.feed(peer.fd, two[cut..]);
                try rig.untilQuiet();
                try rig.expectMessages(peer.handle, &.{ "hello", "you" });
            }
        }

        test "an empty message is a message, and zero bytes are bytes" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            const peer = try rig.pair(.{});
            try rig.feed(peer.fd, "\x00\x00\x00\x00\x00\x00\x00\x03\x00a\x00\x00\x00\x00\x00");
            try rig.untilQuiet();
            try rig.expectMessages(peer.handle, &.{ "", "\x00a\x00", "" });
            try expectEqual(0, try rig.context.write(peer.handle, ""));
            try rig.expectDrinks(peer.fd, "");
        }

        test "messages queued to one peer stay in order among other peers" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            var peers: [5]Rig.Peer = undefined;
            for (&peers) |*peer| peer.* = try rig.pair(.{});
            for (0..1000) |number| {
                for (peers, 0..) |peer, index| {
                    const payload = [_]u64{ number, index };
                    _ = if (number % 2 == 0)
                        try rig.context.schedule(peer.handle, std.mem.asBytes(&payload), 0)
                    else
                        try rig.context.write(peer.handle, std.mem.asBytes(&payload));
                }
            }
            for (0..1000) |number| {
                for (peers, 0..) |peer, index| {
                    const payload = [_]u64{ number, index };
                    try rig.expectDrinks(peer.fd, std.mem.asBytes(&payload));
                }
            }
        }

        test "runs in the outbox are sent by a wait or a flush, each with its result" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            const first = try rig.pair(.{});
            const second = try rig.pair(.{});
            var outbox: Outbox = .{ .area = rig.context.batch.outbox };
            const runs = [_]*batches.Run{
                outbox.add(first.handle, &.{ "one", "two" }, 0),
                outbox.add(second.handle, &.{"three"}, 7),
                outbox.add(.from(12345), &.{"nobody"}, 0),
                outbox.add(first.handle, &.{}, 0),
            };
            _ = try rig.waitWith(0, outbox.bytes);
            for ([_]i32{ 0, 0, Rig.code(error.Closed), 0 }, runs) |expected, run|
                try expectEqual(expected, run.token_or_result);
            try rig.expectDrinks(first.fd, "one");
            try rig.expectDrinks(first.fd, "two");
            try rig.expectDrinks(second.fd, "three");
            try expectEqual(7, (try rig.find(.message_tx, second.handle)).data);

            outbox.bytes = 0;
            _ = outbox.add(second.handle, &.{"four"}, 0);
            try rig.context.flush(outbox.bytes, Rig.code);
            try rig.expectDrinks(second.fd, "four");
        }

        test "an outbox that is none is refused, and nothing of it is sent that is wrong" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            const peer = try rig.pair(.{});
            const area = rig.context.batch.outbox;
            try testing.expectError(error.InvalidArgument, rig.waitWith(0, @intCast(area.len + 1)));
            try testing.expectError(error.InvalidArgument, rig.waitWith(0, @sizeOf(batches.Run) - 1));
            var outbox: Outbox = .{ .area = area };
            const run = outbox.add(peer.handle, &.{"beyond"}, 0);
            run.bytes = outbox.bytes;
            try testing.expectError(error.InvalidArgument, rig.context.flush(outbox.bytes, Rig.code));
            // The connection has not suffered from it.
            _ = try rig.context.write(peer.handle, "still there");
            try rig.expectDrinks(peer.fd, "still there");
        }

        test "frames that are none end their connection, and no other" {
            const Wrong = enum { messages, truncated, no_frame, token };
            for (std.enums.values(Wrong)) |wrong| {
                var rig: Rig = undefined;
                try rig.begin(kind);
                defer rig.end();
                const peer = try rig.pair(.{});
                const other = try rig.pair(.{});
                // Behind something queued, every run is looked at.
                _ = try rig.context.schedule(peer.handle, "before", 0);
                _ = try rig.fill(peer);
                var outbox: Outbox = .{ .area = rig.context.batch.outbox };
                const run = outbox.add(peer.handle, &.{ "one", "two" }, if (wrong == .token) 5 else 0);
                switch (wrong) {
                    .messages => run.messages = 3,
                    .truncated => run.bytes -= 1,
                    .no_frame => @memset(outbox.area[@sizeOf(batches.Run)..][0..4], 0xff),
                    .token => {},
                }
                outbox.bytes = @intCast(std.mem.alignForward(usize, @sizeOf(batches.Run) + run.bytes, 4));
                const result = outbox.add(other.handle, &.{"unharmed"}, 0);
                _ = try rig.waitWith(0, outbox.bytes);
                try expectEqual(Rig.code(error.Malformed), run.token_or_result);
                try expectEqual(0, result.token_or_result);
                try rig.until(.disconnection, 1);
                try rig.expectEnd(peer.handle, .malformed);
                try rig.expectDrinks(other.fd, "unharmed");
            }
        }

        test "a message too large for the inbox has a buffer of its own, which its reader may keep" {
            var rig: Rig = undefined;
            try rig.beginWith(kind, .{ .poison = true }, testing.allocator);
            defer rig.end();
            const peer = try rig.pair(.{});
            const payload = try testing.allocator.alloc(u8, 600_000);
            defer testing.allocator.free(payload);
            _ = rigs.pattern(payload, 1);
            try rig.feedMessage(peer.fd, payload);
            const event = while (true) {
                if (try rig.wait(0) > 0) break &rig.context.batch.events[0];
            };
            try expectEqual(events.flag_loan, event.flags);
            const start: [*]u8 = @ptrFromInt(event.data);
            try rig.context.take(start);
            try testing.expectError(error.Closed, rig.context.take(start));
            _ = try rig.wait(0);
            try testing.expectEqualSlices(u8, payload, start[0..payload.len]);
            loans.Loan.free(testing.allocator, start);
            // The next one is not kept, and goes with its batch.
            try rig.feedMessage(peer.fd, payload);
            try rig.until(.message_rx, 2);
        }

        test "old bytes are poisoned if that is asked for" {
            var rig: Rig = undefined;
            try rig.beginWith(kind, .{ .poison = true }, testing.allocator);
            defer rig.end();
            const peer = try rig.pair(.{});
            try rig.feedMessage(peer.fd, "secret");
            while (try rig.wait(0) == 0) {}
            const view = rig.payloadOf(&rig.context.batch.events[0]);
            try testing.expectEqualStrings("secret", view);
            _ = try rig.wait(0);
            try expect(std.mem.allEqual(u8, view, batches.poison_byte));
        }

        test "who has mapped the areas may read them after the context is gone" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            const peer = try rig.pair(.{});
            try rig.feedMessage(peer.fd, "kept");
            while (try rig.wait(0) == 0) {}
            const view = rig.payloadOf(&rig.context.batch.events[0]);
            const control = rig.context.batch.control;
            batches.Batch.reference(control);
            rig.end();
            try testing.expectEqualStrings("kept", view);
            try expectEqual(0, batches.Batch.unreference(control));
            rig.system.unmapPages(batches.Batch.memoryOf(control));
        }

        test "a connection is read once for a batch, however much it sends" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            const busy = try rig.pair(.{});
            // As much as the system allows, so that more waits than one read takes.
            const sent_bytes: c_int = 1024 * 1024;
            _ = std.c.setsockopt(busy.fd, std.c.SOL.SOCKET, std.c.SO.SNDBUF, &sent_bytes, @sizeOf(c_int));
            const message = frame.encodeHeader(60) ++ [_]u8{'m'} ** 60;
            const flood = message ** 1024;
            var at: usize = 0;
            var largest: usize = 0;
            for (0..40) |_| {
                while (true) {
                    const sent = rig.sendSome(busy.fd, flood[at..]);
                    if (sent == 0) break;
                    at = (at + sent) % flood.len;
                }
                const count = try rig.context.wait(0, 0, 0, Rig.code);
                var bytes: usize = 0;
                for (rig.context.batch.events[0..count]) |event| bytes += frame.header_bytes + event.length;
                largest = @max(largest, bytes);
            }
            try expect(largest > 0);
            try expect(largest < batches.read_bytes_max + message.len);
        }

        test "short messages are handed out so many at a time, and all come" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            const peer = try rig.pair(.{});
            const count = 60_000;
            const one = comptime frame.encodeHeader(1) ++ [_]u8{'x'};
            const frames = try testing.allocator.alloc(u8, count * one.len);
            defer testing.allocator.free(frames);
            for (0..count) |k| frames[k * one.len ..][0..one.len].* = one;
            var fed: usize = 0;
            var came: u32 = 0;
            var batches_count: u32 = 0;
            while (came < count) {
                fed += rig.sendSome(peer.fd, frames[fed..]);
                const events_count = try rig.wait(std.time.ns_per_ms);
                if (events_count == 0) continue;
                came += events_count;
                batches_count += 1;
                // The first shows how short they are.
                if (batches_count > 1) try expect(events_count <= inbound.messages_wanted_max + 1);
            }
            try expectEqual(count, came);
            // Longer ones come together again.
            const long = try testing.allocator.alloc(u8, 64 * 1024);
            defer testing.allocator.free(long);
            @memset(long, 'y');
            for (0..8) |_| try rig.feedMessage(peer.fd, long);
            try rig.until(.message_rx, count + 8);
        }

        test "a busy connection starves nobody" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            const busy = try rig.pair(.{});
            const quiet = try rig.pair(.{});
            var flood: [64 * 1024]u8 = @splat(0);
            // Nobody else is ready in the beginning, so the busy one is read directly all the time.
            for (0..20) |_| {
                _ = rig.sendSome(busy.fd, &flood);
                _ = try rig.context.wait(0, 0, 0, Rig.code);
            }
            try rig.feedMessage(quiet.fd, "me too");
            for (0..20) |_| {
                _ = rig.sendSome(busy.fd, &flood);
                const count = try rig.context.wait(0, 0, 0, Rig.code);
                for (rig.context.batch.events[0..count]) |event| {
                    if (event.source == quiet.handle) return;
                }
            }
            return error.Starved;
        }
    };
}

/// Writes runs as the owner of an outbox does.
const Outbox = struct {
    area: []u8,
    bytes: u32 = 0,

    fn add(outbox: *Outbox, connection: Handle, payloads: []const []const u8, token: i32) *batches.Run {
        const run: *batches.Run = @ptrCast(@alignCast(outbox.area[outbox.bytes..].ptr));
        var at: usize = outbox.bytes + @sizeOf(batches.Run);
        const start = at;
        for (payloads) |payload| {
            outbox.area[at..][0..frame.header_bytes].* = frame.encodeHeader(@intCast(payload.len));
            @memcpy(outbox.area[at + frame.header_bytes ..][0..payload.len], payload);
            at += frame.header_bytes + payload.len;
        }
        run.* = .{
            .connection = connection,
            .bytes = @intCast(at - start),
            .messages = @intCast(payloads.len),
            .token_or_result = token,
        };
        outbox.bytes = @intCast(std.mem.alignForward(usize, at, @alignOf(batches.Run)));
        return run;
    }
};
