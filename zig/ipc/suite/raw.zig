//! Connections of bytes without frames: what comes is told as it comes, and what is given goes as it is.

const std = @import("std");
const sys = @import("sys");
const batches = @import("../batch.zig");
const frame = @import("../frame.zig");
const rigs = @import("rig.zig");
const thing = @import("things.zig");
const Handle = @import("library").handle.Handle;
const Kind = @import("../poller/poller.zig").Kind;
const Limits = @import("../connection.zig").Limits;
const Rig = rigs.Rig;
const Things = thing.Things;
const c = std.c;
const testing = std.testing;
const expect = testing.expect;
const expectEqual = testing.expectEqual;
const expectError = testing.expectError;

const raw: Limits = .{ .framing = .raw, .descriptors_max = 4 };

pub fn Suite(comptime kind: Kind) type {
    return struct {
        test "bytes are told as they come, whatever they are, and no more at once than may be" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            var limits = raw;
            limits.message_bytes_max = 5;
            const peer = try rig.pair(limits);
            try rig.feed(peer.fd, "\xff\xff\xff\xffhello you");
            try rig.until(.message_rx, 3);
            try rig.expectMessages(peer.handle, &.{ "\xff\xff\xff\xffh", "ello ", "you" });
            try rig.feed(peer.fd, "\x00");
            try rig.until(.message_rx, 4);
            try expectEqual(14, (try rig.context.statisticsOf(peer.handle)).bytes_received);
            // What goes the other way is no message, and as long as it is.
            try expectEqual(0, try rig.context.write(peer.handle, "longer"));
        }

        test "what is sent goes as it is, and nothing is no message" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            const peer = try rig.pair(raw);
            _ = try rig.context.write(peer.handle, "one ");
            _ = try rig.context.write(peer.handle, "");
            _ = try rig.context.schedule(peer.handle, "two ", 7);
            _ = try rig.context.schedule(peer.handle, "", 8);
            _ = try rig.context.schedule(peer.handle, "three", 9);
            try rig.until(.message_tx, 3);
            var buffer: [13]u8 = undefined;
            try rig.drink(peer.fd, &buffer);
            try testing.expectEqualStrings("one two three", &buffer);
            for ([_]u32{ 4, 0, 5 }, [_]u64{ 7, 8, 9 }, 0..) |length, token, index| {
                const event = rig.seen.items[index].event;
                try expectEqual(.message_tx, event.type);
                try expectEqual(length, event.length);
                try expectEqual(token, event.data);
            }
            // Who asks about nothing alone is answered too.
            _ = try rig.context.schedule(peer.handle, "", 10);
            try rig.until(.message_tx, 4);
        }

        test "frames in the outbox leave their headers behind, all of them at once" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            const peer = try rig.pair(raw);
            const bytes = putRun(&rig, peer.handle, "\x00\x00\x00\x03one\x00\x00\x00\x00\x00\x00\x00\x02 2", 3, 0);
            _ = try rig.waitWith(0, bytes);
            try expectEqual(0, resultOf(&rig));
            var buffer: [5]u8 = undefined;
            try rig.drink(peer.fd, &buffer);
            try testing.expectEqualStrings("one 2", &buffer);
            _ = try rig.waitWith(0, putRun(&rig, peer.handle, "\x00\x00\x00\x01!", 1, 5));
            try rig.until(.message_tx, 1);
            try expectEqual(1, (try rig.find(.message_tx, peer.handle)).length);
            _ = try rig.waitWith(0, putRun(&rig, peer.handle, "\x00\x00\x00\x00", 1, 6));
            try rig.until(.message_tx, 2);
        }

        test "a run that is refused has sent nothing" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            var limits = raw;
            limits.message_bytes_max = 10_000;
            limits.queue_bytes_max = 10_004;
            limits.queue_bytes_high = 1;
            limits.queue_policy = .refuse;
            const peer = try rig.pair(limits);
            _ = try rig.fill(peer);
            const queued = (try rig.context.statisticsOf(peer.handle)).queued_bytes;
            // The first of them would have room.
            const both = &frame.encodeHeader(1) ++ "c" ++ &frame.encodeHeader(10_000) ++ &@as([10_000]u8, @splat('d'));
            _ = try rig.waitWith(0, putRun(&rig, peer.handle, both, 2, 0));
            try expectEqual(Rig.code(error.QueueFull), resultOf(&rig));
            try expectEqual(queued, (try rig.context.statisticsOf(peer.handle)).queued_bytes);
            var buffer: [64 * 1024]u8 = undefined;
            while ((try rig.context.statisticsOf(peer.handle)).queued_bytes > 0 or (try pending(peer.fd))) {
                switch (rig.system.read(peer.fd, &buffer)) {
                    .bytes => |count| for (buffer[0..count]) |byte| try expectEqual('f', byte),
                    else => {},
                }
                _ = try rig.wait(0);
            }
        }

        test "a run that is no frames ends its connection, as it does with frames" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            const peer = try rig.pair(raw);
            _ = try rig.waitWith(0, putRun(&rig, peer.handle, "\x00\x00\x00\x09abc", 1, 0));
            try expectEqual(Rig.code(error.Malformed), resultOf(&rig));
            try rig.until(.disconnection, 1);
            try rig.expectEnd(peer.handle, .malformed);
            // What comes after that is lost, be it nothing.
            const other = try rig.pair(raw);
            rig.drop(other.fd);
            try rig.until(.disconnection, 2);
            _ = try rig.waitWith(0, putRun(&rig, other.handle, "\x00\x00\x00\x00", 1, 0));
            try expectEqual(Rig.code(error.Closed), resultOf(&rig));
        }

        test "descriptors come with the bytes they were sent with, and go as well" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            rig.takes = true;
            var things: Things = .{ .rig = &rig };
            const ends = try rig.both(raw, raw);
            const fds = try things.files(3);
            _ = try rig.context.write(ends[0], "plain");
            try rig.until(.message_rx, 1);
            _ = try rig.context.sendRights(ends[0], "with", fds[0..2]);
            _ = try rig.context.sendRights(ends[0], "more", fds[2..3]);
            try rig.until(.message_rx, 3);
            try rig.expectMessages(ends[1], &.{ "plain", "with", "more" });
            try things.expectBrought(try things.message(ends[1], 1), fds[0..2]);
            try things.expectBrought(try things.message(ends[1], 2), fds[2..3]);
            try expectError(error.InvalidArgument, rig.context.sendRights(ends[0], "", &fds));
            try thing.expectNoneHeld(&rig);
            // Behind others they are kept as well.
            const peer = try rig.pair(raw);
            _ = try rig.fill(peer);
            _ = try rig.context.sendRights(peer.handle, "waits", &fds);
            try expectEqual(3, rig.context.descriptors.held_count);
            try rig.drinkAll(peer.fd);
            try thing.untilNoneHeld(&rig);
        }

        test "who has said all that it had to say is still answered" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            const peer = try rig.pair(raw);
            try rig.feed(peer.fd, "question");
            rig.system.shutdownWrite(peer.fd);
            while (rig.countOf(.message_rx) == 0) _ = try rig.wait(0);
            _ = try rig.context.write(peer.handle, "answer");
            var buffer: [6]u8 = undefined;
            try rig.drink(peer.fd, &buffer);
            try testing.expectEqualStrings("answer", &buffer);
            try rig.until(.disconnection, 1);
            try rig.expectEnd(peer.handle, .peer_closed);
            try rig.expectOver(peer.fd);
        }

        test "what is lost with a connection is counted without headers" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            const peer = try rig.pair(raw);
            _ = try rig.fill(peer);
            const queued = (try rig.context.statisticsOf(peer.handle)).queued_bytes;
            try expectEqual(0, c.shutdown(peer.fd, c.SHUT.RD));
            for ([_][]const u8{ "four", "fi" }) |payload|
                try expectError(error.Ended, rig.context.write(peer.handle, payload));
            rig.drop(peer.fd);
            try rig.until(.disconnection, 1);
            try expectEqual(queued + 6, (try rig.find(.disconnection, peer.handle)).data);
        }
    };
}

/// Makes this the only run in the outbox, and says how many bytes that is.
fn putRun(rig: *Rig, connection: Handle, frames: []const u8, messages: u32, token: i32) u32 {
    const outbox = rig.context.batch.outbox;
    const run: *batches.Run = @ptrCast(@alignCast(outbox.ptr));
    run.* = .{
        .connection = connection,
        .bytes = @intCast(frames.len),
        .messages = messages,
        .token_or_result = token,
    };
    @memcpy(outbox[@sizeOf(batches.Run)..][0..frames.len], frames);
    return @intCast(std.mem.alignForward(usize, @sizeOf(batches.Run) + frames.len, @alignOf(batches.Run)));
}

fn resultOf(rig: *Rig) i32 {
    const run: *const batches.Run = @ptrCast(@alignCast(rig.context.batch.outbox.ptr));
    return run.token_or_result;
}

fn pending(fd: sys.Fd) !bool {
    var system: sys.System = .{};
    var fds: [1]sys.PollFd = .{.{ .fd = fd, .events = sys.POLL.IN, .revents = 0 }};
    return try system.poll(&fds, 0) > 0;
}
