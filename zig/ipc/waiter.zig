//! A thread that sleeps in a context's stead, so that an event loop which is not ours (Bun's) can go on meanwhile.
//!
//!     owner's thread                       waiter's thread
//!     arm() ── what to sleep on ─────────▶ sleeps: readiness, a deadline, or a ring
//!       │                                    │
//!       ◀── a call, or a byte to read ────── wakes, is disarmed, rings once
//!     drains with wait(0), arms again
//!
//! It touches nothing of the context's: it is handed copies of the descriptors and the deadline. Between two calls
//! of `arm` it rings at most once. Signals are for the host's own threads, and this one takes none. A host whose
//! callbacks can vanish under it, as those of a JavaScript thread that is ended from outside do, takes the byte.
//!
//! Where there is a latch, arming wakes nobody: the thread goes on sleeping until there is something, or a deadline comes
//! that is sooner than the one it sleeps until.

const std = @import("std");
const sys = @import("sys");
const Latch = @import("latch.zig").Latch;

/// Called on the waiter's thread.
pub const Callback = *const fn () callconv(.c) void;

/// How the owner is told.
pub const Bell = union(enum) {
    callback: Callback,
    /// One end of a socket pair, which is the waiter's from then on; the owner reads at the other.
    descriptor: sys.Fd,
};

pub const Waiter = struct {
    allocator: std.mem.Allocator,
    system: sys.System,
    wake: sys.Wake,
    bell: Bell,
    thread: std.c.pthread_t,
    state: std.atomic.Value(State),
    /// Guards what follows.
    mutex: std.c.pthread_mutex_t,
    descriptors: std.ArrayList(sys.PollFd),
    deadline_ns: ?u64,
    /// The owner's, who makes it, and from then on the thread's to sleep on.
    latch: ?Latch,
    has_latch: std.atomic.Value(bool),
    /// With a latch: the deadline, and until when the thread sleeps. Whoever changes the one looks at the other
    /// afterwards, in one order for both threads, so that one of them finds out.
    due_ns: std.atomic.Value(u64),
    until_ns: std.atomic.Value(u64),

    const never = std.math.maxInt(u64);
    const State = enum(u8) { idle, armed, stopping };
    pub const StartError = error{ OutOfMemory, DescriptorLimit, ThreadLimit, Unexpected };

    /// The waiter must stay where it is until `stop`.
    pub fn start(waiter: *Waiter, allocator: std.mem.Allocator, bell: Bell) StartError!void {
        waiter.* = .{
            .allocator = allocator,
            .system = .{},
            .wake = undefined,
            .bell = bell,
            .thread = undefined,
            .state = .init(.idle),
            .mutex = .{},
            .descriptors = .empty,
            .deadline_ns = null,
            .latch = null,
            .has_latch = .init(false),
            .due_ns = .init(never),
            .until_ns = .init(never),
        };
        waiter.wake = try waiter.system.wakeCreate();
        errdefer waiter.wake.close();
        waiter.thread = try waiter.spawn();
    }

    /// The standard library's own way panics where the system refuses such a stack, as glibc does if
    /// the thread-local variables of the host's program, which lie there too, leave no room on it.
    fn spawn(waiter: *Waiter) StartError!std.c.pthread_t {
        var attributes: std.c.pthread_attr_t = undefined;
        if (std.c.pthread_attr_init(&attributes) != .SUCCESS) return error.OutOfMemory;
        defer _ = std.c.pthread_attr_destroy(&attributes);
        if (std.c.pthread_attr_setstacksize(&attributes, stack_bytes) != .SUCCESS)
            return error.Unexpected;
        // The thread is born with the signals of this one blocked, and so never has a moment in which it could take
        // one: a host that blocks a signal, to wait for it, would be killed by it.
        const all = std.posix.sigfillset();
        var before: std.c.sigset_t = undefined;
        setMask(&all, &before);
        defer setMask(&before, null);
        var thread: std.c.pthread_t = undefined;
        return switch (std.c.pthread_create(&thread, &attributes, enter, waiter)) {
            .SUCCESS => thread,
            .AGAIN => error.ThreadLimit,
            else => error.Unexpected,
        };
    }

    /// Which signals the calling thread blocks. There is nothing for it to fail on.
    fn setMask(mask: *const std.c.sigset_t, before: ?*std.c.sigset_t) void {
        var unwanted: std.c.sigset_t = undefined;
        const result = std.c.pthread_sigmask(std.c.SIG.SETMASK, mask, before orelse &unwanted);
        std.debug.assert(result == 0);
    }

    fn enter(argument: ?*anyopaque) callconv(.c) ?*anyopaque {
        const waiter: *Waiter = @ptrCast(@alignCast(argument.?));
        waiter.run();
        return null;
    }

    /// It copies what it is to sleep on and calls back, but the callback goes into Bun, which posts a
    /// task there; and a host may have hundreds of kilobytes of thread-local variables. What is not
    /// touched of it costs no memory.
    const stack_bytes = 2 * 1024 * 1024;

    /// Ends the thread. Nothing rings after this returns.
    pub fn stop(waiter: *Waiter) void {
        waiter.state.store(.stopping, .release);
        waiter.wake.ring();
        const joined = std.c.pthread_join(waiter.thread, null);
        std.debug.assert(joined == .SUCCESS);
        if (waiter.latch) |*latch| latch.close(&waiter.system);
        waiter.wake.close();
        switch (waiter.bell) {
            .callback => {},
            .descriptor => |fd| waiter.system.close(fd),
        }
        waiter.descriptors.deinit(waiter.allocator);
        waiter.* = undefined;
    }

    /// How many descriptors it holds of its own.
    pub fn held(waiter: *const Waiter) u32 {
        const latches: u32 = @intFromBool(waiter.latch != null);
        const bells: u32 = @intFromBool(waiter.bell == .descriptor);
        return sys.Wake.descriptors + latches + bells;
    }

    /// Rings once when one of `descriptors` is ready or the deadline has come. Arming anew replaces what was
    /// asked for before.
    pub fn arm(waiter: *Waiter, descriptors: []const sys.PollFd, deadline_ns: ?u64) error{OutOfMemory}!void {
        {
            waiter.lock();
            defer waiter.unlock();
            waiter.descriptors.clearRetainingCapacity();
            try waiter.descriptors.appendSlice(waiter.allocator, descriptors);
            waiter.deadline_ns = deadline_ns;
        }
        // Release: whoever finds it armed finds what was written before; pairs with the thread's acquire.
        waiter.state.store(.armed, .release);
        waiter.wake.ring();
    }

    /// The same for one descriptor, which is the same each time.
    pub fn armOne(waiter: *Waiter, watched: sys.Fd, deadline_ns: ?u64) error{OutOfMemory}!void {
        const one: [1]sys.PollFd = .{.{ .fd = watched, .events = sys.POLL.IN, .revents = 0 }};
        const due_ns = deadline_ns orelse never;
        waiter.due_ns.store(due_ns, .seq_cst);
        if (waiter.latch) |*latch| {
            waiter.state.store(.armed, .seq_cst);
            // Should that ever fail, the owner is called at once, and arms anew.
            latch.arm(&waiter.system) catch waiter.due_ns.store(0, .seq_cst);
            if (waiter.due_ns.load(.seq_cst) < waiter.until_ns.load(.seq_cst)) waiter.wake.ring();
            return;
        }
        waiter.latch = Latch.open(&waiter.system, waiter.wake.descriptor(), watched) catch
            return waiter.arm(&one, deadline_ns);
        waiter.state.store(.armed, .seq_cst);
        // Release: whoever finds it there finds the latch; pairs with the thread's acquire.
        waiter.has_latch.store(true, .release);
        waiter.wake.ring();
    }

    /// Has it sleep on these instead, if it sleeps. The system keeps what a thread sleeps on, even when it is closed:
    /// without this a peer would not learn that its connection has ended.
    pub fn renew(waiter: *Waiter, descriptors: []const sys.PollFd) void {
        if (waiter.state.load(.monotonic) != .armed) return;
        {
            waiter.lock();
            defer waiter.unlock();
            waiter.descriptors.clearRetainingCapacity();
            // Without memory for them the owner is called at once, and arms anew.
            waiter.descriptors.appendSlice(waiter.allocator, descriptors) catch {
                waiter.deadline_ns = 0;
            };
        }
        waiter.wake.ring();
    }

    fn run(waiter: *Waiter) void {
        var sleeping: std.ArrayList(sys.PollFd) = .empty;
        defer sleeping.deinit(waiter.allocator);
        var system: sys.System = .{};
        while (true) {
            waiter.wake.clear();
            if (waiter.has_latch.load(.acquire)) return waiter.runLatched(&system);
            var ready = false;
            var timeout_ns: ?u64 = null;
            const state = waiter.state.load(.acquire);
            if (state == .stopping) return;
            sleeping.clearRetainingCapacity();
            if (state == .armed) {
                waiter.lock();
                defer waiter.unlock();
                if (waiter.deadline_ns) |deadline_ns| timeout_ns = deadline_ns -| system.monotonic();
                // Without memory to sleep with, the owner is called at once: slow, but nothing is missed.
                sleeping.appendSlice(waiter.allocator, waiter.descriptors.items) catch {
                    ready = true;
                };
            }
            sleeping.append(waiter.allocator, .{ .fd = waiter.wake.descriptor(), .events = sys.POLL.IN, .revents = 0 }) catch {
                ready = true;
            };
            if (!ready) ready = sleep(&system, sleeping.items, timeout_ns);
            if (!ready) continue;
            // Whoever armed it in the meantime wants to be called for that, so the exchange may fail.
            if (waiter.state.cmpxchgStrong(.armed, .idle, .acq_rel, .acquire) == null) waiter.ring(&system);
        }
    }

    fn runLatched(waiter: *Waiter, system: *sys.System) void {
        const latch = &waiter.latch.?;
        while (true) {
            const until_ns = waiter.due() orelse return;
            waiter.until_ns.store(until_ns, .seq_cst);
            // It may have become sooner between the two.
            if ((waiter.due() orelse return) < until_ns) continue;
            const timeout_ns = if (until_ns == never) null else until_ns -| system.monotonic();
            const slept = latch.sleep(system, timeout_ns);
            if (slept.rung) waiter.wake.clear();
            const is_due = until_ns != never and (waiter.due() orelse return) <= system.monotonic();
            if (!slept.fired and !is_due) continue;
            if (waiter.state.cmpxchgStrong(.armed, .idle, .seq_cst, .seq_cst) == null) waiter.ring(system);
        }
    }

    /// The next deadline; null when it is to stop.
    fn due(waiter: *const Waiter) ?u64 {
        return switch (waiter.state.load(.seq_cst)) {
            .idle => never,
            .armed => waiter.due_ns.load(.seq_cst),
            .stopping => null,
        };
    }

    fn ring(waiter: *Waiter, system: *sys.System) void {
        switch (waiter.bell) {
            .callback => |callback| callback(),
            .descriptor => |fd| {
                // A bell that is full rings already, and one that nobody hears any more need not ring.
                const byte = [_]std.posix.iovec_const{.{ .base = "!", .len = 1 }};
                _ = system.send(fd, &byte);
            },
        }
    }

    /// Whether something other than the ring, which stands last, is ready, or the time is up.
    fn sleep(system: *sys.System, sleeping: []sys.PollFd, timeout_ns: ?u64) bool {
        const count = system.poll(sleeping, timeout_ns) catch return true;
        if (count == 0) return timeout_ns != null;
        const rung = sleeping[sleeping.len - 1].revents != 0;
        return count > @intFromBool(rung);
    }

    fn lock(waiter: *Waiter) void {
        const result = std.c.pthread_mutex_lock(&waiter.mutex);
        std.debug.assert(result == .SUCCESS);
    }

    fn unlock(waiter: *Waiter) void {
        const result = std.c.pthread_mutex_unlock(&waiter.mutex);
        std.debug.assert(result == .SUCCESS);
    }
};

/// What a waiter that watches the other end notices.
fn sendByte(system: *sys.System, fd: sys.Fd) !void {
    const part = [_]std.posix.iovec_const{.{ .base = "x", .len = 1 }};
    try std.testing.expectEqual(sys.Sent{ .bytes = 1 }, system.send(fd, &part));
}

const Counter = struct {
    var rings: std.atomic.Value(u32) = .init(0);

    /// Begins to count, from nothing, how often the waiter calls.
    fn start(waiter: *Waiter) !void {
        rings.store(0, .release);
        try waiter.start(std.testing.allocator, .{ .callback = &ring });
    }

    fn ring() callconv(.c) void {
        _ = rings.fetchAdd(1, .acq_rel);
    }

    fn wait(count: u32) !void {
        var system: sys.System = .{};
        for (0..5000) |_| {
            if (rings.load(.acquire) >= count) return;
            try pause(&system);
        }
        return error.NeverCalled;
    }

    fn pause(system: *sys.System) !void {
        var nothing = [_]sys.PollFd{.{ .fd = -1, .events = 0, .revents = 0 }};
        _ = try system.poll(&nothing, std.time.ns_per_ms);
    }
};

test "it calls once for what it was armed with, for a deadline, and never after it was stopped" {
    var system: sys.System = .{};
    const pair = try system.pair();
    defer for (pair) |fd| system.close(fd);
    var waiter: Waiter = undefined;
    try Counter.start(&waiter);
    errdefer waiter.stop();
    const descriptors = [_]sys.PollFd{.{ .fd = pair[0], .events = sys.POLL.IN, .revents = 0 }};
    try waiter.arm(&descriptors, null);
    try sendByte(&system, pair[1]);
    try Counter.wait(1);
    try waiter.arm(&.{}, system.monotonic() + std.time.ns_per_ms);
    try Counter.wait(2);
    // Ready all along, yet one call for one arming.
    try waiter.arm(&descriptors, null);
    try Counter.wait(3);
    for (0..5) |_| try Counter.pause(&system);
    try std.testing.expectEqual(@as(u32, 3), Counter.rings.load(.acquire));
    try waiter.arm(&.{}, null);
    waiter.stop();
    try std.testing.expectEqual(@as(u32, 3), Counter.rings.load(.acquire));
}

const Mask = struct {
    var seen: std.c.sigset_t = undefined;

    fn look() callconv(.c) void {
        _ = std.c.pthread_sigmask(std.c.SIG.BLOCK, &std.posix.sigemptyset(), &seen);
        Counter.ring();
    }
};

test "its thread takes no signals, and those of the owner's are as they were" {
    var system: sys.System = .{};
    Counter.rings.store(0, .release);
    Mask.look();
    const before = Mask.seen;
    var waiter: Waiter = undefined;
    try waiter.start(std.testing.allocator, .{ .callback = &Mask.look });
    {
        defer waiter.stop();
        try waiter.arm(&.{}, system.monotonic());
        try Counter.wait(2);
    }
    for ([_]std.c.SIG{ .HUP, .INT, .TERM, .USR1, .USR2, .CHLD, .ALRM }) |signal| {
        try std.testing.expectEqual(1, std.c.sigismember(&Mask.seen, signal));
    }
    Mask.look();
    try std.testing.expectEqual(before, Mask.seen);
}

test "a bell that is a descriptor has one byte for each arming, and the owner may have gone" {
    var system: sys.System = .{};
    const watched = try system.pair();
    defer for (watched) |fd| system.close(fd);
    const bell = try system.pair();
    var waiter: Waiter = undefined;
    try waiter.start(std.testing.allocator, .{ .descriptor = bell[0] });
    defer waiter.stop();
    try sendByte(&system, watched[1]);
    const descriptors = [_]sys.PollFd{.{ .fd = watched[0], .events = sys.POLL.IN, .revents = 0 }};
    for (0..3) |_| {
        try waiter.arm(&descriptors, null);
        var heard = [_]sys.PollFd{.{ .fd = bell[1], .events = sys.POLL.IN, .revents = 0 }};
        try std.testing.expectEqual(@as(usize, 1), try system.poll(&heard, 10 * std.time.ns_per_s));
        var buffer: [8]u8 = undefined;
        try std.testing.expectEqual(sys.Received{ .bytes = 1 }, system.read(bell[1], &buffer));
    }
    system.close(bell[1]);
    try waiter.arm(&descriptors, null);
}

test "with a latch it calls once for each arming, for a deadline that came sooner, and never after it was stopped" {
    var system: sys.System = .{};
    const pair = try system.pair();
    defer for (pair) |fd| system.close(fd);
    var waiter: Waiter = undefined;
    try Counter.start(&waiter);
    errdefer waiter.stop();
    try waiter.armOne(pair[0], null);
    try sendByte(&system, pair[1]);
    try Counter.wait(1);
    // Ready all along, yet one call for one arming.
    try waiter.armOne(pair[0], null);
    try Counter.wait(2);
    for (0..5) |_| try Counter.pause(&system);
    try std.testing.expectEqual(@as(u32, 2), Counter.rings.load(.acquire));
    var byte: [1]u8 = undefined;
    try std.testing.expectEqual(sys.Received{ .bytes = 1 }, system.read(pair[0], &byte));
    // It sleeps for an hour, and then for a moment.
    try waiter.armOne(pair[0], system.monotonic() + std.time.ns_per_hour);
    for (0..5) |_| try Counter.pause(&system);
    try waiter.armOne(pair[0], system.monotonic() + std.time.ns_per_ms);
    try Counter.wait(3);
    // And the other way round, a moment that has become an hour.
    try waiter.armOne(pair[0], system.monotonic() + 2 * std.time.ns_per_ms);
    try waiter.armOne(pair[0], system.monotonic() + std.time.ns_per_hour);
    for (0..20) |_| try Counter.pause(&system);
    try std.testing.expect(Counter.rings.load(.acquire) <= 4);
    const rings = Counter.rings.load(.acquire);
    waiter.stop();
    try std.testing.expectEqual(rings, Counter.rings.load(.acquire));
}

test "no arming is missed, whatever the thread is doing meanwhile" {
    var system: sys.System = .{};
    const pair = try system.pair();
    defer for (pair) |fd| system.close(fd);
    var waiter: Waiter = undefined;
    try Counter.start(&waiter);
    defer waiter.stop();
    var prng: std.Random.DefaultPrng = .init(std.testing.random_seed);
    for (1..500) |count| {
        // Due at once, soon, or when a byte comes.
        const soon: ?u64 = switch (prng.random().uintLessThan(u8, 3)) {
            0 => system.monotonic(),
            1 => system.monotonic() + prng.random().uintLessThan(u64, 200_000),
            else => null,
        };
        try waiter.armOne(pair[0], soon);
        if (soon == null) {
            _ = system.write(pair[1], "x");
            try Counter.wait(@intCast(count));
            var byte: [1]u8 = undefined;
            _ = system.read(pair[0], &byte);
        } else try Counter.wait(@intCast(count));
    }
}

test "what is closed while it sleeps ends for the peer when the rest is renewed, and the rest still rings" {
    var system: sys.System = .{};
    const closed = try system.pair();
    defer system.close(closed[1]);
    const kept = try system.pair();
    defer for (kept) |fd| system.close(fd);
    var waiter: Waiter = undefined;
    try Counter.start(&waiter);
    defer waiter.stop();
    const descriptors = [_]sys.PollFd{
        .{ .fd = kept[0], .events = sys.POLL.IN, .revents = 0 },
        .{ .fd = closed[0], .events = sys.POLL.IN, .revents = 0 },
    };
    try waiter.arm(&descriptors, null);
    // Most likely it sleeps then; if not, there is nothing to be let go.
    for (0..5) |_| try Counter.pause(&system);
    system.close(closed[0]);
    waiter.renew(descriptors[0..1]);
    var ended = [_]sys.PollFd{.{ .fd = closed[1], .events = sys.POLL.IN, .revents = 0 }};
    try std.testing.expectEqual(@as(usize, 1), try system.poll(&ended, 10 * std.time.ns_per_s));
    try sendByte(&system, kept[1]);
    try Counter.wait(1);
}
