//! The floor of a round trip through shared memory: two plain programs, and a cache line for each
//! direction that says when there is something. No ring, no queue, no check.
//!
//!     floor_memory serve PATH spin|yield|futex
//!     floor_memory drive PATH spin|yield|futex
//!
//! The memory is a file at PATH that both have mapped. With `futex` each side sleeps for the other,
//! and wakes it with every message. A message without bytes ends a round: the server answers it and
//! sleeps until the next round begins, so that nobody spins while another row is being measured.

const std = @import("std");
const sys = @import("sys");
const control = @import("common/control.zig");
const pattern = @import("common/pattern.zig");
const samples = @import("common/samples.zig");
const roles = @import("common/role.zig");
const socket = @import("common/socket.zig");
const c = std.c;

const trips_warm = 16; // enough to have both processes awake and their caches filled
const ever = std.math.maxInt(i32) * std.time.ns_per_s;

const Waiting = enum { spin, yield, futex };

const Slot = extern struct {
    /// How many messages there have been.
    count: std.atomic.Value(u32) align(std.atomic.cache_line),
    bytes: u32,
    payload: [pattern.payload_bytes_max]u8 align(64),

    fn put(slot: *Slot, payload: []const u8, wakes: bool) void {
        @memcpy(slot.payload[0..payload.len], payload);
        slot.bytes = @intCast(payload.len);
        // Pairs with the load in `wait`.
        slot.count.store(slot.count.raw +% 1, .release);
        if (wakes) sys.shared.wake(&slot.count.raw);
    }

    fn wait(slot: *Slot, seen: u32, waiting: Waiting) []const u8 {
        while (slot.count.load(.acquire) == seen) switch (waiting) {
            .spin => std.atomic.spinLoopHint(),
            .yield => _ = c.sched_yield(),
            .futex => sys.shared.sleep(&slot.count.raw, seen, ever),
        };
        return slot.payload[0..slot.bytes];
    }
};

const Shared = extern struct { question: Slot, answer: Slot };

const usage = "floor_memory serve|drive PATH spin|yield|futex";

pub fn main(init: std.process.Init.Minimal) void {
    var role = roles.read(init, usage);
    const waiting = std.meta.stringToEnum(Waiting, role.option()) orelse role.refuse();
    switch (role.name) {
        .serve => serve(role.path, waiting),
        .drive => drive(role.path, waiting),
    }
}

fn map(path: []const u8) *Shared {
    const flags: c.O = .{ .ACCMODE = .RDWR, .CREAT = true, .CLOEXEC = true };
    var buffer: [256]u8 = undefined;
    const name = std.fmt.bufPrintSentinel(&buffer, "{s}", .{path}, 0) catch socket.die("the path is too long", .{});
    const fd = c.open(name, flags, @as(c_uint, 0o600));
    if (fd < 0 or c.ftruncate(fd, @sizeOf(Shared)) != 0) socket.die("cannot make {s}", .{path});
    const protection: c.PROT = .{ .READ = true, .WRITE = true };
    const pages = c.mmap(null, @sizeOf(Shared), protection, .{ .TYPE = .SHARED }, fd, 0);
    if (pages == c.MAP_FAILED) socket.die("cannot map {s}", .{path});
    return @ptrCast(@alignCast(pages));
}

fn serve(path: []const u8, waiting: Waiting) void {
    const shared = map(path);
    control.ready();
    var how: Waiting = .futex;
    var seen: u32 = 0;
    while (true) {
        const payload = shared.question.wait(seen, how);
        seen +%= 1;
        how = if (payload.len == 0) .futex else waiting;
        shared.answer.put(payload, waiting == .futex);
    }
}

fn drive(path: []const u8, waiting: Waiting) void {
    const shared = map(path);
    control.ready();
    while (control.next()) |plan| {
        shared.question.put(pattern.payload(0, plan.bytes), true);
        _ = shared.answer.wait(shared.question.count.raw -% 1, waiting);
        for (0..trips_warm) |k| _ = trip(shared, k, plan.bytes, waiting);
        var round: samples.Round = .begin(plan);
        while (!round.over()) round.add(trip(shared, round.count, plan.bytes, waiting));
        _ = trip(shared, 0, 0, waiting);
        round.tell();
    }
}

/// One round trip of message k, in nanoseconds, from the bytes in hand to the answer in hand.
/// Comparing lies outside the timed part.
fn trip(shared: *Shared, k: usize, bytes: usize, waiting: Waiting) u64 {
    const payload = pattern.payload(k, bytes);
    const seen = shared.answer.count.raw;
    const begin = control.now();
    shared.question.put(payload, waiting == .futex);
    const answer = shared.answer.wait(seen, waiting);
    const end = control.now();
    if (!std.mem.eql(u8, answer, payload)) socket.die("wrong answer", .{});
    return end - begin;
}
