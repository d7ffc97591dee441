//! Sockets that change hands: between two contexts, with and without a name.

const std = @import("std");
const builtin = @import("builtin");
const sys = @import("sys");
const claims = @import("../claim.zig");
const ipc = @import("../ipc.zig");
const rigs = @import("rig.zig");
const Handle = @import("library").handle.Handle;
const Kind = @import("../poller/poller.zig").Kind;
const Rig = rigs.Rig;
const c = std.c;
const testing = std.testing;
const expect = testing.expect;
const expectEqual = testing.expectEqual;
const expectError = testing.expectError;

pub fn Suite(comptime kind: Kind) type {
    return struct {
        test "a socket that listens becomes a service, and one that is connected a connection" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            const place = rig.scratch.path("plain");
            const listener = try rig.system.socket();
            try rig.system.bind(listener, place);
            try rig.system.listen(listener, 4);
            // As others make them.
            try rig.system.setBlocking(listener, true);
            const service = try rig.context.adopt(listener, .{}, .{});
            try expect(!(try rig.system.access(listener)).blocks);
            const client = try rig.system.socket();
            try rig.system.connect(client, place);
            const connection = try rig.context.adopt(client, .{}, .{});
            try rig.until(.connection, 1);
            const accepted = try rig.accepted(0);
            try expectEqual(service, (try rig.find(.connection, accepted)).origin);
            _ = try rig.context.write(connection, "hello");
            try rig.until(.message_rx, 1);
            try rig.expectMessages(accepted, &.{"hello"});
            try rig.expectDescriptors(rig.descriptorsElsewhere());
            const made = (try rig.context.statisticsOf(.none)).connections_made;
            try expectEqual(1, made);
            // Its name is nobody's to take away.
            try rig.context.close(service, .now);
            try expect(rig.scratch.exists("plain"));
        }

        test "what is no socket for a stream is refused, and stays the caller's" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            var pipe: [2]sys.Fd = undefined;
            try expectEqual(0, c.pipe(&pipe));
            for (pipe) |fd| try rig.own(fd);
            const datagram = c.socket(c.AF.UNIX, c.SOCK.DGRAM, 0);
            try rig.own(datagram);
            rig.scratch.file("text", "no socket");
            const file = c.open(rig.scratch.path("text"), .{ .ACCMODE = .RDONLY });
            try rig.own(file);
            for ([_]sys.Fd{ pipe[0], datagram, file, -1, 100_000 }) |fd|
                try expectError(error.NotStream, rig.context.adopt(fd, .{}, .{}));
            const alone = try rig.system.socket();
            try rig.own(alone);
            try expectError(error.Unexpected, rig.context.adopt(alone, .{}, .{}));
            const fd = (try rig.pair(.{})).fd;
            try expectError(error.InvalidArgument, rig.context.adopt(fd, .{ .descriptors_max = 254 }, .{}));
            const taken = try rig.pair(.{});
            const held = (try rig.context.connectionOf(taken.handle)).fd;
            try expectError(error.Unexpected, rig.context.adopt(held, .{}, .{}));
            for ([_]sys.Fd{ pipe[0], datagram, file, alone, fd, held }) |stays| try expect(rig.system.isOpen(stays));
            _ = try rig.context.write(taken.handle, "unharmed");
            try rig.expectDrinks(taken.fd, "unharmed");
        }

        test "a socket that was asked for more than bytes tells no more than bytes" {
            if (builtin.os.tag != .linux) return error.SkipZigTest;
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            const so_passcred = 16;
            const on: c_int = 1;
            for ([_]u32{ 0, 4 }) |descriptors_max| {
                rig.forget();
                const fds = try rig.system.pair();
                try rig.own(fds[1]);
                try expectEqual(0, c.setsockopt(fds[0], c.SOL.SOCKET, so_passcred, &on, @sizeOf(c_int)));
                const connection = try rig.context.adopt(fds[0], .{ .descriptors_max = descriptors_max }, .{});
                try rig.feedMessage(fds[1], "just this");
                try rig.until(.message_rx, 1);
                try rig.expectMessages(connection, &.{"just this"});
            }
            // Who waited before it changed hands has it from before.
            rig.forget();
            const place = rig.scratch.path("credentials");
            const listener = try rig.system.socket();
            try rig.system.bind(listener, place);
            try rig.system.listen(listener, 4);
            try expectEqual(0, c.setsockopt(listener, c.SOL.SOCKET, so_passcred, &on, @sizeOf(c_int)));
            const client = try rig.system.socket();
            try rig.own(client);
            try rig.system.connect(client, place);
            _ = try rig.context.adopt(listener, .{}, .{});
            try rig.feedMessage(client, "just this");
            try rig.until(.message_rx, 1);
        }

        test "a connection that is in the middle of something gives no copies" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            var room: [2]sys.Fd = undefined;
            const half = try rig.pair(.{});
            try rig.feed(half.fd, "\x00\x00");
            for (0..3) |_| _ = try rig.wait(0);
            try expectError(error.Unfinished, rig.context.copies(half.handle, &room));
            try rig.feed(half.fd, "\x00\x00");
            try rig.until(.message_rx, 1);
            try rig.own((try rig.context.copies(half.handle, &room))[0]);
            _ = try rig.fill(half);
            try expectError(error.Unfinished, rig.context.copies(half.handle, &room));
            const timer = try rig.context.addTimer(std.time.ns_per_s, 0);
            for ([_]Handle{ timer, .none, .from(12345) }) |wrong|
                try expectError(error.Closed, rig.context.copies(wrong, &room));
        }

        test "a service goes over with its name: both accept meanwhile, who leaves leaves it, and who has it gives it up" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            const old = try rig.serve("moves", .{}, .{});
            var other: ipc.Context = undefined;
            try other.init(testing.allocator, .{}, .{ .poller = kind });
            var other_is_open = true;
            defer if (other_is_open) other.deinit() catch unreachable;

            var room: [2]sys.Fd = undefined;
            const copies = try rig.context.copies(old, &room);
            try expectEqual(2, copies.len);
            const claim = try claims.Claim.takeOver(&other.system, &rig.directory, "moves", copies[0], copies[1]);
            const new = try other.addService(claim, .{}, .{});
            // Each has the listener now, and accepts from it when it is asked first.
            _ = try rig.connect("moves");
            try rig.until(.connection, 1);
            const second = try rig.connect("moves");
            try expect(try other.wait(10 * std.time.ns_per_s, 0, 0, Rig.code) > 0);
            try expectEqual(.connection, other.batch.events[0].type);
            try expectEqual(new, other.batch.events[0].origin);

            try rig.context.close(old, .leave);
            try expect(rig.scratch.exists("run/moves"));
            try expect(rig.scratch.exists("run/moves.lock"));
            try expectError(error.AlreadyServed, claims.Claim.make(&rig.system, &rig.directory, "moves", .{}));
            const inspected = try claims.inspect(&rig.system, &rig.directory, "moves");
            try expectEqual(.live, inspected.state);
            try expectEqual(rig.system.processId(), inspected.pid);
            _ = try rig.connect("moves");
            try expect(try other.wait(10 * std.time.ns_per_s, 0, 0, Rig.code) > 0);
            try expectEqual(.connection, other.batch.events[0].type);
            _ = rig.sendSome(second, "\x00\x00\x00\x00");
            try expect(try other.wait(10 * std.time.ns_per_s, 0, 0, Rig.code) > 0);

            try other.close(new, .now);
            try expect(!rig.scratch.exists("run/moves"));
            try expect(!rig.scratch.exists("run/moves.lock"));
            try other.deinit();
            other_is_open = false;
            const again = try rig.serve("moves", .{}, .{});
            try rig.context.close(again, .now);
        }

        test "what does not serve the name, or does not hold its lock, takes nothing over" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            const service = try rig.serve("mine", .{}, .{});
            const another = try rig.serve("another", .{}, .{});
            var room: [2]sys.Fd = undefined;
            for (try rig.context.copies(service, &room)) |fd| try rig.own(fd);
            const socket, const lock = room;
            for (try rig.context.copies(another, &room)) |fd| try rig.own(fd);
            const other_socket, const other_lock = room;
            const connected = (try rig.pair(.{})).fd;
            rig.scratch.file("text", "no lock");
            const file = c.open(rig.scratch.path("text"), .{ .ACCMODE = .RDWR, .CLOEXEC = true });
            try rig.own(file);
            const path = rig.scratch.path("run/mine.lock");
            // They lead to the lock, and do not hold it, or cannot.
            const reads = c.open(path, .{ .ACCMODE = .RDONLY, .CLOEXEC = true });
            const writes = c.open(path, .{ .ACCMODE = .WRONLY, .CLOEXEC = true });
            const own = c.open(path, .{ .ACCMODE = .RDWR, .CLOEXEC = true });
            for ([_]sys.Fd{ reads, writes, own }) |fd| try rig.own(fd);
            for ([_][2]sys.Fd{
                .{ other_socket, lock }, .{ socket, other_lock }, .{ lock, socket },      .{ socket, socket },
                .{ connected, lock },    .{ socket, file },       .{ socket, connected }, .{ socket, reads },
                .{ socket, writes },     .{ socket, own },        .{ -1, lock },          .{ socket, -1 },
                .{ 100_000, lock },      .{ socket, 100_000 },
            }) |pair| {
                const taken = claims.Claim.takeOver(&rig.system, &rig.directory, "mine", pair[0], pair[1]);
                try expectError(error.NotService, taken);
                for (pair) |fd| try expect(fd < 0 or fd >= 100_000 or rig.system.isOpen(fd));
            }
            if (builtin.os.tag == .linux) {
                const only_path = c.open(path, .{ .PATH = true, .CLOEXEC = true });
                try rig.own(only_path);
                const taken = claims.Claim.takeOver(&rig.system, &rig.directory, "mine", socket, only_path);
                try expectError(error.NotService, taken);
            }
            try expectError(error.NotService, claims.Claim.takeOver(&rig.system, &rig.directory, "nobody", socket, lock));
            try expectError(error.NameInvalid, claims.Claim.takeOver(&rig.system, &rig.directory, "../mine", socket, lock));
            _ = try rig.connect("mine");
            try rig.until(.connection, 1);
            try expectEqual(service, (try rig.find(.connection, try rig.accepted(0))).origin);
            const inspected = try claims.inspect(&rig.system, &rig.directory, "mine");
            try expectEqual(.live, inspected.state);
        }
    };
}
