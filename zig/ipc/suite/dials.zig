//! Other machines, as this one: who is dialed answers or does not, and who listens is found.

const std = @import("std");
const sys = @import("sys");
const rigs = @import("rig.zig");
const Kind = @import("../poller/poller.zig").Kind;
const Limits = @import("../connection.zig").Limits;
const Rig = rigs.Rig;
const c = std.c;
const testing = std.testing;
const expect = testing.expect;
const expectEqual = testing.expectEqual;
const expectError = testing.expectError;

const Address = sys.internet.Address;

fn loopback(port: u32) Address {
    var address: Address = .{ .family = .ip4, .port = port };
    address.bytes[0..4].* = .{ 127, 0, 0, 1 };
    return address;
}

pub fn Suite(comptime kind: Kind) type {
    return struct {
        test "who dials a listener gets a connection, and each end knows where the other is" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            const service = try rig.context.listenAt(loopback(0), 8, .{});
            const place = (try rig.context.addressOf(service)).?;
            try expect(place.port > 0);
            const dialed = try rig.context.dial(place, .{});
            try rig.until(.connection, 2);
            var accepted = try rig.accepted(0);
            if (accepted == dialed) accepted = try rig.accepted(1);
            const told = try rig.find(.connection, dialed);
            try expectEqual(.none, told.origin);
            try expectEqual(std.math.maxInt(u32), told.length);
            try expectEqual(service, (try rig.find(.connection, accepted)).origin);
            try expectEqual(place, (try rig.context.addressOf(dialed)).?);
            try expect((try rig.context.addressOf(accepted)).?.port != place.port);
            _ = try rig.context.write(dialed, "far away");
            try rig.until(.message_rx, 1);
            try rig.expectMessages(accepted, &.{"far away"});
            // No descriptor can go there, and none is lost in silence.
            try expectError(error.CarriesNone, rig.context.sendRights(dialed, "with", &.{0}));
            _ = try rig.context.write(dialed, "without");
            try rig.until(.message_rx, 2);
            try rig.context.close(dialed, .drain);
            try rig.until(.disconnection, 2);
            try rig.expectEnd(accepted, .peer_closed);
            try expectError(error.Closed, rig.context.addressOf(dialed));
            try rig.expectDescriptors(rig.descriptorsElsewhere());
        }

        test "where nobody listens the disconnection says why, and nothing could be sent before" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            const service = try rig.context.listenAt(loopback(0), 8, .{});
            const place = (try rig.context.addressOf(service)).?;
            try rig.context.close(service, .now);
            const dialed = try rig.context.dial(place, .{});
            try expectError(error.Closed, rig.context.write(dialed, "too early"));
            try expectError(error.Closed, rig.context.schedule(dialed, "too early", 1));
            try expectError(error.Closed, rig.context.sendRights(dialed, "too early", &.{0}));
            try rig.until(.disconnection, 1);
            const event = try rig.find(.disconnection, dialed);
            try expectEqual(.system, event.reason);
            try expectEqual(@intFromEnum(c.E.CONNREFUSED), event.detail);
            try expectEqual(0, event.length);
            try expectEqual(0, rig.countOf(.connection));
        }

        test "what was refused to one that is still being made is not lost with it" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            const service = try rig.context.listenAt(loopback(0), 8, .{});
            const dialed = try rig.context.dial((try rig.context.addressOf(service)).?, .{});
            try expectError(error.Closed, rig.context.write(dialed, "too early"));
            try rig.until(.connection, 2);
            _ = try rig.context.write(dialed, "in time");
            try rig.until(.message_rx, 1);
            const accepted = if (try rig.accepted(0) == dialed) try rig.accepted(1) else try rig.accepted(0);
            try rig.context.close(accepted, .now);
            try rig.until(.disconnection, 2);
            try rig.expectEnd(dialed, .peer_closed);
            try expectEqual(0, (try rig.context.statisticsOf(.none)).messages_lost);
        }

        test "an address that never answers is waited for until its owner has had enough" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            // One that accepts nobody, and lets next to nobody wait.
            const listener = try sys.internet.listen(&rig.system, loopback(0), 0);
            try rig.own(listener);
            const place = sys.internet.addressOf(listener, .own).?;
            var dialed: [8]@TypeOf(try rig.context.dial(place, .{})) = undefined;
            for (&dialed) |*one| one.* = try rig.context.dial(place, .{});
            for (0..5) |_| _ = try rig.wait(5 * std.time.ns_per_ms);
            const arrived = rig.countOf(.connection);
            // Elsewhere the backlog may be larger than it was asked to be.
            if (arrived == dialed.len) return error.SkipZigTest;
            try expectEqual(0, rig.countOf(.disconnection));
            for (dialed) |one| try rig.context.pause(one, true);
            for (dialed, 0..) |one, index| try rig.context.close(one, if (index % 2 == 0) .drain else .now);
            try rig.until(.disconnection, dialed.len);
            for (dialed) |one| try rig.expectEnd(one, .closed);
            try expectEqual(arrived, rig.countOf(.connection));
            try rig.expectDescriptors(rig.descriptorsElsewhere());
        }

        test "a context goes while it dials" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            const service = try rig.context.listenAt(loopback(0), 8, .{});
            _ = try rig.context.dial((try rig.context.addressOf(service)).?, .{});
        }

        test "a port that is taken, an address of another machine, and what is no address are refused" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            const service = try rig.context.listenAt(loopback(0), 8, .{});
            const place = (try rig.context.addressOf(service)).?;
            try expectError(error.AddressInUse, rig.context.listenAt(place, 8, .{}));
            var elsewhere = loopback(0);
            elsewhere.bytes[0..4].* = .{ 192, 0, 2, 1 };
            try expectError(error.AddressMissing, rig.context.listenAt(elsewhere, 8, .{}));
            for ([_]Address{
                loopback(65536),
                .{ .family = @enumFromInt(0) },
                .{ .family = @enumFromInt(5), .port = 1 },
            }) |wrong| {
                try expectError(error.InvalidArgument, rig.context.listenAt(wrong, 8, .{}));
                try expectError(error.InvalidArgument, rig.context.dial(wrong, .{}));
            }
            const peer = try rig.pair(.{});
            try expectEqual(null, try rig.context.addressOf(peer.handle));
            try expectError(error.Closed, rig.context.addressOf(.from(12345)));
        }

        test "a listener and a connection of TCP can be adopted" {
            var rig: Rig = undefined;
            try rig.begin(kind);
            defer rig.end();
            const listener = try sys.internet.listen(&rig.system, loopback(0), 8);
            const place = sys.internet.addressOf(listener, .own).?;
            const service = try rig.context.adopt(listener, .{}, .{ .everyone = true });
            const fd = try sys.internet.dial(&rig.system, place);
            try rig.until(.connection, 1);
            const adopted = try rig.context.adopt(fd, .{}, .{});
            _ = try rig.context.write(adopted, "over");
            try rig.until(.message_rx, 1);
            try rig.expectMessages(try rig.accepted(0), &.{"over"});
            try expectEqual(service, (try rig.find(.connection, try rig.accepted(0))).origin);
            // As with one that was made to listen here: of those from elsewhere no user is known, and so none asked for.
            const listed = try sys.internet.listen(&rig.system, loopback(0), 8);
            const listed_place = sys.internet.addressOf(listed, .own).?;
            _ = try rig.context.adopt(listed, .{}, .{ .users = &.{1} });
            _ = try rig.context.dial(listed_place, .{});
            try rig.until(.connection, 3);
        }
    };
}
