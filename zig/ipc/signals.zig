//! Signals without end, for calls that they interrupt.

const std = @import("std");
const sys = @import("sys");
const c = std.c;

/// A thread that keeps interrupting this one.
pub const Signals = struct {
    target: c.pthread_t,
    stop: std.atomic.Value(bool),
    before: c.Sigaction,
    thread: std.Thread,

    pub fn begin(signals: *Signals) !void {
        signals.target = c.pthread_self();
        signals.stop = .init(false);
        std.posix.sigaction(.USR1, &.{
            .handler = .{ .handler = handle },
            .mask = std.posix.sigemptyset(),
            .flags = 0,
        }, &signals.before);
        signals.thread = try std.Thread.spawn(.{}, run, .{signals});
    }

    fn run(signals: *Signals) void {
        var system: sys.System = .{};
        // Order does not matter: the last signal may come at any time before the join.
        while (!signals.stop.load(.monotonic)) {
            _ = c.pthread_kill(signals.target, .USR1);
            _ = system.poll(&.{}, std.time.ns_per_ms) catch unreachable;
        }
    }

    fn handle(_: c.SIG) callconv(.c) void {}

    pub fn end(signals: *Signals) void {
        signals.stop.store(true, .monotonic);
        signals.thread.join();
        std.posix.sigaction(.USR1, &signals.before, null);
    }
};
