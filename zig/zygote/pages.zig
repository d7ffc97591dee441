//! Memory as a fork finds it: what it would leave out, and what makes it slow.
//!
//! - JavaScriptCore marks the gigabyte that its compiled code lives in with MADV_DONTFORK; a copy without it dies at its
//!   first call of such code.
//! - A fork writes a line into the page tables for each page of memory: for a heap of 60 MB some 15,000, most of its time.
//!   Where the pages of 2 MiB are one, that is one line.
//! - It leaves out the lines of what can be read from a file again, as programs can. A clone meets a fault for every 64 KiB
//!   that it uses of them; to have them copied costs as much, at the fork and again at the end, and memory besides.

const std = @import("std");
const sys = @import("sys");
const process = sys.process;

/// Of some hundred bytes a mapping; a Bun process has a few hundred mappings.
const text_bytes_max = 1024 * 1024;

/// Of both machines that Bun runs on, with pages of 4 KiB. With others there is nothing that can be made one, and it stays.
const large_bytes = 2 * 1024 * 1024;
/// A large page takes all of its memory; where less than three quarters of it is there that would be too much of it.
const present_min = large_bytes / std.heap.page_size_min / 4 * 3;

pub const Error = process.Error || error{TooMany};

const Mapping = struct {
    start: usize,
    end: usize,
    /// "rw-p" and the like.
    access: []const u8,
    has_file: bool,

    /// proc(5): "00400000-00452000 r-xp 00000000 08:02 173521      /usr/bin/dbus-daemon".
    fn parse(line: []const u8) ?Mapping {
        var words = std.mem.tokenizeScalar(u8, line, ' ');
        const range = words.next() orelse return null;
        const access = words.next() orelse return null;
        _ = words.next() orelse return null;
        _ = words.next() orelse return null;
        const inode = words.next() orelse return null;
        const dash = std.mem.findScalar(u8, range, '-') orelse return null;
        return .{
            .start = std.fmt.parseInt(usize, range[0..dash], 16) catch return null,
            .end = std.fmt.parseInt(usize, range[dash + 1 ..], 16) catch return null,
            .access = access,
            .has_file = !std.mem.eql(u8, inode, "0"),
        };
    }

    fn is(mapping: Mapping, access: []const u8) bool {
        return std.mem.eql(u8, mapping.access, access);
    }

    fn isHeap(mapping: Mapping) bool {
        return !mapping.has_file and mapping.is("rw-p");
    }
};

/// Has forks copy every mapping of this process, and be quick about it. Mappings of devices stay as they are, and so does
/// what this system cannot have otherwise.
pub fn prepare(system: *sys.System, allocator: std.mem.Allocator) Error!void {
    const buffer = try allocator.alloc(u8, text_bytes_max);
    defer allocator.free(buffer);
    const text = try process.readFile(system, "/proc/self/maps", buffer);
    if (text.len == buffer.len) return error.TooMany;
    var lines = std.mem.tokenizeScalar(u8, text, '\n');
    while (lines.next()) |line| {
        const mapping = Mapping.parse(line) orelse continue;
        _ = process.copyOnFork(mapping.start, mapping.end - mapping.start);
        if (mapping.isHeap()) unite(mapping);
    }
}

/// Makes large pages of those that are together.
fn unite(mapping: Mapping) void {
    var at = std.mem.alignForward(usize, mapping.start, large_bytes);
    while (at + large_bytes <= mapping.end) : (at += large_bytes) {
        var present: [large_bytes / std.heap.page_size_min]bool = undefined;
        const pages = process.presentPages(at, &present) orelse return;
        if (std.mem.count(bool, pages, &.{true}) >= present_min) _ = process.unitePages(at, large_bytes);
    }
}

test "a line of the maps says where, how, and whether of a file" {
    const program = Mapping.parse("00400000-00452000 r-xp 00000000 08:02 173521      /usr/bin/dbus-daemon").?;
    try std.testing.expectEqual(0x400000, program.start);
    try std.testing.expectEqual(0x452000, program.end);
    try std.testing.expect(!program.isHeap());
    const heap = Mapping.parse("00e03000-00e24000 rw-p 00000000 00:00 0           [heap]").?;
    try std.testing.expect(heap.isHeap());
    try std.testing.expectEqual(null, Mapping.parse("00e03000"));
}
