//! What tests pass from one to another: files that are told apart by their inode, whatever number they have.

const std = @import("std");
const sys = @import("sys");
const rigs = @import("rig.zig");
const Handle = @import("library").handle.Handle;
const Rig = rigs.Rig;
const Seen = rigs.Seen;
const c = std.c;
const testing = std.testing;

pub const Things = struct {
    rig: *Rig,
    made: u32 = 0,

    /// A file that is like no other. The rig closes it.
    pub fn file(things: *Things) !sys.Fd {
        var buffer: [32]u8 = undefined;
        const name = try std.fmt.bufPrint(&buffer, "thing {d}", .{things.made});
        things.made += 1;
        things.rig.scratch.file(name, name);
        const fd = c.open(things.rig.scratch.path(name), .{ .ACCMODE = .RDONLY, .CLOEXEC = true });
        try testing.expect(fd >= 0);
        try things.rig.own(fd);
        return fd;
    }

    pub fn files(things: *Things, comptime count: usize) ![count]sys.Fd {
        var all: [count]sys.Fd = undefined;
        for (&all) |*fd| fd.* = try things.file();
        return all;
    }

    /// That both stand for the same thing.
    pub fn expectSame(things: *Things, expected: sys.Fd, found: sys.Fd) !void {
        const one = try things.rig.system.statFd(expected);
        const other = try things.rig.system.statFd(found);
        try testing.expectEqual(one.inode, other.inode);
        try testing.expectEqual(one.device, other.device);
    }

    /// That a message brought these, in this order.
    pub fn expectBrought(things: *Things, seen: Seen, expected: []const sys.Fd) !void {
        try testing.expectEqual(expected.len, seen.fds.len);
        for (expected, seen.fds) |fd, found| try things.expectSame(fd, found);
    }

    /// The messages of a connection, in order.
    pub fn message(things: *const Things, source: Handle, index: usize) !Seen {
        var left = index;
        for (things.rig.seen.items) |seen| {
            if (seen.event.type != .message_rx or seen.event.source != source) continue;
            if (left == 0) return seen;
            left -= 1;
        }
        return error.NeverReported;
    }

    /// Sends all of `bytes` at once from a raw socket, with descriptors.
    pub fn feed(things: *Things, fd: sys.Fd, bytes: []const u8, fds: []const sys.Fd) !void {
        const part = [_]std.posix.iovec_const{.{ .base = bytes.ptr, .len = bytes.len }};
        switch (things.rig.system.sendRights(fd, &part, fds)) {
            .bytes => |count| try testing.expectEqual(bytes.len, count),
            else => return error.NotSent,
        }
    }
};

/// That nothing is held for anybody.
pub fn expectNoneHeld(rig: *Rig) !void {
    try testing.expectEqual(0, rig.context.descriptors.held.count());
    try testing.expectEqual(0, rig.context.descriptors.held_count);
}

/// Waits until that is so.
pub fn untilNoneHeld(rig: *Rig) !void {
    for (0..3000) |_| {
        if (rig.context.descriptors.held_count == 0) return expectNoneHeld(rig);
        _ = try rig.wait(std.time.ns_per_ms);
    }
    return error.NeverHappened;
}
