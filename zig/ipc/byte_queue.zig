//! Bytes that wait, in order, of which the front goes first. Each byte is moved once on average, and nothing is kept when
//! nothing waits.

const std = @import("std");
const Allocator = std.mem.Allocator;

pub const ByteQueue = struct {
    list: std.ArrayList(u8) = .empty,
    head: usize = 0,

    pub fn deinit(queue: *ByteQueue, allocator: Allocator) void {
        queue.list.deinit(allocator);
        queue.* = undefined;
    }

    pub fn bytes(queue: *const ByteQueue) []const u8 {
        return queue.list.items[queue.head..];
    }

    pub fn isEmpty(queue: *const ByteQueue) bool {
        return queue.list.items.len == queue.head;
    }

    pub fn append(queue: *ByteQueue, allocator: Allocator, more: []const u8) error{OutOfMemory}!void {
        try queue.list.appendSlice(allocator, more);
    }

    /// Puts `more` in front of everything.
    pub fn prepend(queue: *ByteQueue, allocator: Allocator, more: []const u8) error{OutOfMemory}!void {
        try queue.list.insertSlice(allocator, queue.head, more);
    }

    pub fn drop(queue: *ByteQueue, allocator: Allocator, count: usize) void {
        queue.head += count;
        const left = queue.list.items.len - queue.head;
        if (left == 0) {
            queue.list.clearAndFree(allocator);
        } else if (left <= queue.head) {
            // At least as many are gone as are left.
            @memmove(queue.list.items[0..left], queue.bytes());
            queue.list.shrinkRetainingCapacity(left);
        } else return;
        queue.head = 0;
    }
};

test "bytes leave in the order in which they came, and what was put in front first" {
    const allocator = std.testing.allocator;
    var queue: ByteQueue = .{};
    defer queue.deinit(allocator);
    try queue.append(allocator, "cdefg");
    try queue.prepend(allocator, "ab");
    queue.drop(allocator, 1);
    try std.testing.expectEqualStrings("bcdefg", queue.bytes());
    try queue.prepend(allocator, "A");
    try queue.append(allocator, "h");
    try std.testing.expectEqualStrings("Abcdefgh", queue.bytes());
    queue.drop(allocator, 6);
    try std.testing.expectEqualStrings("gh", queue.bytes());
    queue.drop(allocator, 2);
    try std.testing.expect(queue.isEmpty());
    try std.testing.expectEqual(0, queue.list.capacity);
}
