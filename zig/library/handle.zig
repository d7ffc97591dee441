//! Handles: how an object is named outside the library: a connection, service, timer or external descriptor of a
//! context, or a sealed connection.
//!
//! A handle is an index and a generation in 31 bits (JavaScript keeps those as plain integers, and a negative
//! result stays free for codes). When a slot is given up its generation moves on, so that a stale handle finds
//! nothing instead of somebody else's object. Slots are reused oldest first, and only when `quarantine_min` of
//! them are free, so that a generation comes round again after two million uses at the earliest.

const std = @import("std");
const assert = std.debug.assert;

const index_bits = 20;
const generation_bits = 11;

/// How many objects one table can hold: what the index has room for.
pub const handles_max = 1 << index_bits;
pub const generation_max = (1 << generation_bits) - 1;
pub const quarantine_min = 1024;

pub const Handle = enum(u32) {
    none = 0,
    _,

    pub fn from(value: u32) Handle {
        return @enumFromInt(value);
    }

    pub fn number(handle: Handle) u32 {
        return @intFromEnum(handle);
    }

    pub fn index(handle: Handle) u32 {
        return @intFromEnum(handle) & (handles_max - 1);
    }

    pub fn generation(handle: Handle) u32 {
        return @intFromEnum(handle) >> index_bits;
    }

    pub fn pack(slot_index: u32, slot_generation: u32) Handle {
        assert(slot_generation >= 1 and slot_generation <= generation_max);
        return @enumFromInt(slot_generation << index_bits | slot_index);
    }
};

/// A table of `Object`s (a pointer or a small union of pointers) by handle.
pub fn TableType(comptime Object: type) type {
    return struct {
        slots: std.ArrayList(Slot) = .empty,
        free: std.Deque(u32) = .empty,
        used: u32 = 0,

        const Table = @This();
        const Slot = struct { object: ?Object, generation: u32 };

        pub fn deinit(table: *Table, allocator: std.mem.Allocator) void {
            table.slots.deinit(allocator);
            table.free.deinit(allocator);
            table.* = undefined;
        }

        pub fn add(
            table: *Table,
            allocator: std.mem.Allocator,
            object: Object,
        ) error{ OutOfMemory, HandleLimit }!Handle {
            if (table.free.len < quarantine_min and table.slots.items.len < handles_max) {
                try table.slots.ensureUnusedCapacity(allocator, 1);
                // Giving a handle up must not fail, so its place in `free` is made now.
                try table.free.ensureTotalCapacity(allocator, table.slots.items.len + 1);
                const slot_index: u32 = @intCast(table.slots.items.len);
                table.slots.appendAssumeCapacity(.{ .object = object, .generation = 1 });
                table.used += 1;
                return .pack(slot_index, 1);
            }
            const slot_index = table.free.popFront() orelse return error.HandleLimit;
            const slot = &table.slots.items[slot_index];
            assert(slot.object == null);
            slot.object = object;
            table.used += 1;
            return .pack(slot_index, slot.generation);
        }

        pub fn get(table: *const Table, handle: Handle) ?Object {
            const slot_index = handle.index();
            if (slot_index >= table.slots.items.len) return null;
            const slot = table.slots.items[slot_index];
            if (slot.generation != handle.generation()) return null;
            return slot.object;
        }

        pub fn remove(table: *Table, handle: Handle) void {
            assert(table.get(handle) != null);
            const slot = &table.slots.items[handle.index()];
            slot.object = null;
            slot.generation = if (slot.generation == generation_max) 1 else slot.generation + 1;
            table.free.pushBackAssumeCapacity(handle.index());
            table.used -= 1;
        }

        /// Walks the objects that are in use, in no promised order. The table may lose the object just returned.
        pub fn iterator(table: *const Table) Iterator {
            return .{ .table = table };
        }

        pub const Iterator = struct {
            table: *const Table,
            at: usize = 0,

            pub fn next(self: *Iterator) ?Object {
                while (self.at < self.table.slots.items.len) {
                    defer self.at += 1;
                    if (self.table.slots.items[self.at].object) |object| return object;
                }
                return null;
            }
        };
    };
}

test "a handle finds its object until it is removed, and never another's" {
    const allocator = std.testing.allocator;
    var table: TableType(*u32) = .{};
    defer table.deinit(allocator);
    var values: [3]u32 = .{ 1, 2, 3 };
    const first = try table.add(allocator, &values[0]);
    const second = try table.add(allocator, &values[1]);
    try std.testing.expect(first != .none and second != .none and first != second);
    try std.testing.expectEqual(&values[1], table.get(second).?);
    table.remove(first);
    try std.testing.expectEqual(null, table.get(first));
    try std.testing.expectEqual(null, table.get(.none));
    try std.testing.expectEqual(null, table.get(.from(std.math.maxInt(u32))));
    const third = try table.add(allocator, &values[2]);
    try std.testing.expect(third != first);
    try std.testing.expectEqual(@as(u32, 2), table.used);
}

test "a stale handle stays stale over a million reuses" {
    const allocator = std.testing.allocator;
    var table: TableType(*u32) = .{};
    defer table.deinit(allocator);
    var value: u32 = 0;
    const stale = try table.add(allocator, &value);
    table.remove(stale);
    for (0..1_000_000) |_| {
        const handle = try table.add(allocator, &value);
        try std.testing.expect(handle != stale);
        try std.testing.expect(handle.number() < 1 << 31);
        table.remove(handle);
    }
    try std.testing.expectEqual(@as(usize, quarantine_min), table.slots.items.len);
}

test "no memory: adding fails and changes nothing" {
    var value: u32 = 0;
    for (0..2) |failing| {
        var failures: std.testing.FailingAllocator = .init(std.testing.allocator, .{ .fail_index = failing });
        var table: TableType(*u32) = .{};
        defer table.deinit(failures.allocator());
        try std.testing.expectError(error.OutOfMemory, table.add(failures.allocator(), &value));
        try std.testing.expectEqual(@as(u32, 0), table.used);
    }
}
