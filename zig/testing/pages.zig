//! The shared areas of contexts, kept between one run and the next. They come back as they were left: a context that
//! relied on finding them empty would be found out.

const std = @import("std");

const kept_max = 8;

pub const Pages = struct {
    kept: [kept_max]Area = undefined,
    count: usize = 0,
    /// Areas that are out.
    used: usize = 0,

    const Area = []align(std.heap.page_size_min) u8;

    pub fn take(pages: *Pages, bytes: usize) error{OutOfMemory}!Area {
        pages.used += 1;
        for (pages.kept[0..pages.count], 0..) |area, index| {
            if (area.len != bytes) continue;
            pages.count -= 1;
            pages.kept[index] = pages.kept[pages.count];
            return area;
        }
        errdefer pages.used -= 1;
        return std.heap.page_allocator.alignedAlloc(u8, .fromByteUnits(std.heap.page_size_min), bytes);
    }

    pub fn give(pages: *Pages, area: Area) void {
        pages.used -= 1;
        if (pages.count == kept_max) return std.heap.page_allocator.free(area);
        pages.kept[pages.count] = area;
        pages.count += 1;
    }

    pub fn deinit(pages: *Pages) void {
        for (pages.kept[0..pages.count]) |area| std.heap.page_allocator.free(area);
    }
};
