//! The memory of contexts: libc's, and pages of their own for large blocks, which go back to the system when they are
//! freed. libc would keep them: each large block that glibc's malloc is given back raises the size up to which it holds
//! on to what is freed (mallopt(3), M_MMAP_THRESHOLD), so that a few messages of 16 MiB would leave a service with 48 MiB
//! more for the rest of its life.
//!
//! Of blocks that are not so large it keeps some too: all that lie below anything still in use, and a JavaScript host
//! frees those of messages only when it collects garbage, many at once. While they come and go that spares new pages; when
//! a host goes to sleep and none has for a while, libc is asked to give them back (`relax`).

const std = @import("std");
const builtin = @import("builtin");
const sys = @import("sys");
const Alignment = std.mem.Alignment;
const libc = std.heap.c_allocator;
const pages = std.heap.page_allocator;

/// From so many bytes on a block has pages of its own. A round trip of 2 MiB takes half as long again with new pages
/// each time, one of 4 MiB hardly longer.
pub const mapped_bytes_min = 4 * 1024 * 1024;
/// What is smaller than this is not counted: glibc has a page for each of them in the end, and many together are rare.
const counted_bytes_min = 128 * 1024;
/// Less is not worth asking for.
const idle_bytes_min = 2 * mapped_bytes_min;
/// So long after the last block came or went.
const rest_ns = 100 * std.time.ns_per_ms;

/// Only glibc keeps them; others give each back when it is freed.
const libc_keeps = builtin.os.tag == .linux and builtin.abi.isGnu();
extern "c" fn malloc_trim(pad: usize) c_int;

/// How much of what libc was given back it may still hold, and when a block last came or went. Any thread frees, and
/// nothing else hangs on these: to be late by one block is no harm.
var idle_bytes: std.atomic.Value(u64) = .init(0);
var moved_ns: std.atomic.Value(u64) = .init(0);

/// For whoever is about to sleep: has libc give back what it holds in vain. Until then, when to ask again.
pub fn relax(now_ns: u64) ?u64 {
    if (!libc_keeps or idle_bytes.load(.monotonic) < idle_bytes_min) return null;
    const due_ns = moved_ns.load(.monotonic) +| rest_ns;
    if (now_ns < due_ns) return due_ns;
    idle_bytes.store(0, .monotonic);
    _ = malloc_trim(0);
    return null;
}

/// Whether there is anything to relax.
pub fn mayRelax() bool {
    return libc_keeps and idle_bytes.load(.monotonic) >= idle_bytes_min;
}

fn noteFreed(bytes: usize) void {
    if (!libc_keeps or bytes < counted_bytes_min or bytes >= mapped_bytes_min) return;
    _ = idle_bytes.fetchAdd(bytes, .monotonic);
    var system: sys.System = .{};
    moved_ns.store(system.monotonic(), .monotonic);
}

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
    noteFreed(memory.len);
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

test "what libc was given back it is asked for when nothing has moved for a while, and once" {
    if (!libc_keeps) return error.SkipZigTest;
    var system: sys.System = .{};
    // Those of other tests.
    _ = relax(std.math.maxInt(u64));
    try std.testing.expectEqual(null, relax(system.monotonic()));
    var blocks: [8][]u8 = undefined;
    var above: [2][]u8 = undefined;
    defer for (above) |block| allocator.free(block);
    // The second time glibc has them from its heap, where what comes after them keeps them.
    for (&above) |*block| {
        for (&blocks) |*large| {
            large.* = try allocator.alloc(u8, mapped_bytes_min - 1);
            @memset(large.*, 0xa5);
        }
        block.* = try allocator.alloc(u8, 100);
        for (blocks) |large| allocator.free(large);
    }
    const kept = try residentBytes();
    const now_ns = system.monotonic();
    const due_ns = relax(now_ns).?;
    try std.testing.expect(due_ns <= now_ns + rest_ns);
    try std.testing.expectEqual(null, relax(due_ns));
    try std.testing.expect(try residentBytes() + 4 * mapped_bytes_min < kept);
    try std.testing.expect(!mayRelax());
}

fn residentBytes() !usize {
    const fd = std.c.open("/proc/self/statm", .{});
    if (fd < 0) return error.SkipZigTest;
    defer _ = std.c.close(fd);
    var buffer: [200]u8 = undefined;
    const count = std.c.read(fd, &buffer, buffer.len);
    if (count < 0) return error.SkipZigTest;
    var words = std.mem.splitScalar(u8, buffer[0..@intCast(count)], ' ');
    _ = words.next();
    return try std.fmt.parseInt(usize, words.next().?, 10) * std.heap.pageSize();
}

test "it is an allocator like any other" {
    try std.heap.testAllocator(allocator);
    try std.heap.testAllocatorAligned(allocator);
}
