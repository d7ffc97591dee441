//! What a process does that keeps secrets: nothing of its memory comes to be in a file. No core is written when it crashes,
//! nobody of the same user looks into it (PR_SET_DUMPABLE, prctl(2): no ptrace, and /proc/PID/mem is root's), and where the
//! system allows it its memory is never swapped out.

const std = @import("std");
const sys = @import("sys");
const process = sys.process;

/// Says whether memory is locked as well, for which most users lack the right (RLIMIT_MEMLOCK).
pub fn harden(system: *sys.System) process.Error!bool {
    try process.limit(system, .core, 0, 0);
    try process.forbidDumps(system);
    return process.lockMemory();
}

test "a process that is hardened has no core and is not dumpable" {
    if (!process.available) return error.SkipZigTest;
    var system: sys.System = .{};
    // In a child: nothing of it can be had back.
    const child = try process.fork(&system);
    if (child == 0) {
        _ = harden(&system) catch process.leave(1);
        var now: std.c.rlimit = undefined;
        if (std.c.getrlimit(.CORE, &now) != 0 or now.cur != 0 or now.max != 0) process.leave(2);
        if (std.os.linux.prctl(@intFromEnum(std.os.linux.PR.GET_DUMPABLE), 0, 0, 0, 0) != 0) process.leave(3);
        process.leave(0);
    }
    const pidfd = try process.openProcess(&system, child);
    defer system.close(pidfd);
    var one = [_]sys.PollFd{.{ .fd = pidfd, .events = std.c.POLL.IN, .revents = 0 }};
    while (try system.poll(&one, null) == 0) {}
    try std.testing.expectEqual(process.Ending{ .code = 0 }, (try process.reap(&system, pidfd)).?);
}
