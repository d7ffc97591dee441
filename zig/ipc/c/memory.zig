//! The memory of contexts: libc's, and pages of their own for large blocks, which go back to the system when they are
//! freed. libc would keep them: each large block that glibc's malloc is given back raises the size up to which it holds
//! on to what is freed (mallopt(3), M_MMAP_THRESHOLD), so that a few messages of 16 MiB would leave a service with 48 MiB
//! more for the rest of its life.

const std = @import("std");
const sys = @import("sys");
const Alignment = std.mem.Alignment;
const libc = std.heap.c_allocator;
const pages = std.heap.page_allocator;

/// From so many bytes on a block has pages of its own. A round trip of 2 MiB takes half as long again with new pages
/// each time, one of 4 MiB hardly longer; and of blocks of less than 4 MiB libc keeps no more than 8 MiB.
pub const mapped_bytes_min = 4 * 1024 * 1024;

pub const allocator: std.mem.Allocator = .{ .ptr = undefined, .vtable = &.{
    .alloc = alloc,
    .resize = resize,
    .remap = remap,
    .free = free,
} };

/// A block that crosses the bound is copied to its new owner, so that its length alone tells whose it is.
fn ownerOf(bytes: usize) std.mem.Allocator {
    return if (bytes >= mapped_bytes_min) pages else libc;
}

fn staysWithOwner(memory: []const u8, bytes: usize) bool {
    return (memory.len >= mapped_bytes_min) == (bytes >= mapped_bytes_min);
}

fn alloc(_: *anyopaque, bytes: usize, alignment: Alignment, address: usize) ?[*]u8 {
    const memory = ownerOf(bytes).rawAlloc(bytes, alignment, address) orelse return null;
    if (bytes >= mapped_bytes_min) sys.preferLargePages(memory[0..bytes]);
    return memory;
}

fn resize(_: *anyopaque, memory: []u8, alignment: Alignment, bytes: usize, address: usize) bool {
    if (!staysWithOwner(memory, bytes)) return false;
    return ownerOf(bytes).rawResize(memory, alignment, bytes, address);
}

fn remap(_: *anyopaque, memory: []u8, alignment: Alignment, bytes: usize, address: usize) ?[*]u8 {
    if (!staysWithOwner(memory, bytes)) return null;
    return ownerOf(bytes).rawRemap(memory, alignment, bytes, address);
}

fn free(_: *anyopaque, memory: []u8, alignment: Alignment, address: usize) void {
    ownerOf(memory.len).rawFree(memory, alignment, address);
}

test "blocks on both sides of the bound keep their bytes as they cross it" {
    const sizes = [_]usize{ 1, 1000, mapped_bytes_min - 1, mapped_bytes_min, 5 * mapped_bytes_min, mapped_bytes_min + 1, 10 };
    var block = try allocator.alloc(u8, 1);
    block[0] = 0xa5;
    for (sizes) |bytes| {
        block = try allocator.realloc(block, bytes);
        try std.testing.expectEqual(0xa5, block[0]);
        block[bytes - 1] = 0xa5;
    }
    allocator.free(block);
}

test "it is an allocator like any other" {
    try std.heap.testAllocator(allocator);
    try std.heap.testAllocatorAligned(allocator);
}
