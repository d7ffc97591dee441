//! Two descriptors bound together: what passes from one to the other, and how that ends.

const std = @import("std");
const sys = @import("sys");
const frame = @import("../frame.zig");
const Handle = @import("library").handle.Handle;
const Kind = @import("../poller/poller.zig").Kind;
const switches = @import("../switch.zig");
const rigs = @import("rig.zig");
const Type = @import("../event.zig").Type;
const Rig = rigs.Rig;
const testing = std.testing;
const expect = testing.expect;
const expectEqual = testing.expectEqual;
const expectError = testing.expectError;

const ms = std.time.ns_per_ms;
const nothing: [2][]const u8 = .{ "", "" };

/// What is read at one end, and written at the other.
fn openPipe() ![2]sys.Fd {
    var ends: [2]sys.Fd = undefined;
    try expectEqual(0, std.c.pipe(&ends));
    return ends;
}

pub fn Suite(comptime kind: Kind) type {
    return struct {
        /// Two connections that are bound together, and the raw sockets at their far ends.
        const Bound = struct { handle: Handle, fds: [2]sys.Fd };

        fn bind(rig: *Rig) !Bound {
            const peers = [_]Rig.Peer{ try rig.pair(.{}), try rig.pair(.{}) };
            const handle = try rig.context.addSwitch(.{ peers[0].handle, peers[1].handle }, nothing);
            return .{ .handle = handle, .fds = .{ peers[0].fd, peers[1].fd } };
        }

        fn expectBytes(rig: *Rig, fd: sys.Fd, expected: []const u8) !void {
            const bytes = try testing.allocator.alloc(u8, expected.len);
            defer testing.allocator.free(bytes);
            try rig.drink(fd, bytes);
            try testing.expectEqualSlices(u8, expected, bytes);
        }

        /// Reads to the end, and says how many bytes there were.
        fn drinkUp(rig: *Rig, fd: sys.Fd) !usize {
            var total: usize = 0;
            var buffer: [64 * 1024]u8 = undefined;
            while (true) switch (rig.system.read(fd, &buffer)) {
                .bytes => |count| total += count,
                .would_block => _ = try rig.wait(ms),
                .end => return total,
                .reset, .failed => return error.EndedTooEarly,
            };
        }

        fn sum(rig: *const Rig, what: Type, handle: Handle, at: u32) u64 {
            var total: u64 = 0;
            for (rig.seen.items) |seen| {
                if (seen.event.type == what and seen.event.source == handle and seen.event.offset == at)
                    total += seen.event.data;
            }
            return total;
        }

        test "what arrives on one leaves by the other, whatever it is, and is counted" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            const bound = try bind(&rig);
            var buffer: [1_000_000]u8 = undefined;
            const bytes = rigs.pattern(&buffer, 7);
            for ([_]usize{ 0, 1 }) |at| {
                var sent: usize = 0;
                var received: [buffer.len]u8 = undefined;
                var got: usize = 0;
                while (got < bytes.len) {
                    sent += rig.sendSome(bound.fds[at], bytes[sent..]);
                    _ = try rig.wait(0);
                    switch (rig.system.read(bound.fds[1 - at], received[got..])) {
                        .bytes => |count| got += count,
                        .would_block => {},
                        else => return error.EndedTooEarly,
                    }
                }
                try testing.expectEqualSlices(u8, bytes, &received);
                try expectEqual(bytes.len, sum(&rig, .switch_rx, bound.handle, @intCast(at)));
                try expectEqual(bytes.len, sum(&rig, .switch_tx, bound.handle, @intCast(1 - at)));
            }
            try expectEqual(0, rig.countOf(.message_rx));
            try rig.expectDescriptors(rig.descriptorsElsewhere());
        }

        test "what was on its way before goes first, in its order" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            const one = try rig.pair(.{});
            const other = try rig.pair(.{});
            // A message that is not whole, and one too large for the inbox that is not either.
            try rig.feed(one.fd, "\x00\x00\x00\x09begin");
            const header = frame.encodeHeader(500_000);
            const long: [300_000]u8 = @splat('l');
            try rig.feed(other.fd, &header);
            try rig.feed(other.fd, &long);
            try rig.untilQuiet();
            // Messages that the peer has left unread.
            const waiting = try rig.fill(one);
            const handle = try rig.context.addSwitch(.{ one.handle, other.handle }, .{ "early", "bird" });
            for ([_]Handle{ one.handle, other.handle }) |stale|
                try expectError(error.Closed, rig.context.write(stale, "x"));

            try rig.feed(one.fd, "ning");
            try expectBytes(&rig, other.fd, "early\x00\x00\x00\x09beginning");
            const payload: [10_000]u8 = @splat('f');
            for (0..waiting) |_| try rig.expectDrinks(one.fd, &payload);
            try expectBytes(&rig, one.fd, "bird");
            try expectBytes(&rig, one.fd, &header);
            try expectBytes(&rig, one.fd, &long);
            try rig.context.close(handle, .now);
            try rig.expectOver(one.fd);
            try rig.expectOver(other.fd);
            try expectEqual(0, rig.countOf(.disconnection));
        }

        test "the end of one side is passed on, and the other side goes on" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            const bound = try bind(&rig);
            try rig.feed(bound.fds[0], "last words");
            rig.system.shutdownWrite(bound.fds[0]);
            try expectBytes(&rig, bound.fds[1], "last words");
            try rig.expectOver(bound.fds[1]);
            try expectEqual(0, rig.countOf(.disconnection));
            try rig.feed(bound.fds[1], "an answer");
            try expectBytes(&rig, bound.fds[0], "an answer");
            rig.system.shutdownWrite(bound.fds[1]);
            try rig.expectOver(bound.fds[0]);
            try rig.until(.disconnection, 1);
            try rig.expectEnd(bound.handle, .peer_closed);
            try expectEqual(0, rig.context.table.used);
        }

        test "who does not read makes the other side wait, at no cost, and loses nothing" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            const bound = try bind(&rig);
            const chunk: [64 * 1024]u8 = @splat('c');
            var sent: usize = 0;
            while (true) {
                const count = rig.sendSome(bound.fds[0], &chunk);
                sent += count;
                if (count == 0 and try rig.wait(ms) == 0) break;
            }
            try expect(sent < 4 * 1024 * 1024);
            try rig.untilQuiet();
            const begin_ns = rig.system.monotonic();
            try expectEqual(0, try rig.wait(5 * ms));
            try expect(rig.system.monotonic() - begin_ns >= 5 * ms);
            const total = sum(&rig, .switch_rx, bound.handle, 0);
            rig.system.shutdownWrite(bound.fds[0]);
            const got = try drinkUp(&rig, bound.fds[1]);
            try expect(got >= total and got >= sent);
        }

        test "who goes away for good is still heard out" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            const bound = try bind(&rig);
            var sent: usize = 0;
            const chunk: [10_000]u8 = @splat('g');
            // More than goes through at once, so that some of it waits when the end comes.
            for (0..200) |_| {
                sent += rig.sendSome(bound.fds[0], &chunk);
                _ = try rig.wait(0);
            }
            rig.drop(bound.fds[0]);
            const got = try drinkUp(&rig, bound.fds[1]);
            try expectEqual(sent, got);
            try rig.until(.disconnection, 1);
            try rig.expectEnd(bound.handle, .peer_closed);
        }

        test "who is gone while what it sent still waits costs no time, whatever the other side sends" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            const bound = try bind(&rig);
            const chunk: [64 * 1024]u8 = @splat('w');
            while (true) if (rig.sendSome(bound.fds[0], &chunk) == 0 and try rig.wait(ms) == 0) break;
            rig.drop(bound.fds[0]);
            _ = rig.sendSome(bound.fds[1], "into the void");
            try rig.untilQuiet();
            const begin_ns = rig.system.monotonic();
            try expectEqual(0, try rig.wait(5 * ms));
            try expect(rig.system.monotonic() - begin_ns >= 5 * ms);
            rig.drop(bound.fds[1]);
            try rig.until(.disconnection, 1);
            try expectEqual(0, rig.context.table.used);
        }

        test "an end with one callback does the other half itself" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            var lines: Lines = .{};
            defer lines.written.deinit(testing.allocator);
            const bound = try bind(&rig);
            try rig.context.setCallbacks(bound.handle, 0, .{ .output = Lines.output, .argument = &lines });
            try rig.feed(bound.fds[0], "as it is");
            try expectBytes(&rig, bound.fds[1], "as it is");
            try rig.feed(bound.fds[1], "\x00\x00\x00\x02hi");
            try rig.untilQuiet();
            try expectEqual(1, lines.frames);
            try rig.context.setCallbacks(bound.handle, 0, .{ .input = Lines.input, .argument = &lines });
            try rig.feed(bound.fds[0], "in frames");
            try rig.expectDrinks(bound.fds[1], "in frames");
            try rig.feed(bound.fds[1], "back");
            try expectBytes(&rig, bound.fds[0], "back");
        }

        test "descriptors of others are bound as well, which stay theirs" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            const peer = try rig.pair(.{});
            const outside = try rig.system.pair();
            defer for (outside) |fd| rig.system.close(fd);
            const external = try rig.context.addExternal(outside[0]);
            const handle = try rig.context.addSwitch(.{ external, peer.handle }, nothing);
            try rig.feed(outside[1], "from outside");
            try expectBytes(&rig, peer.fd, "from outside");
            try rig.feed(peer.fd, "from inside");
            try expectBytes(&rig, outside[1], "from inside");
            try expectEqual(0, rig.countOf(.external));
            try rig.context.close(handle, .now);
            try expect(rig.system.isOpen(outside[0]));
            // It blocks or not, as it did before.
            try expect(!(try rig.system.access(outside[0])).blocks);
            try rig.system.setBlocking(outside[0], true);
            const again = try rig.context.addExternal(outside[0]);
            const late = try rig.pair(.{});
            const bound = try rig.context.addSwitch(.{ again, late.handle }, nothing);
            try expect(!(try rig.system.access(outside[0])).blocks);
            try rig.context.close(bound, .now);
            try expect((try rig.system.access(outside[0])).blocks);
        }

        test "a pipe has one direction, and nobody to read it is no signal" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            const peer = try rig.pair(.{});
            const ends = try openPipe();
            const external = try rig.context.addExternal(ends[1]);
            rig.system.close(ends[1]);
            const handle = try rig.context.addSwitch(.{ peer.handle, external }, nothing);
            try rig.untilQuiet();
            // That nothing can come out of it is not told as an end.
            var end: [1]u8 = undefined;
            try expectEqual(sys.Received.would_block, rig.system.read(peer.fd, &end));
            try rig.feed(peer.fd, "down the pipe");
            var buffer: [13]u8 = undefined;
            while (rig.countOf(.switch_tx) == 0) _ = try rig.wait(ms);
            try expectEqual(buffer.len, @as(usize, @intCast(std.c.read(ends[0], &buffer, buffer.len))));
            try testing.expectEqualStrings("down the pipe", &buffer);
            rig.system.close(ends[0]);
            _ = rig.sendSome(peer.fd, "in vain");
            try rig.until(.disconnection, 1);
            try expect((try rig.find(.disconnection, handle)).reason != .none);
        }

        test "two between which nothing could ever pass are refused, and go on as they were" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            const ends = [_][2]sys.Fd{ try openPipe(), try openPipe() };
            defer for (ends) |pipe| for (pipe) |fd| rig.system.close(fd);
            for ([_]u1{ 0, 1 }) |at| {
                const one = try rig.context.addExternal(ends[0][at]);
                const other = try rig.context.addExternal(ends[1][at]);
                try expectError(error.InvalidArgument, rig.context.addSwitch(.{ one, other }, nothing));
                for ([_]Handle{ one, other }) |handle| try rig.context.close(handle, .now);
            }
            const from = try rig.context.addExternal(ends[0][0]);
            const to = try rig.context.addExternal(ends[1][1]);
            _ = try rig.context.addSwitch(.{ from, to }, nothing);
        }

        test "what can be read is bound to nothing that cannot be written, and both go on as they were" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            const peer = try rig.pair(.{});
            const ends = try openPipe();
            defer for (ends) |fd| rig.system.close(fd);
            const source = try rig.context.addExternal(ends[0]);
            for ([_][2]Handle{ .{ peer.handle, source }, .{ source, peer.handle } }, [_]u1{ 1, 0 }) |two, unwritable| {
                try expectError(error.NotWritable, rig.context.addSwitch(two, nothing));
                try expectEqual(unwritable, rig.context.unwritable);
            }
            try rig.feedMessage(peer.fd, "not lost");
            try rig.until(.message_rx, 1);
            try expect((try rig.system.access(ends[0])).blocks);
            // What it has said already is as little to be lost where it is to say nothing more.
            try rig.context.pause(peer.handle, true);
            try expectError(error.NotWritable, rig.context.addSwitch(.{ peer.handle, source }, .{ "said before", "" }));
        }

        test "a connection that is paused only takes, from what can only be read" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            const peer = try rig.pair(.{});
            const ends = try openPipe();
            const source = try rig.context.addExternal(ends[0]);
            rig.system.close(ends[0]);
            try rig.context.pause(peer.handle, true);
            const handle = try rig.context.addSwitch(.{ source, peer.handle }, nothing);
            try rig.feed(peer.fd, "for nobody");
            const text = "up the pipe";
            try expectEqual(text.len, @as(usize, @intCast(std.c.write(ends[1], text, text.len))));
            try expectBytes(&rig, peer.fd, text);
            rig.system.close(ends[1]);
            try rig.until(.disconnection, 1);
            try expectEqual(.peer_closed, (try rig.find(.disconnection, handle)).reason);
            try expectEqual(0, sum(&rig, .switch_rx, handle, 1));
        }

        test "closing one sends what the system takes" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            const peers = [_]Rig.Peer{ try rig.pair(.{}), try rig.pair(.{}) };
            _ = try rig.context.schedule(peers[0].handle, "scheduled", 0);
            const handle = try rig.context.addSwitch(.{ peers[0].handle, peers[1].handle }, nothing);
            try rig.context.close(handle, .now);
            try rig.expectDrinks(peers[0].fd, "scheduled");
            try rig.expectOver(peers[0].fd);
        }

        test "only what can be bound is" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            const peer = try rig.pair(.{});
            const timer = try rig.context.addTimer(std.time.ns_per_hour, 0);
            const context = &rig.context;
            try expectError(error.InvalidArgument, context.addSwitch(.{ peer.handle, peer.handle }, nothing));
            try expectError(error.Closed, context.addSwitch(.{ peer.handle, timer }, nothing));
            try expectError(error.Closed, context.addSwitch(.{ .from(12345), peer.handle }, nothing));
            try rig.feedMessage(peer.fd, "as before");
            try rig.until(.message_rx, 1);
        }

        /// The far side of a callback: its format is text in lines, and what crosses is frames.
        const Lines = struct {
            verdict: switches.Verdict = .done,
            written: std.ArrayList(u8) = .empty,
            frames: usize = 0,

            fn input(argument: ?*anyopaque, fd: sys.Fd, bytes: [*]u8, length: *u32) callconv(.c) switches.Verdict {
                const lines: *Lines = @ptrCast(@alignCast(argument.?));
                var text: [100]u8 = undefined;
                const count = std.c.read(fd, &text, text.len);
                if (count <= 0) return .closing;
                if (lines.verdict != .done) return lines.verdict;
                bytes[0..frame.header_bytes].* = frame.encodeHeader(@intCast(count));
                @memcpy(bytes[frame.header_bytes..][0..@intCast(count)], text[0..@intCast(count)]);
                length.* = @intCast(frame.header_bytes + count);
                return .done;
            }

            fn output(argument: ?*anyopaque, _: sys.Fd, bytes: [*]const u8, length: u32) callconv(.c) switches.Verdict {
                const lines: *Lines = @ptrCast(@alignCast(argument.?));
                lines.frames += 1;
                lines.written.appendSlice(testing.allocator, bytes[0..length]) catch return .failed;
                return lines.verdict;
            }
        };

        fn bindLines(rig: *Rig, lines: *Lines) !Bound {
            const bound = try bind(rig);
            try rig.context.setCallbacks(bound.handle, 0, .{
                .input = Lines.input,
                .output = Lines.output,
                .argument = lines,
            });
            return bound;
        }

        test "callbacks read and write in a format of their own, a frame at a time" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            var lines: Lines = .{};
            defer lines.written.deinit(testing.allocator);
            const bound = try bindLines(&rig, &lines);
            try rig.feed(bound.fds[0], "plain text");
            try rig.expectDrinks(bound.fds[1], "plain text");
            const frames = "\x00\x00\x00\x05hello" ++ "\x00\x00\x00\x00" ++ "\x00\x00\x00\x03abc";
            for (0..frames.len) |at| {
                try rig.feed(bound.fds[1], frames[at..][0..1]);
                try rig.untilQuiet();
            }
            try expectEqual(3, lines.frames);
            try testing.expectEqualStrings(frames, lines.written.items);
            rig.drop(bound.fds[0]);
            try rig.until(.disconnection, 1);
            try rig.expectEnd(bound.handle, .peer_closed);
            try rig.expectOver(bound.fds[1]);
        }

        test "what waits for a callback takes no more memory than it has bytes" {
            var memory: std.testing.FailingAllocator = .init(testing.allocator, .{});
            var rig: Rig = undefined;
            try rig.beginWith(kind, .{}, memory.allocator());
            defer rig.end();
            var lines: Lines = .{};
            defer lines.written.deinit(testing.allocator);
            const bound = try bindLines(&rig, &lines);
            try rig.feed(bound.fds[1], "\x00\x00\x00\x01f");
            try rig.untilQuiet();
            const before = memory.allocated_bytes - memory.freed_bytes;
            // Each piece ends in the middle of a frame.
            const rest = "rame\x00\x00\x00\x05f";
            try rig.feed(bound.fds[1], "\x00\x00\x00\x05f");
            for (0..2000) |_| {
                try rig.feed(bound.fds[1], rest);
                try rig.untilQuiet();
                lines.written.clearRetainingCapacity();
            }
            try expectEqual(2001, lines.frames);
            try expect(memory.allocated_bytes - memory.freed_bytes < before + 4096);
        }

        test "what a callback ignores goes nowhere, and what it fails at ends its switch alone" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            const other = try bind(&rig);
            var lines: Lines = .{ .verdict = .ignore };
            defer lines.written.deinit(testing.allocator);
            const bound = try bindLines(&rig, &lines);
            try rig.feed(bound.fds[0], "ignored");
            try rig.untilQuiet();
            try expectEqual(0, rig.countOf(.switch_tx));
            lines.verdict = .failed;
            try rig.feed(bound.fds[0], "failed");
            try rig.until(.disconnection, 1);
            try rig.expectEnd(bound.handle, .malformed);
            try rig.expectOver(bound.fds[0]);
            try rig.expectOver(bound.fds[1]);
            try rig.feed(other.fds[0], "goes on");
            try expectBytes(&rig, other.fds[1], "goes on");
        }

        test "a frame for a callback that is too long ends the switch" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            var lines: Lines = .{};
            const bound = try bindLines(&rig, &lines);
            try rig.feed(bound.fds[1], "GET / HTTP/1.1\r\n");
            try rig.until(.disconnection, 1);
            try rig.expectEnd(bound.handle, .message_too_long);
            try expectEqual(1, (try rig.find(.disconnection, bound.handle)).offset);
        }
    };
}
