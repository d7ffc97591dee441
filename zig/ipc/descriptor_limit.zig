//! A process in which no descriptor is left, for a while.

const std = @import("std");
const c = std.c;
const testing = std.testing;

/// No further descriptor can be opened until it is restored.
pub const DescriptorLimit = struct {
    before: c.rlimit,

    const left_max = 8;

    pub fn lower() !DescriptorLimit {
        return lowerTo(0);
    }

    /// The same, but so many can.
    pub fn lowerTo(left: u32) !DescriptorLimit {
        var limit: DescriptorLimit = .{ .before = undefined };
        try testing.expectEqual(0, c.getrlimit(.NOFILE, &limit.before));
        var free: [left_max + 1]c_int = undefined;
        for (free[0 .. left + 1]) |*fd| {
            fd.* = c.dup(0);
            try testing.expect(fd.* >= 0);
        }
        for (free[0 .. left + 1]) |fd| _ = c.close(fd);
        const lowered: c.rlimit = .{ .cur = @intCast(free[left]), .max = limit.before.max };
        try testing.expectEqual(0, c.setrlimit(.NOFILE, &lowered));
        return limit;
    }

    pub fn restore(limit: DescriptorLimit) void {
        std.debug.assert(c.setrlimit(.NOFILE, &limit.before) == 0);
    }
};
