//! Starts another program on one processor, or on a few, and takes it along when the benchmark dies.
//!
//!     pin CPU[,CPU…] PROGRAM [ARGUMENT…]
//!
//! Threads that the program makes inherit the processor. Where the system cannot pin, as on macOS,
//! the program runs anywhere.

const std = @import("std");
const builtin = @import("builtin");
const socket = @import("common/socket.zig");

extern "c" fn execvp(file: [*:0]const u8, arguments: [*:null]const ?[*:0]const u8) c_int;

const arguments_max = 64; // no row starts its program with more than a handful

pub fn main(init: std.process.Init.Minimal) void {
    const given = init.args.vector;
    if (given.len < 3 or given.len - 2 > arguments_max) usage();
    if (builtin.os.tag == .linux) {
        dieWithParent();
        pin(std.mem.span(given[1]));
    }
    var arguments: [arguments_max + 1]?[*:0]const u8 = @splat(null);
    for (given[2..], arguments[0 .. given.len - 2]) |from, *to| to.* = from;
    _ = execvp(given[2], @ptrCast(&arguments));
    socket.die("cannot start {s}", .{given[2]});
}

fn usage() noreturn {
    socket.die("usage: pin CPU[,CPU…] PROGRAM [ARGUMENT…]", .{});
}

fn pin(list: []const u8) void {
    const linux = std.os.linux;
    var set: linux.cpu_set_t = @splat(0);
    var cpus = std.mem.splitScalar(u8, list, ',');
    while (cpus.next()) |digits| {
        const cpu = std.fmt.parseInt(usize, digits, 10) catch usage();
        if (cpu >= linux.CPU_SETSIZE * 8) socket.die("CPU {d} is out of range", .{cpu});
        set[cpu / @bitSizeOf(usize)] |= @as(usize, 1) << @intCast(cpu % @bitSizeOf(usize));
    }
    linux.sched_setaffinity(0, &set) catch socket.die("cannot run on CPU {s}", .{list});
}

/// A benchmark that is killed outright cannot stop its children; the kernel can.
fn dieWithParent() void {
    const linux = std.os.linux;
    _ = linux.prctl(@intFromEnum(linux.PR.SET_PDEATHSIG), @intFromEnum(linux.SIG.TERM), 0, 0, 0);
}
