//! What Zig and TypeScript hold themselves to alike: the files in `tests/vectors`, read by the tests of both.

const std = @import("std");

/// Far more than any of them has.
const file_bytes_max = 1024 * 1024;
/// What the readers of both sides are written for.
const version = 1;

/// Reads `tests/vectors/NAME.json`; tests are run from the root of the repository.
pub fn read(comptime Vectors: type, comptime name: []const u8) !std.json.Parsed(Vectors) {
    const allocator = std.testing.allocator;
    const path = "tests/vectors/" ++ name ++ ".json";
    const limit: std.Io.Limit = .limited(file_bytes_max);
    const text = try std.Io.Dir.cwd().readFileAlloc(std.testing.io, path, allocator, limit);
    defer allocator.free(text);
    const parsed = try std.json.parseFromSlice(Vectors, allocator, text, .{
        .allocate = .alloc_always,
    });
    errdefer parsed.deinit();
    try std.testing.expectEqual(version, parsed.value.version);
    return parsed;
}

/// The bytes that `digits` stand for. The caller frees them.
pub fn unhex(digits: []const u8) ![]u8 {
    const bytes = try std.testing.allocator.alloc(u8, digits.len / 2);
    errdefer std.testing.allocator.free(bytes);
    _ = try std.fmt.hexToBytes(bytes, digits);
    return bytes;
}
