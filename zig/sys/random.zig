//! Bytes that nobody can foretell, from the system.

const std = @import("std");
const builtin = @import("builtin");
const linux = std.os.linux;

/// Fails only where the kernel is older than the call (Linux 3.17), or forbids it (seccomp).
pub fn fill(bytes: []u8) error{NoRandomness}!void {
    if (builtin.os.tag != .linux) return std.c.arc4random_buf(bytes.ptr, bytes.len);
    var filled: usize = 0;
    while (filled < bytes.len) {
        const result = linux.getrandom(bytes[filled..].ptr, bytes.len - filled, 0);
        switch (linux.errno(result)) {
            .SUCCESS => filled += result,
            .INTR => {},
            else => return error.NoRandomness,
        }
    }
}

test "it fills all that it is given, each time with something else" {
    var first: [300]u8 = @splat(0);
    var second: [300]u8 = @splat(0);
    try fill(&first);
    try fill(&second);
    try std.testing.expect(!std.mem.eql(u8, &first, &second));
    // That so many bytes in a row are zero happens once in 2 ^ 512 runs.
    try std.testing.expect(!std.mem.allEqual(u8, first[236..], 0));
    try fill(first[0..0]);
}
