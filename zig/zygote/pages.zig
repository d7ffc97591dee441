//! Memory that a fork would leave out. JavaScriptCore marks the gigabyte that its compiled code lives in with
//! MADV_DONTFORK; a copy without it dies at its first call of such code.

const std = @import("std");
const sys = @import("sys");
const process = sys.process;

/// Of some hundred bytes a mapping; a Bun process has a few hundred mappings.
const text_bytes_max = 1024 * 1024;

pub const Error = process.Error || error{TooMany};

/// Has a fork copy every mapping of this process. Mappings of devices stay as they are.
pub fn copyAllOnFork(system: *sys.System, allocator: std.mem.Allocator) Error!void {
    const buffer = try allocator.alloc(u8, text_bytes_max);
    defer allocator.free(buffer);
    const text = try process.readFile(system, "/proc/self/maps", buffer);
    if (text.len == buffer.len) return error.TooMany;
    var lines = std.mem.tokenizeScalar(u8, text, '\n');
    while (lines.next()) |line| {
        const dash = std.mem.findScalar(u8, line, '-') orelse continue;
        const space = std.mem.findScalar(u8, line, ' ') orelse continue;
        const start = std.fmt.parseInt(usize, line[0..dash], 16) catch continue;
        const end = std.fmt.parseInt(usize, line[dash + 1 .. space], 16) catch continue;
        _ = process.copyOnFork(start, end - start);
    }
}
