//! No memory: each allocation of a context's life fails once, and nothing is left behind.

const std = @import("std");
const Kind = @import("../poller/poller.zig").Kind;
const rigs = @import("rig.zig");
const Rig = rigs.Rig;
const testing = std.testing;

pub fn Suite(comptime kind: Kind) type {
    return struct {
        test "whichever allocation fails, it is told of, and nothing is left behind" {
            var index: usize = 0;
            while (true) : (index += 1) {
                var failing: std.testing.FailingAllocator = .init(testing.allocator, .{ .fail_index = index });
                live(kind, failing.allocator()) catch |failure| {
                    errdefer std.debug.print("at allocation {d}\n", .{index});
                    if (failure != error.OutOfMemory) return failure;
                    if (!failing.has_induced_failure) return error.TestUnexpectedResult;
                };
                try testing.expectEqual(failing.allocated_bytes, failing.freed_bytes);
                if (!failing.has_induced_failure) return;
            }
        }
    };
}

/// All that takes memory: serving, connecting, waiting, receiving in one piece and in many, sending to those who do not
/// read, reports, closing.
fn live(kind: Kind, allocator: std.mem.Allocator) !void {
    var rig: Rig = undefined;
    try rig.beginWith(kind, .{ .sizes = .{ .outbox_bytes = 4096 } }, allocator);
    defer rig.end();
    _ = try rig.serve("pong", .{}, .{ .users = &.{rig.system.userId()}, .groups = &.{ 1, 2 } });
    _ = try rig.context.addTimer(0, 0);
    const watched = try rig.connect("pong");
    const external = try rig.context.addExternal(watched);
    rig.scratch.file("text", "always ready");
    const file = std.c.open(rig.scratch.path("text"), .{ .ACCMODE = .RDONLY, .CLOEXEC = true });
    defer rig.system.close(file);
    const plain = try rig.context.addExternal(file);
    try settle(&rig);
    rig.context.close(plain, .now) catch {};
    rig.context.close(external, .now) catch {};

    const peer = try rig.pair(.{});
    const long = try testing.allocator.alloc(u8, 700_000);
    defer testing.allocator.free(long);
    @memset(long, 'l');
    for ([_][]const u8{ "\x00\x00\x00\x05he", "llo", "\x00\x0a\xae\x60" }) |bytes| {
        _ = rig.sendSome(peer.fd, bytes);
        try settle(&rig);
    }
    var at: usize = 0;
    while (at < long.len) {
        const sent = rig.sendSome(peer.fd, long[at..]);
        try settle(&rig);
        if (sent == 0) break;
        at += sent;
    }
    var queued: u64 = 0;
    while (queued < 100_000) queued = try taken(rig.context.schedule(peer.handle, long[0..50_000], 5)) orelse break;
    queued = try taken(rig.context.write(peer.handle, long[0..50_000])) orelse 0;
    try settle(&rig);
    rig.context.close(peer.handle, .drain) catch {};
    try settle(&rig);
}

/// Null where the connection has ended, for want of memory or because of that.
fn taken(result: anytype) !?u64 {
    return result catch |failure| switch (failure) {
        error.Closed, error.Ended => null,
        else => |other| other,
    };
}

fn settle(rig: *Rig) !void {
    for (0..4) |_| _ = try rig.wait(0);
}
