//! The descriptors that a context holds for others: those that have arrived with messages of this batch, until its owner
//! takes them or the next batch begins, and how many there are of each user's, wherever they stand: arrived, beside a
//! message that is not whole yet, or waiting to be sent. That number is bounded, so that no user's processes take up the
//! table of this one.

const std = @import("std");
const sys = @import("sys");
const events = @import("event.zig");
const Event = events.Event;
const Allocator = std.mem.Allocator;
const assert = std.debug.assert;

/// How many can be with one batch, since their place in it is told with 23 bits.
const arrived_max = 1 << 23;

pub const Descriptors = struct {
    arrived: std.ArrayList(Arrived) = .empty,
    held: std.AutoHashMapUnmanaged(u32, u32) = .empty,
    /// Of all users.
    held_count: u32 = 0,

    const Arrived = struct { fd: sys.Fd, user: u32 };
    const taken: sys.Fd = -1;

    /// Before it, `closeArrived`.
    pub fn deinit(descriptors: *Descriptors, allocator: Allocator) void {
        assert(descriptors.arrived.items.len == 0);
        descriptors.arrived.deinit(allocator);
        descriptors.held.deinit(allocator);
        descriptors.* = undefined;
    }

    pub fn heldFor(descriptors: *const Descriptors, user: u32) u32 {
        return descriptors.held.get(user) orelse 0;
    }

    /// Makes sure that `hold` has memory for a user that comes new.
    pub fn reserve(descriptors: *Descriptors, allocator: Allocator) error{OutOfMemory}!void {
        try descriptors.held.ensureUnusedCapacity(allocator, 1);
    }

    /// After `reserve`.
    pub fn hold(descriptors: *Descriptors, user: u32, count: u32) void {
        if (count == 0) return;
        descriptors.held_count += count;
        const found = descriptors.held.getOrPutAssumeCapacity(user);
        found.value_ptr.* = if (found.found_existing) found.value_ptr.* + count else count;
    }

    pub fn release(descriptors: *Descriptors, user: u32, count: u32) void {
        if (count == 0) return;
        const held = descriptors.held.getPtr(user).?;
        held.* -= count;
        descriptors.held_count -= count;
        if (held.* == 0) assert(descriptors.held.remove(user));
    }

    /// These came with the message that `event` tells of; what it has already are the last that came.
    pub fn arrive(
        descriptors: *Descriptors,
        allocator: Allocator,
        event: *Event,
        user: u32,
        fds: []const sys.Fd,
    ) error{OutOfMemory}!void {
        if (fds.len == 0) return;
        const begin = descriptors.arrived.items.len;
        if (begin + fds.len > arrived_max) return error.OutOfMemory;
        try descriptors.arrived.ensureUnusedCapacity(allocator, fds.len);
        for (fds) |fd| descriptors.arrived.appendAssumeCapacity(.{ .fd = fd, .user = user });
        if (event.flags & events.flag_descriptors == 0) {
            event.flags |= events.flag_descriptors;
            event.detail = @intCast(begin << 8);
        }
        event.detail += @intCast(fds.len);
    }

    /// How many an event's `detail` speaks of.
    pub fn countOf(detail: i32) u32 {
        return @as(u8, @truncate(@as(u32, @bitCast(detail))));
    }

    /// Gives away those that came with a message of this batch. The caller owns what is in `out` then, which has room
    /// for them. Taken once, they are gone.
    pub fn take(descriptors: *Descriptors, detail: i32, out: []sys.Fd) error{Closed}![]sys.Fd {
        const place: u32 = @bitCast(detail);
        const begin = place >> 8;
        const count = countOf(detail);
        if (count == 0) return error.Closed;
        if (begin + count > descriptors.arrived.items.len or count > out.len) return error.Closed;
        const those = descriptors.arrived.items[begin..][0..count];
        for (those) |arrived| if (arrived.fd == taken) return error.Closed;
        for (those, out[0..count]) |*arrived, *fd| {
            fd.* = arrived.fd;
            arrived.fd = taken;
            descriptors.release(arrived.user, 1);
        }
        return out[0..count];
    }

    /// The batch is over: what nobody took is closed.
    pub fn closeArrived(descriptors: *Descriptors, system: anytype) void {
        for (descriptors.arrived.items) |arrived| {
            if (arrived.fd == taken) continue;
            system.close(arrived.fd);
            descriptors.release(arrived.user, 1);
        }
        descriptors.arrived.clearRetainingCapacity();
    }
};

test "each message has its own, once; what nobody takes is closed; and each user's are counted" {
    const allocator = std.testing.allocator;
    const Closing = struct {
        closed: std.ArrayList(sys.Fd) = .empty,
        fn close(closing: *@This(), fd: sys.Fd) void {
            closing.closed.append(allocator, fd) catch unreachable;
        }
    };
    var closing: Closing = .{};
    defer closing.closed.deinit(allocator);
    var descriptors: Descriptors = .{};
    defer descriptors.deinit(allocator);
    var one: Event = .{ .type = .message_rx, .source = .none };
    var other = one;
    try descriptors.reserve(allocator);
    descriptors.hold(7, 4);
    try descriptors.reserve(allocator);
    descriptors.hold(8, 2);
    try descriptors.arrive(allocator, &one, 7, &.{ 100, 101 });
    try descriptors.arrive(allocator, &one, 7, &.{102});
    try descriptors.arrive(allocator, &other, 8, &.{ 200, 201 });
    try std.testing.expectEqual(3, Descriptors.countOf(one.detail));

    var room: [sys.rights.descriptors_max]sys.Fd = undefined;
    try std.testing.expectEqualSlices(sys.Fd, &.{ 100, 101, 102 }, try descriptors.take(one.detail, &room));
    try std.testing.expectError(error.Closed, descriptors.take(one.detail, &room));
    for ([_]i32{ 0, 1 << 8, 1 << 20, (1 << 20) + 1, -1, std.math.minInt(i32) }) |detail|
        try std.testing.expectError(error.Closed, descriptors.take(detail, &room));
    try std.testing.expectError(error.Closed, descriptors.take(other.detail, room[0..1]));
    try std.testing.expectEqual(1, descriptors.heldFor(7));
    try std.testing.expectEqual(2, descriptors.heldFor(8));
    descriptors.closeArrived(&closing);
    try std.testing.expectEqualSlices(sys.Fd, &.{ 200, 201 }, closing.closed.items);
    try std.testing.expectEqual(0, descriptors.heldFor(8));
    descriptors.release(7, 1);
    try std.testing.expectEqual(0, descriptors.held.count());
}
