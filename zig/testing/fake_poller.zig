//! A poller on the fake kernel. It is level-triggered as the real ones are, but tells what is ready in any order, late,
//! a little at a time, or of what is not ready at all. What is ready is told within `delays_max` waits.

const std = @import("std");
const sys = @import("sys");
const ipc = @import("ipc");
const pollers = ipc.poller;
const kernels = @import("kernel.zig");
const FakeSystem = @import("fake_system.zig").FakeSystem;
const Kernel = kernels.Kernel;
const Pages = @import("pages.zig").Pages;

/// How often one descriptor may be passed over although it is ready.
pub const delays_max = 3;
const watches_max = 256;
/// How often a sleeper looks whether the outside has done something, before it sleeps to its end.
const glances_max = 16;
/// Nobody is interrupted more often than this within one wait of its context.
const interrupts_max = 20;
/// After so many calls within one wait of its context, somebody rings.
const patience_waits = 100;
/// Between a look at the clock and a sleep, time passes.
const late_ns_max = 20 * std.time.ns_per_us;

pub const FakePoller = struct {
    system: *FakeSystem,
    fd: sys.Fd,
    watches: std.ArrayList(Watch) = .empty,
    /// When its context has something to do next, if the run lets that be known.
    duty: ?Duty = null,

    pub const Duty = struct {
        pointer: *const anyopaque,
        next: *const fn (*const anyopaque) ?u64,
    };

    const Watch = struct {
        fd: sys.Fd,
        token: u64,
        interest: pollers.Interest,
        delays: u8 = 0,
    };

    pub fn init(_: pollers.Kind, system: *FakeSystem, _: std.mem.Allocator) pollers.InitError!FakePoller {
        if (system.kernel.happens(.accept_limit)) return error.DescriptorLimit;
        const fd = system.kernel.open(system.number, .plain) orelse return error.DescriptorLimit;
        return .{ .system = system, .fd = fd };
    }

    pub fn deinit(poller: *FakePoller) void {
        for (poller.watches.items) |watch| poller.setWatched(watch.fd, false);
        poller.system.kernel.close(poller.system.number, poller.fd);
        poller.* = undefined;
    }

    pub fn add(poller: *FakePoller, fd: sys.Fd, token: u64, interest: pollers.Interest) pollers.AddError!void {
        const kernel = poller.system.kernel;
        if (kernel.happens(.watch_failed)) {
            poller.system.failure = .{ .errno = @intFromEnum(std.c.E.NOSPC), .syscall = .epoll_ctl };
            return switch (kernel.random().uintLessThan(u8, 3)) {
                0 => error.OutOfMemory,
                1 => error.WatchLimit,
                else => error.Unexpected,
            };
        }
        if (poller.find(fd) != null) kernel.complain("descriptor {d} is watched twice", .{fd});
        poller.watches.append(kernel.arena, .{ .fd = fd, .token = token, .interest = interest }) catch @panic("out of memory");
        poller.setWatched(fd, true);
    }

    pub fn modify(poller: *FakePoller, fd: sys.Fd, token: u64, interest: pollers.Interest) pollers.AddError!void {
        const kernel = poller.system.kernel;
        const watch = poller.find(fd) orelse return kernel.complain("descriptor {d} is modified and not watched", .{fd});
        if (watch.token != token) kernel.complain("descriptor {d} is modified as somebody else's", .{fd});
        if (kernel.happens(.rewatch_failed)) {
            poller.system.failure = .{ .errno = @intFromEnum(std.c.E.NOMEM), .syscall = .epoll_ctl };
            return error.OutOfMemory;
        }
        watch.interest = interest;
    }

    pub fn remove(poller: *FakePoller, fd: sys.Fd) void {
        const watch = poller.find(fd) orelse
            return poller.system.kernel.complain("descriptor {d} is removed and not watched", .{fd});
        const index = (@intFromPtr(watch) - @intFromPtr(poller.watches.items.ptr)) / @sizeOf(Watch);
        _ = poller.watches.swapRemove(index);
        poller.setWatched(fd, false);
    }

    pub fn held(_: *const FakePoller) u32 {
        return 1;
    }

    pub fn wait(poller: *FakePoller, ready: []pollers.Ready, timeout_ns: ?u64) pollers.WaitError!usize {
        const kernel = poller.system.kernel;
        kernel.waits += 1;
        if (!kernel.enter()) return error.Unexpected;
        if (kernel.happens(.wait_failed)) {
            poller.system.failure = .{ .errno = @intFromEnum(std.c.E.NOMEM), .syscall = .epoll_wait };
            return error.Unexpected;
        }
        if (kernel.isPlanted(.readiness_lost) and poller.watches.items.len > 1 and kernel.oneIn(50)) {
            const lost = kernel.random().uintLessThan(usize, poller.watches.items.len);
            poller.watches.items[lost].interest = .{};
        }
        // It may wait for what never comes, such as a free descriptor.
        if (kernel.waits > patience_waits) {
            if (kernel.rescue) |signal| signal.lit = true;
        }
        const until_ns = kernel.now_ns +| (timeout_ns orelse std.math.maxInt(u64));
        if (poller.duty) |duty| {
            const due_ns = duty.next(duty.pointer) orelse until_ns;
            // Who only looks can sleep past nothing.
            if (timeout_ns != 0 and until_ns > due_ns +| late_ns_max)
                kernel.complain("{d} sleeps past a deadline", .{poller.system.number});
        }
        for (0..glances_max) |_| {
            const count = poller.gather(ready);
            if (count > 0 or timeout_ns == 0) return count;
            if (kernel.isPlanted(.sleepless)) return 0;
            if (kernel.waits < interrupts_max and kernel.happens(.wait_interrupted)) return 0;
            kernel.letOthers();
            if (!poller.somethingReady()) kernel.now_ns +|= kernel.random().uintAtMost(u64, @min(until_ns - kernel.now_ns, 200_000));
            if (kernel.now_ns >= until_ns) return 0;
        }
        while (poller.somethingReady()) {
            const count = poller.gather(ready);
            if (count > 0) return count;
        }
        if (timeout_ns == null) {
            const signal = kernel.rescue orelse {
                kernel.complain("{d} sleeps for ever", .{poller.system.number});
                return error.Unexpected;
            };
            signal.lit = true;
            return 0;
        }
        kernel.now_ns = until_ns;
        return poller.gather(ready);
    }

    /// Whether a wait would find something sooner or later, without anything else happening.
    pub fn somethingReady(poller: *FakePoller) bool {
        for (poller.watches.items) |*watch| {
            if (poller.stateOf(watch) != null) return true;
        }
        return false;
    }

    fn gather(poller: *FakePoller, ready: []pollers.Ready) usize {
        const kernel = poller.system.kernel;
        const die = kernel.random();
        var candidates: [watches_max]pollers.Ready = undefined;
        var owners: [watches_max]*Watch = undefined;
        var count: usize = 0;
        for (poller.watches.items) |*watch| {
            const found = poller.stateOf(watch) orelse {
                watch.delays = 0;
                continue;
            };
            if (watch.delays < delays_max and kernel.happens(.readiness_delayed)) {
                watch.delays += 1;
                continue;
            }
            candidates[count] = found;
            owners[count] = watch;
            count += 1;
        }
        // Any order, but those who have been passed over too often come before the cut.
        for (0..count) |index| {
            const other = die.intRangeLessThan(usize, index, count);
            std.mem.swap(pollers.Ready, &candidates[index], &candidates[other]);
            std.mem.swap(*Watch, &owners[index], &owners[other]);
        }
        var first: usize = 0;
        for (0..count) |index| {
            if (owners[index].delays < delays_max) continue;
            std.mem.swap(pollers.Ready, &candidates[index], &candidates[first]);
            std.mem.swap(*Watch, &owners[index], &owners[first]);
            first += 1;
        }
        var most = @min(count, ready.len);
        if (most > 1 and kernel.happens(.readiness_cut)) most = @max(first, die.intRangeAtMost(usize, 1, most));
        for (owners[0..count], 0..) |owner, index| {
            if (index < most) owner.delays = 0 else owner.delays +|= 1;
        }
        @memcpy(ready[0..most], candidates[0..most]);
        return most + poller.makeUp(ready[most..]);
    }

    /// Readiness that is not there. The next read or write finds nothing, as it does when somebody was faster.
    fn makeUp(poller: *FakePoller, ready: []pollers.Ready) usize {
        if (ready.len == 0 or poller.watches.items.len == 0) return 0;
        const kernel = poller.system.kernel;
        if (!kernel.happens(.readiness_spurious)) return 0;
        const watch = poller.watches.items[kernel.random().uintLessThan(usize, poller.watches.items.len)];
        // Who stands for an external descriptor reads it by itself, so that one is told the truth.
        if (kernel.files[@intCast(watch.fd)].?.body == .duplicate) return 0;
        ready[0] = .{
            .token = watch.token,
            .readable = watch.interest.readable,
            .writable = watch.interest.writable,
            .ended = false,
        };
        return 1;
    }

    fn stateOf(poller: *FakePoller, watch: *const Watch) ?pollers.Ready {
        const file = poller.system.kernel.files[@intCast(watch.fd)] orelse return null;
        const state = file.state();
        const found: pollers.Ready = .{
            .token = watch.token,
            .readable = state.readable and watch.interest.readable,
            .writable = state.writable and watch.interest.writable,
            .ended = state.ended,
        };
        return if (found.readable or found.writable or found.ended) found else null;
    }

    fn find(poller: *FakePoller, fd: sys.Fd) ?*Watch {
        for (poller.watches.items) |*watch| {
            if (watch.fd == fd) return watch;
        }
        return null;
    }

    fn setWatched(poller: *FakePoller, fd: sys.Fd, watched: bool) void {
        const file = poller.system.kernel.fileOf(poller.system.number, fd) orelse return;
        file.watched = watched;
    }
};

/// Something that is due at once, and stays so.
fn dueAtOnce(_: *const anyopaque) ?u64 {
    return 0;
}

test "who sleeps past a deadline is found out, and who only looks is not" {
    var pages: Pages = .{};
    defer pages.deinit();
    for ([_]?u64{ 0, late_ns_max * 10, null }) |timeout_ns| {
        var arena: std.heap.ArenaAllocator = .init(std.testing.allocator);
        defer arena.deinit();
        var kernel: Kernel = .init(arena.allocator(), &pages, 1);
        kernel.now_ns = std.time.ns_per_s;
        var system: FakeSystem = .{ .kernel = &kernel, .number = 0 };
        var poller: FakePoller = try .init(.default, &system, arena.allocator());
        var signal: kernels.Signal = .{};
        kernel.rescue = &signal;
        poller.duty = .{ .pointer = &poller, .next = dueAtOnce };
        var ready: [1]pollers.Ready = undefined;
        try std.testing.expectEqual(0, try poller.wait(&ready, timeout_ns));
        try std.testing.expectEqual(timeout_ns != 0, kernel.complaint != null);
    }
}
