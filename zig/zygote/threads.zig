//! The threads of this process. A fork copies only the one that calls it: a lock that another held stays locked in the
//! copy for ever. So a zygote has one thread and no more when it forks.

const std = @import("std");
const sys = @import("sys");
const process = sys.process;

/// The kernel's, with the line's end: comm is 16 bytes long with its closing zero (proc(5)).
const name_bytes_max = 16;

/// Counts the threads besides the one that calls, and writes their names into `names`, a line for each, as far as they fit.
pub fn list(system: *sys.System, names: []u8, written: *usize) process.Error!u32 {
    written.* = 0;
    var numbers: process.Numbers = try .open(system, "/proc/self/task");
    defer numbers.close();
    // Not the one that is kept for the life of a thread, which outlives a fork.
    const self = sys.platform.threadId();
    var count: u32 = 0;
    while (numbers.next()) |id| {
        if (id == self) continue;
        var path: [48]u8 = undefined;
        const file = std.fmt.bufPrintSentinel(&path, "/proc/self/task/{d}/comm", .{id}, 0) catch unreachable;
        var buffer: [2 * name_bytes_max]u8 = undefined;
        // It may have ended meanwhile.
        const name = process.readFile(system, file, &buffer) catch continue;
        count += 1;
        if (names.len - written.* < name.len) continue;
        @memcpy(names[written.*..][0..name.len], name);
        written.* += name.len;
    }
    return count;
}
