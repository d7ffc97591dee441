//! The C face of messages that are too long for a ring. What the functions mean is documented in `earshot/memory.h`.

const std = @import("std");
const library = @import("library");
const memory = @import("memory");
const sys = @import("sys");
const codes = @import("code.zig");

pub fn create(bytes: ?[*]const u8, count: u32) callconv(.c) i32 {
    const given = library.argument.list(u8, bytes, count) catch |failure| return codes.of(failure);
    var system: sys.System = .{};
    return sys.shared.createHolding(&system, given) catch |failure| codes.of(failure);
}

pub fn map(descriptor: sys.Fd, count: u32, out: ?*u64) callconv(.c) i32 {
    const address = out orelse return codes.of(error.InvalidArgument);
    if (count == 0) return codes.of(error.InvalidArgument);
    var system: sys.System = .{};
    const pages = memory.value.open(&system, descriptor, count) catch |failure| return codes.of(failure);
    address.* = @intFromPtr(pages.ptr);
    return 0;
}

/// Shaped as what a collector calls: the second argument is the count.
pub fn unmap(address: ?[*]align(std.heap.page_size_min) u8, count: ?*anyopaque) callconv(.c) void {
    var system: sys.System = .{};
    if (address) |pages| sys.shared.unmap(&system, pages[0..@intFromPtr(count)]);
}
