//! Memory for bytes that are about to be overwritten. The allocator's own `alloc` and `free` fill memory with a
//! pattern in a safe build: that costs a queue as much as the copy it is for, and has the system back every page of a
//! large buffer before the first byte arrives.

const std = @import("std");
const Allocator = std.mem.Allocator;

pub const alignment: std.mem.Alignment = .@"16";
pub const Buffer = []align(alignment.toByteUnits()) u8;

pub fn alloc(allocator: Allocator, bytes: usize) error{OutOfMemory}!Buffer {
    if (bytes == 0) return &.{};
    const memory = allocator.rawAlloc(bytes, alignment, @returnAddress()) orelse return error.OutOfMemory;
    return @alignCast(memory[0..bytes]);
}

/// Keeps what is in it, as far as it goes. On failure the buffer stays what it was.
pub fn resize(allocator: Allocator, buffer: Buffer, bytes: usize) error{OutOfMemory}!Buffer {
    if (buffer.len > 0 and bytes > 0) {
        // The system can move the pages of a large buffer without copying them.
        if (allocator.rawRemap(buffer, alignment, bytes, @returnAddress())) |memory|
            return @alignCast(memory[0..bytes]);
    }
    const other = try alloc(allocator, bytes);
    const kept = @min(buffer.len, bytes);
    @memcpy(other[0..kept], buffer[0..kept]);
    free(allocator, buffer);
    return other;
}

pub fn free(allocator: Allocator, buffer: Buffer) void {
    if (buffer.len > 0) allocator.rawFree(buffer, alignment, @returnAddress());
}

test "a buffer keeps its bytes when it grows and shrinks, and is given back" {
    const allocator = std.testing.allocator;
    var buffer = try alloc(allocator, 3);
    @memcpy(buffer, "abc");
    buffer = try resize(allocator, buffer, 100_000);
    try std.testing.expectEqualStrings("abc", buffer[0..3]);
    buffer = try resize(allocator, buffer, 2);
    try std.testing.expectEqualStrings("ab", buffer);
    free(allocator, buffer);
    free(allocator, try alloc(allocator, 0));
}

test "no memory: the buffer stays what it was" {
    var failures: std.testing.FailingAllocator = .init(std.testing.allocator, .{
        .fail_index = 1,
        .resize_fail_index = 0,
    });
    const allocator = failures.allocator();
    const buffer = try alloc(allocator, 3);
    defer free(allocator, buffer);
    @memcpy(buffer, "abc");
    try std.testing.expectError(error.OutOfMemory, resize(allocator, buffer, 100_000));
    try std.testing.expectEqualStrings("abc", buffer);
}
