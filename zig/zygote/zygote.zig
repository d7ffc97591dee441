//! libearshot-zygote: a process that has one thread, waits for requests in one native call, and answers each with a fork of
//! itself, which alone returns from that call.
//!
//!     serve() ──────────────────────────────────────────────────▶ 0: its owner is gone, and its clones are
//!        │ Request         ▲ Report
//!        ▼                 │
//!      fork ──▶ clone: a session, a loop and descriptors of its own ──▶ 1: goes on where the call was made
//!
//! No JavaScript runs in the zygote between two forks, so that all clones begin alike. It waits for its clones by their
//! pidfds, and so needs no signal.

const std = @import("std");
const sys = @import("sys");
const process = sys.process;

pub const code = @import("code.zig");
pub const harden = @import("harden.zig");
pub const inheritance = @import("inheritance.zig");
pub const limits = @import("limits.zig");
pub const pages = @import("pages.zig");
pub const threads = @import("threads.zig");
pub const wire = @import("wire.zig");

const Fd = sys.Fd;
const Request = wire.Request;
const Report = wire.Report;

/// What becomes of the clones of a zygote that was killed.
pub const Orphans = enum(u32) { end = 0, keep = 1 };

/// What a clone exits with that the system has refused what it needs to begin: an epoll, say. As of programs that start
/// others, such as env(1), it is a code that hardly any program of its own accord ends with.
pub const unsettled_exit = 125;

/// So many processes and threads of the user are left to others when no more clones are made: the owner of a zygote is a Bun
/// that may need another thread (for the collector, the compilers, files), and ends where it gets none.
const spared_processes = 16;

pub const Settings = extern struct {
    /// The zygote's end of the conversation with its owner.
    control: Fd,
    /// The end to read from of a pipe whose other end owner and zygote hold, and nobody else: clones die with it. -1 without.
    lifeline: Fd,
    /// What clones are given to end by themselves when the owner is gone.
    grace_ns: i64,
    orphans: Orphans,
    /// Both ends of a socket pair, which each clone has anew under the same numbers; 0 without.
    near: Fd = 0,
    far: Fd = 0,
    padding: u32 = 0,
};

/// What a clone is told of itself.
pub const Clone = extern struct {
    connection: Fd,
    pid: i32,
    ahead: u32,
};

pub const Error = code.Error;

const Living = struct { id: u32, pidfd: Fd };

/// In the place of the number of a clone, for what the owner says.
const control_token = std.math.maxInt(u64);

const Zygote = struct {
    system: *sys.System,
    allocator: std.mem.Allocator,
    settings: Settings,
    inherits: *inheritance.Inheritance,
    epoll: Fd,
    living: std.ArrayList(?Living) = .empty,
    free: std.ArrayList(u32) = .empty,

    fn deinit(zygote: *Zygote) void {
        for (zygote.living.items) |slot| if (slot) |clone| zygote.system.close(clone.pidfd);
        zygote.living.deinit(zygote.allocator);
        zygote.free.deinit(zygote.allocator);
        zygote.system.close(zygote.epoll);
    }

    fn count(zygote: *const Zygote) usize {
        return zygote.living.items.len - zygote.free.items.len;
    }

    /// Returns what it is, in a clone; null in the zygote, when the owner is gone.
    fn run(zygote: *Zygote) Error!?Clone {
        try add(zygote, zygote.settings.control, control_token);
        while (true) {
            var events: [64]sys.epoll.Event = undefined;
            var precise = true;
            const ready = try sys.epoll.wait(zygote.system, zygote.epoll, &events, null, &precise);
            for (events[0..ready]) |event| {
                const token = event.data.u64;
                if (token != control_token) {
                    if (try zygote.reap(@intCast(token)) == .ended) return null;
                } else switch (try zygote.take()) {
                    .clone => |clone| return clone,
                    .ended => return null,
                    .answered => {},
                }
            }
        }
    }

    fn add(zygote: *Zygote, fd: Fd, token: u64) process.Error!void {
        sys.epoll.add(zygote.system, zygote.epoll, fd, sys.epoll.EPOLL.IN, token) catch |failure| return switch (failure) {
            error.OutOfMemory => error.OutOfMemory,
            error.WatchLimit => error.DescriptorLimit,
            error.NotWatchable, error.Unexpected => error.Unexpected,
        };
    }

    const Taken = union(enum) { clone: Clone, answered, ended };

    /// Answers one request.
    fn take(zygote: *Zygote) Error!Taken {
        const system = zygote.system;
        var room: [1]Fd = undefined;
        var arrivals: sys.rights.Arrivals = .{ .room = &room };
        var frame: [wire.header_bytes + @sizeOf(Request)]u8 = undefined;
        const outcome = wire.readAll(system, zygote.settings.control, &frame, &arrivals) catch .ended;
        const request = std.mem.bytesToValue(Request, frame[wire.header_bytes..]);
        defer for (arrivals.fds()) |fd| system.close(fd);
        if (outcome == .ended) return .ended;
        if (arrivals.count == 0) {
            // The owner's system has taken it away: this process has no number left for it.
            system.failure = .{ .errno = @intFromEnum(std.c.E.MFILE), .syscall = .recv };
            return try zygote.answer(.{ .kind = .failed, .id = request.id }, error.DescriptorLimit, &.{});
        }
        const connection = room[0];
        zygote.reserve() catch |failure|
            return try zygote.answer(.{ .kind = .failed, .id = request.id }, failure, &.{});
        const own = process.ownId();
        const pid = process.forkSparing(system, spared_processes) catch |failure|
            return try zygote.answer(.{ .kind = .failed, .id = request.id }, failure, &.{});
        if (pid == 0) {
            arrivals.count = 0;
            zygote.settle(own, connection);
            return .{ .clone = .{ .connection = connection, .pid = process.ownId(), .ahead = request.ahead } };
        }
        const pidfd = process.openProcess(system, pid) catch |failure| {
            // It is a child that nobody has waited for, so that the number is still its own.
            _ = std.c.kill(pid, .KILL);
            _ = std.c.waitpid(pid, null, 0);
            return try zygote.answer(.{ .kind = .failed, .id = request.id }, failure, &.{});
        };
        try zygote.watch(.{ .id = request.id, .pidfd = pidfd });
        return try zygote.answer(.{ .kind = .forked, .id = request.id, .pid = pid }, null, &.{pidfd});
    }

    /// So that nothing that follows a fork fails for lack of memory.
    fn reserve(zygote: *Zygote) error{OutOfMemory}!void {
        try zygote.living.ensureUnusedCapacity(zygote.allocator, 1);
        try zygote.free.ensureTotalCapacity(zygote.allocator, zygote.living.items.len + 1);
    }

    fn watch(zygote: *Zygote, clone: Living) process.Error!void {
        const slot = zygote.free.pop() orelse blk: {
            zygote.living.appendAssumeCapacity(null);
            break :blk @as(u32, @intCast(zygote.living.items.len - 1));
        };
        zygote.living.items[slot] = clone;
        try zygote.add(clone.pidfd, slot);
    }

    fn answer(zygote: *Zygote, report: Report, failure: ?code.Error, fds: []const Fd) Error!Taken {
        var told = report;
        if (failure) |met| {
            told.code = code.of(met);
            told.errno_value = zygote.system.failure.errno;
            told.syscall = @intFromEnum(zygote.system.failure.syscall);
        }
        const frame = wire.frameOf(Report, told);
        const outcome = wire.writeAll(zygote.system, zygote.settings.control, &frame, fds) catch .ended;
        return if (outcome == .ended) .ended else .answered;
    }

    /// Takes leave of a clone that has ended, and tells the owner.
    fn reap(zygote: *Zygote, slot: u32) Error!wire.Outcome {
        const clone = zygote.living.items[slot] orelse return .done;
        const ending = try process.reap(zygote.system, clone.pidfd) orelse return .done;
        // The owner has it as well, so that closing it here does not end the watch.
        sys.epoll.remove(zygote.epoll, clone.pidfd);
        zygote.system.close(clone.pidfd);
        zygote.living.items[slot] = null;
        zygote.free.appendAssumeCapacity(slot);
        const report: Report = switch (ending) {
            .code => |status| .{ .kind = .ended, .id = clone.id, .code = status },
            .signal => |signal| .{ .kind = .ended, .id = clone.id, .code = -1, .signal = signal },
        };
        return switch (try zygote.answer(report, null, &.{})) {
            .ended => .ended,
            else => .done,
        };
    }

    /// In a clone: makes it a process that has nothing in common with the zygote but what it remembers.
    fn settle(zygote: *Zygote, zygote_id: i32, connection: Fd) void {
        process.unblockSignals();
        process.leaveSession();
        if (zygote.settings.orphans == .end) {
            process.setParentDeathSignal(@intFromEnum(std.c.SIG.KILL));
            if (process.parent() != zygote_id) process.leave(1);
        }
        // Without a word: whoever waits for none would take it for what a module sends.
        zygote.settleDescriptors(connection) catch process.leave(unsettled_exit);
    }

    fn settleDescriptors(zygote: *Zygote, connection: Fd) process.Error!void {
        const system = zygote.system;
        const pair = [_]Fd{ zygote.settings.near, zygote.settings.far };
        var kept = [_]Fd{ connection, connection, connection, connection };
        if (zygote.settings.lifeline >= 0) kept[1] = try process.reopen(system, zygote.settings.lifeline);
        if (pair[0] > 0) kept[2..].* = pair;
        try zygote.inherits.keepOnly(system, &kept);
        if (pair[0] > 0) try renewPair(system, pair);
        try zygote.inherits.renew(system, &kept);
        // Owner and zygote may both have gone meanwhile.
        if (kept[1] != connection) try process.dieWith(system, kept[1]);
    }

    /// What one of all clones writes into the old one is for none of the others.
    fn renewPair(system: *sys.System, numbers: [2]Fd) process.Error!void {
        const fresh = system.pair() catch |failure| return switch (failure) {
            error.DescriptorLimit => error.DescriptorLimit,
            error.Unexpected => error.Unexpected,
        };
        defer for (fresh) |fd| system.close(fd);
        for (fresh, numbers) |fd, number| try process.replace(system, fd, number);
    }

    /// The owner is gone: clones see that by their connections, and who has not ended in time is killed.
    fn end(zygote: *Zygote) void {
        const system = zygote.system;
        const until = system.monotonic() + @as(u64, @intCast(@max(0, zygote.settings.grace_ns)));
        var killed = false;
        while (zygote.count() > 0) {
            const now = system.monotonic();
            if (now >= until and !killed) {
                killed = true;
                for (zygote.living.items) |slot| if (slot) |clone|
                    process.signalProcess(system, clone.pidfd, @intFromEnum(std.c.SIG.KILL)) catch {};
            }
            var events: [64]sys.epoll.Event = undefined;
            var precise = true;
            const patience: ?u64 = if (killed) null else until - now;
            const ready = sys.epoll.wait(system, zygote.epoll, &events, patience, &precise) catch return;
            for (events[0..ready]) |event| {
                if (event.data.u64 == control_token) continue;
                _ = zygote.reap(@intCast(event.data.u64)) catch return;
            }
        }
    }
};

/// Answers requests until the owner is gone, and all clones are. Returns what it is, in a clone.
pub fn serve(system: *sys.System, allocator: std.mem.Allocator, settings: Settings) Error!?Clone {
    var names: [1]u8 = undefined;
    var written: usize = undefined;
    if (try threads.list(system, &names, &written) > 0) return error.NotAlone;
    try pages.prepare(system, allocator);
    const inherits = try allocator.create(inheritance.Inheritance);
    defer allocator.destroy(inherits);
    try inherits.study(system);
    const epoll = sys.epoll.create(system) catch |failure| return switch (failure) {
        error.DescriptorLimit => error.DescriptorLimit,
        error.Unexpected => error.Unexpected,
    };
    var zygote: Zygote = .{
        .system = system,
        .allocator = allocator,
        .settings = settings,
        .inherits = inherits,
        .epoll = epoll,
    };
    const clone = try zygote.run();
    if (clone != null) {
        // Its descriptors are closed already, and their numbers may be somebody else's.
        zygote.living.deinit(allocator);
        zygote.free.deinit(allocator);
        return clone;
    }
    sys.epoll.remove(epoll, settings.control);
    zygote.end();
    zygote.deinit();
    return null;
}

test {
    _ = code;
    _ = harden;
    _ = inheritance;
    _ = limits;
    _ = pages;
    _ = threads;
    _ = wire;
    _ = @import("suite.zig");
}
