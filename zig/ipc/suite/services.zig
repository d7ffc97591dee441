//! Services: who is let in, how many, and what happens when there is no descriptor left to let anybody in with.

const std = @import("std");
const sys = @import("sys");
const accept_max = @import("../acceptor.zig").accept_max;
const ipc = @import("../ipc.zig");
const Kind = @import("../poller/poller.zig").Kind;
const rigs = @import("rig.zig");
const Rig = rigs.Rig;
const testing = std.testing;
const expect = testing.expect;
const expectEqual = testing.expectEqual;
const expectError = testing.expectError;

pub fn Suite(comptime kind: Kind) type {
    return struct {
        test "a connection says who is at its other end" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            _ = try rig.serve("pong", .{}, .{});
            _ = try rig.connect("pong");
            try rig.until(.connection, 1);
            const connection = try rig.accepted(0);
            const event = try rig.find(.connection, connection);
            const peer = try rig.context.peer(connection);
            try expectEqual(rig.system.userId(), event.length);
            try expectEqual(peer.uid, event.length);
            try expectEqual(peer.gid, event.offset);
            try expectEqual(peer.pid, event.detail);
            try expectEqual(rig.system.processId(), peer.pid);
            if (try rig.context.peerProcess(connection)) |fd| rig.system.close(fd);
        }

        test "who is not allowed is turned away, told of and counted" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            const other_user = rig.system.userId() +% 1;
            const service = try rig.serve("pong", .{}, .{ .users = &.{other_user} });
            const client = try rig.connect("pong");
            _ = rig.sendSome(client, "\x00\x00\x00\x01x");
            try rig.until(.@"error", 1);
            const event = try rig.find(.@"error", service);
            try expectEqual(.not_allowed, event.reason);
            try expectEqual(rig.system.userId(), event.length);
            try rig.expectOver(client);
            try expectEqual(0, rig.countOf(.connection));
            const figures = try rig.context.statisticsOf(service);
            try expectEqual(1, figures.reasons[@intFromEnum(event.reason)]);
            try expectEqual(0, figures.connections_open);
            try expectEqual(0, figures.bytes_received);
        }

        test "a service has as many connections as it may, and one more when one has gone" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            const service = try rig.serve("pong", .{ .connections_max = 2 }, .{});
            const first = try rig.connect("pong");
            _ = try rig.connect("pong");
            try rig.until(.connection, 2);
            const third = try rig.connect("pong");
            try rig.until(.@"error", 1);
            try expectEqual(.connections_limit, (try rig.find(.@"error", service)).reason);
            try rig.expectOver(third);
            rig.drop(first);
            try rig.until(.disconnection, 1);
            _ = try rig.connect("pong");
            try rig.until(.connection, 3);
        }

        test "hundreds of clients at once are all let in" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            _ = try rig.serve("pong", .{}, .{});
            var clients: [200]sys.Fd = undefined;
            for (&clients) |*client| client.* = try rig.connect("pong");
            for (clients) |client| try rig.feedMessage(client, "hello");
            try rig.until(.message_rx, clients.len);
            try expectEqual(clients.len, rig.countOf(.connection));
        }

        test "who comes in the middle of a flood is heard with those about him, and not behind all of it" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            _ = try rig.serve("pong", .{}, .{});
            var clients: [10 * accept_max]sys.Fd = undefined;
            for (&clients) |*client| client.* = try rig.connect("pong");
            for (clients) |client| try rig.feedMessage(client, "hello");
            while (rig.countOf(.message_rx) < clients.len) {
                _ = try rig.wait(10 * std.time.ns_per_ms);
                try expect(rig.countOf(.connection) - rig.countOf(.message_rx) <= 2 * accept_max);
            }
        }

        test "without a descriptor accepting pauses and resumes, and nobody else notices" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            const service = try rig.serve("pong", .{}, .{});
            const peer = try rig.pair(.{});
            const first = try rig.connect("pong");
            const second = try rig.connect("pong");
            {
                const limit = Limit.none();
                defer limit.restore();
                try rig.until(.@"error", 1);
                try expectEqual(.descriptor_limit, (try rig.find(.@"error", service)).reason);
                try rig.feedMessage(peer.fd, "unharmed");
                try rig.until(.message_rx, 1);
                // It is tried again, and told of once.
                try rig.sleep(60 * std.time.ns_per_ms);
                try rig.untilQuiet();
                try expectEqual(0, rig.countOf(.connection));
                try expectEqual(1, rig.countOf(.@"error"));
            }
            try rig.until(.connection, 2);
            for ([_]sys.Fd{ first, second }) |client| try rig.feedMessage(client, "at last");
            try rig.until(.message_rx, 3);
            // It is watched again as well.
            _ = try rig.connect("pong");
            try rig.until(.connection, 3);
        }

        test "without a descriptor no context starts, and nothing of it stays" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            const limit = Limit.none();
            defer limit.restore();
            var context: ipc.Context = undefined;
            try expectError(error.DescriptorLimit, context.init(testing.allocator, .{}, .{ .poller = kind }));
        }

        test "a poller that the system lacks is refused" {
            for (std.enums.values(Kind)) |other| {
                var context: ipc.Context = undefined;
                if (context.init(testing.allocator, .{}, .{ .poller = other })) {
                    try expect(other.isAvailable());
                    try context.deinit();
                } else |failure| {
                    try expect(!other.isAvailable());
                    try expectEqual(error.NotAvailable, failure);
                }
            }
        }

        test "a service that is closed while accepting pauses" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            const service = try rig.serve("pong", .{}, .{});
            const client = try rig.connect("pong");
            {
                const limit = Limit.none();
                defer limit.restore();
                try rig.until(.@"error", 1);
            }
            try rig.context.close(service, .now);
            try rig.sleep(60 * std.time.ns_per_ms);
            try rig.untilQuiet();
            try rig.expectOver(client);
            try expectEqual(0, rig.context.table.used);
        }

        test "connections go on when their service is closed, and its name is free" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            const service = try rig.serve("pong", .{}, .{});
            const client = try rig.connect("pong");
            try rig.until(.connection, 1);
            try rig.context.close(service, .drain);
            try expectError(error.Closed, rig.context.close(service, .drain));
            try expectError(error.NotFound, rig.connect("pong"));
            try rig.feedMessage(client, "still here");
            try rig.until(.message_rx, 1);
            _ = try rig.serve("pong", .{}, .{});
            _ = try rig.connect("pong");
            try rig.until(.connection, 2);
        }

        test "several contexts live side by side in one process" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            _ = try rig.serve("pong", .{}, .{});
            var client: ipc.Context = undefined;
            try client.init(testing.allocator, .{}, .{ .poller = kind });
            const fd = try ipc.claim.connectTo(&client.system, &rig.directory, "pong");
            const there = try client.addConnection(fd, .{});
            _ = try client.write(there, "hello");
            try rig.until(.message_rx, 1);
            const here = try rig.accepted(0);
            _ = try rig.context.write(here, "hello back");
            while (true) {
                const count = try client.wait(-1, 0, 0, Rig.code);
                if (count == 0) continue;
                const event = client.batch.events[0];
                try expectEqual(.message_rx, event.type);
                try testing.expectEqualStrings("hello back", client.batch.inbox[event.offset..][0..event.length]);
                break;
            }
            try client.deinit();
            try rig.until(.disconnection, 1);
            try rig.expectEnd(here, .peer_closed);
        }

        test "lists of who is allowed have an end" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            const many: [ipc.service.Allow.entries_max + 1]u32 = @splat(0);
            try expectError(error.InvalidArgument, rig.serve("pong", .{}, .{ .users = &many }));
            try expectError(error.InvalidArgument, rig.serve("pong", .{}, .{ .groups = &many }));
            _ = try rig.serve("pong", .{}, .{ .groups = many[1..] });
        }

        test "the figures add up" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            const service = try rig.serve("pong", .{}, .{});
            const client = try rig.connect("pong");
            const peer = try rig.pair(.{});
            try rig.feedMessage(client, "hello");
            try rig.feedMessage(client, "");
            try rig.until(.message_rx, 2);
            const connection = try rig.accepted(0);
            _ = try rig.context.write(connection, "answer");
            _ = try rig.context.schedule(peer.handle, "queued", 0);

            const own = try rig.context.statisticsOf(connection);
            const ours = try rig.context.statisticsOf(service);
            const all = try rig.context.statisticsOf(.none);
            try expectEqual(2, own.messages_received);
            try expectEqual(4 + 5 + 4, own.bytes_received);
            try expectEqual(1, own.messages_sent);
            try expectEqual(4 + 6, own.bytes_sent);
            try expectEqual(own.messages_received, ours.messages_received);
            try expectEqual(own.bytes_sent, ours.bytes_sent);
            try expectEqual(own.bytes_sent, all.bytes_sent);
            try expectEqual(4 + 6, all.queued_bytes);
            try expectEqual(0, ours.queued_bytes);
            try expectEqual(1, all.connections_accepted);
            try expectEqual(1, all.connections_made);
            try expectEqual(2, all.connections_open);
            try expectEqual(1, ours.connections_open);
            _ = try rig.wait(0);
            try expectEqual(0, (try rig.context.statisticsOf(.none)).queued_bytes);
        }

        test "descriptors are counted as they are held" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            const outside = rig.descriptorsElsewhere();
            try rig.expectDescriptors(outside);
            const service = try rig.serve("pong", .{}, .{});
            try rig.expectDescriptors(outside);
            const client = try rig.connect("pong");
            try rig.until(.connection, 1);
            try rig.expectDescriptors(outside + 1);
            rig.drop(client);
            try rig.until(.disconnection, 1);
            try rig.expectDescriptors(outside);
            try rig.context.close(service, .now);
            try rig.expectDescriptors(outside);
        }
    };
}

/// The descriptor limit of this process, lowered so far that it can open nothing.
const Limit = struct {
    before: std.c.rlimit,

    fn none() Limit {
        var limit: Limit = undefined;
        std.debug.assert(std.c.getrlimit(.NOFILE, &limit.before) == 0);
        // Descriptors are given out lowest first, so this is the next.
        const next = std.c.dup(0);
        std.debug.assert(next >= 0 and std.c.close(next) == 0);
        const lowered: std.c.rlimit = .{ .cur = @intCast(next), .max = limit.before.max };
        std.debug.assert(std.c.setrlimit(.NOFILE, &lowered) == 0);
        return limit;
    }

    fn restore(limit: Limit) void {
        std.debug.assert(std.c.setrlimit(.NOFILE, &limit.before) == 0);
    }
};
