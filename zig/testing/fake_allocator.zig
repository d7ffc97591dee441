//! An allocator that has no memory now and then, as the dice say, and knows what it has given away.

const std = @import("std");
const Allocator = std.mem.Allocator;
const Alignment = std.mem.Alignment;
const Kernel = @import("kernel.zig").Kernel;

pub const FakeAllocator = struct {
    kernel: *Kernel,
    child: Allocator,
    /// Allocations that have not been freed.
    live: usize = 0,

    pub fn allocator(self: *FakeAllocator) Allocator {
        return .{ .ptr = self, .vtable = &.{ .alloc = alloc, .resize = resize, .remap = remap, .free = free } };
    }

    fn alloc(pointer: *anyopaque, length: usize, alignment: Alignment, address: usize) ?[*]u8 {
        const self: *FakeAllocator = @ptrCast(@alignCast(pointer));
        if (self.kernel.happens(.allocation_failed)) return null;
        const memory = self.child.rawAlloc(length, alignment, address) orelse return null;
        self.live += 1;
        return memory;
    }

    fn resize(pointer: *anyopaque, memory: []u8, alignment: Alignment, length: usize, address: usize) bool {
        const self: *FakeAllocator = @ptrCast(@alignCast(pointer));
        // Growing in place is a favour that may be refused at any time.
        if (length > memory.len and self.kernel.oneIn(2)) return false;
        return self.child.rawResize(memory, alignment, length, address);
    }

    fn remap(pointer: *anyopaque, memory: []u8, alignment: Alignment, length: usize, address: usize) ?[*]u8 {
        const self: *FakeAllocator = @ptrCast(@alignCast(pointer));
        if (length > memory.len and self.kernel.oneIn(2)) return null;
        return self.child.rawRemap(memory, alignment, length, address);
    }

    fn free(pointer: *anyopaque, memory: []u8, alignment: Alignment, address: usize) void {
        const self: *FakeAllocator = @ptrCast(@alignCast(pointer));
        self.live -= 1;
        self.child.rawFree(memory, alignment, address);
    }
};
