//! Bytes that pass from one descriptor to another without being copied to this process: through a pipe of the kernel's
//! (splice(2), Linux). A pipe is lent to one direction of a switch for as long as much comes, and then to the next one
//! that needs it, so there are few of them however many switches there are.

const std = @import("std");
const sys = @import("sys");
const Allocator = std.mem.Allocator;
const assert = std.debug.assert;

/// Room in one pipe. More is not moved by one call, and keeps pages of the kernel's for each direction that is full.
pub const pipe_bytes = 256 * 1024;
/// Pipes that are kept for whoever comes next.
const spare_max = 4;

/// One that is lent. Its bytes wait for the end that they go to.
pub const Pipe = struct {
    source: sys.Fd,
    target: sys.Fd,
    bytes: usize = 0,
};

pub const Splicer = struct {
    spare: [spare_max]Pipe = undefined,
    spare_count: usize = 0,
    /// How many there are, lent ones too.
    pipes: u32 = 0,

    pub fn deinit(splicer: *Splicer, system: anytype) void {
        for (splicer.spare[0..splicer.spare_count]) |pipe| splicer.close(system, pipe);
        splicer.spare_count = 0;
        assert(splicer.pipes == 0);
    }

    /// Null where there is none to be had: then bytes are copied.
    pub fn lend(splicer: *Splicer, system: anytype) ?Pipe {
        if (splicer.spare_count > 0) {
            splicer.spare_count -= 1;
            return splicer.spare[splicer.spare_count];
        }
        const ends = system.pipe(pipe_bytes) orelse return null;
        splicer.pipes += 1;
        return .{ .target = ends[0], .source = ends[1] };
    }

    /// One that has bytes in it still, whose switch is over, is of no use to others.
    pub fn giveBack(splicer: *Splicer, system: anytype, pipe: Pipe) void {
        if (pipe.bytes > 0 or splicer.spare_count == spare_max) return splicer.close(system, pipe);
        splicer.spare[splicer.spare_count] = pipe;
        splicer.spare_count += 1;
    }

    fn close(splicer: *Splicer, system: anytype, pipe: Pipe) void {
        system.close(pipe.source);
        system.close(pipe.target);
        splicer.pipes -= 1;
    }
};

test "a pipe that was given back is lent again, and none is left" {
    var system: sys.System = .{};
    if (!sys.System.splices) return error.SkipZigTest;
    var splicer: Splicer = .{};
    var lent: [spare_max + 2]Pipe = undefined;
    for (&lent) |*pipe| pipe.* = splicer.lend(&system).?;
    try std.testing.expectEqual(lent.len, splicer.pipes);
    lent[0].bytes = 1;
    for (lent) |pipe| splicer.giveBack(&system, pipe);
    try std.testing.expectEqual(spare_max, splicer.pipes);
    splicer.giveBack(&system, splicer.lend(&system).?);
    try std.testing.expectEqual(spare_max, splicer.pipes);
    splicer.deinit(&system);
}
