//! The timers and external descriptors of an actor, and what it may hear of them.

const std = @import("std");
const ipc = @import("ipc");
const sys = @import("sys");
const kernels = @import("kernel.zig");
const Context = @import("world.zig").Context;
const Event = ipc.event.Event;
const Handle = ipc.handle.Handle;
const Kernel = kernels.Kernel;

/// A lit descriptor is reported within so many waits; compare `actor.unserved_waits_max`.
const unreported_waits_max = 100;

const Timer = struct { handle: Handle, due_ns: u64, period_ns: u64 };

const External = struct {
    handle: Handle,
    fd: sys.Fd,
    signal: *kernels.Signal,
    was_lit: bool = false,
    unreported: u32 = 0,
};

pub const Watched = struct {
    kernel: *Kernel,
    number: u8,
    timers: std.ArrayList(Timer) = .empty,
    externals: std.ArrayList(External) = .empty,

    pub fn addTimer(watched: *Watched, context: *Context) void {
        const die = watched.kernel.random();
        const first_ns = die.uintLessThan(u64, if (die.boolean()) 5_000 else 5_000_000);
        const period_ns: u64 = switch (die.uintLessThan(u8, 4)) {
            0 => die.uintAtMost(u64, 10),
            1 => die.uintAtMost(u64, 1_000_000),
            else => 0,
        };
        watched.kernel.beginCall();
        const handle = context.addTimer(first_ns, period_ns) catch return;
        watched.timers.append(watched.kernel.arena, .{
            .handle = handle,
            .due_ns = watched.kernel.told_ns + first_ns,
            .period_ns = period_ns,
        }) catch @panic("out of memory");
    }

    pub fn addExternal(watched: *Watched, context: *Context) void {
        const signal = watched.kernel.arena.create(kernels.Signal) catch @panic("out of memory");
        signal.* = .{};
        const fd = watched.kernel.open(watched.number, .{ .external = signal }) orelse return;
        watched.kernel.beginCall();
        const handle = context.addExternal(fd) catch return watched.kernel.close(watched.number, fd);
        watched.externals.append(watched.kernel.arena, .{
            .handle = handle,
            .fd = fd,
            .signal = signal,
        }) catch @panic("out of memory");
    }

    pub fn closeOne(watched: *Watched, context: *Context) void {
        const die = watched.kernel.random();
        watched.kernel.beginCall();
        if (die.boolean()) {
            if (watched.timers.items.len == 0) return;
            const timer = watched.timers.swapRemove(die.uintLessThan(usize, watched.timers.items.len));
            watched.close(context, timer.handle);
        } else {
            if (watched.externals.items.len == 0) return;
            const external = watched.externals.swapRemove(die.uintLessThan(usize, watched.externals.items.len));
            // In either order.
            const first = die.boolean();
            if (first) watched.kernel.close(watched.number, external.fd);
            watched.close(context, external.handle);
            if (!first) watched.kernel.close(watched.number, external.fd);
        }
    }

    pub fn closeAll(watched: *Watched, context: *Context) void {
        watched.kernel.beginCall();
        for (watched.timers.items) |timer| watched.close(context, timer.handle);
        for (watched.externals.items) |external| watched.close(context, external.handle);
        watched.forgetAll();
    }

    /// The context has closed them all.
    pub fn forgetAll(watched: *Watched) void {
        watched.timers.clearRetainingCapacity();
        for (watched.externals.items) |external| watched.kernel.close(watched.number, external.fd);
        watched.externals.clearRetainingCapacity();
    }

    fn close(watched: *Watched, context: *Context, handle: Handle) void {
        context.close(handle, .now) catch
            watched.kernel.complain("context {d} does not close {d}", .{ watched.number, handle.number() });
    }

    pub fn deinit(watched: *Watched) void {
        watched.forgetAll();
    }

    /// Something outside makes a descriptor readable, or reads it empty.
    pub fn toggle(watched: *Watched) void {
        if (watched.externals.items.len == 0) return;
        const die = watched.kernel.random();
        const external = &watched.externals.items[die.uintLessThan(usize, watched.externals.items.len)];
        external.signal.lit = !external.signal.lit;
        external.was_lit = true;
        external.unreported = 0;
    }

    pub fn meetTimer(watched: *Watched, event: *const Event, start_ns: u64) void {
        const kernel = watched.kernel;
        for (watched.timers.items, 0..) |*timer, index| {
            if (timer.handle != event.source) continue;
            const periods = event.data;
            if (timer.due_ns > kernel.now_ns) return watched.complain("a timer is {d} ns early", .{timer.due_ns - kernel.now_ns});
            if (timer.period_ns == 0) {
                if (periods != 1) watched.complain("a timer that fires once fires {d} times", .{periods});
                _ = watched.timers.swapRemove(index);
                return;
            }
            const last_ns = timer.due_ns + (periods - 1) * timer.period_ns;
            if (periods == 0 or last_ns > kernel.now_ns or last_ns + timer.period_ns <= start_ns)
                return watched.complain("a timer counts {d} periods", .{periods});
            timer.due_ns += periods * timer.period_ns;
            return;
        }
        watched.complain("a timer fires that there is not", .{});
    }

    pub fn meetExternal(watched: *Watched, event: *const Event) void {
        for (watched.externals.items) |*external| {
            if (external.handle != event.source) continue;
            if (event.detail != external.fd) watched.complain("an external descriptor is called {d}", .{event.detail});
            if (!external.was_lit) watched.complain("an external descriptor is reported and was never readable", .{});
            external.unreported = 0;
            return;
        }
        watched.complain("an external descriptor is reported that there is not", .{});
    }

    /// Whatever was due at `now_ns` has been reported by now, however much else there was: nobody here has more timers
    /// than are worked off at once.
    pub fn expectFired(watched: *Watched, now_ns: u64) void {
        for (watched.timers.items) |timer| {
            if (timer.due_ns <= now_ns) watched.complain("a timer is {d} ns late", .{now_ns - timer.due_ns});
        }
    }

    /// There was room to report who is readable.
    pub fn expectReported(watched: *Watched) void {
        for (watched.externals.items) |*external| {
            external.unreported = if (external.signal.lit) external.unreported + 1 else 0;
            if (external.unreported > unreported_waits_max) watched.complain("an external descriptor is not reported", .{});
        }
    }

    fn complain(watched: *Watched, comptime format: []const u8, arguments: anytype) void {
        watched.kernel.complain("context {d}: " ++ format, .{watched.number} ++ arguments);
    }
};
