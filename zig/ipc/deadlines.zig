//! Everything in a context that waits for a moment: timers, stalled peers, connections that are still draining,
//! services that have paused accepting. One ordered set, so that the poller's timeout is one look-up.

const std = @import("std");
const Handle = @import("library").handle.Handle;

const Key = struct {
    at_ns: u64,
    handle: Handle,

    fn order(a: Key, b: Key) std.math.Order {
        return switch (std.math.order(a.at_ns, b.at_ns)) {
            .eq => std.math.order(a.handle.number(), b.handle.number()),
            else => |other| other,
        };
    }
};

const Treap = std.Treap(Key, Key.order);

/// One object's place in the set; it lives inside the object.
pub const Deadline = struct {
    node: Treap.Node = undefined,
    armed: bool = false,
};

pub const Deadlines = struct {
    treap: Treap = .{},

    /// Sets `deadline` to `at_ns` on the monotonic clock, whether or not it was set before.
    pub fn set(deadlines: *Deadlines, deadline: *Deadline, handle: Handle, at_ns: u64) void {
        deadlines.clear(deadline);
        var entry = deadlines.treap.getEntryFor(.{ .at_ns = at_ns, .handle = handle });
        // A handle has one deadline, so the key is not taken.
        std.debug.assert(entry.node == null);
        entry.set(&deadline.node);
        deadline.armed = true;
    }

    pub fn clear(deadlines: *Deadlines, deadline: *Deadline) void {
        if (!deadline.armed) return;
        var entry = deadlines.treap.getEntryForExisting(&deadline.node);
        entry.set(null);
        deadline.armed = false;
    }

    /// The earliest moment anything waits for.
    pub fn next(deadlines: *const Deadlines) ?u64 {
        const node = deadlines.treap.getMin() orelse return null;
        return node.key.at_ns;
    }

    pub const Due = struct { handle: Handle, at_ns: u64 };

    /// Takes the earliest deadline out of the set if it is due.
    pub fn popDue(deadlines: *Deadlines, now_ns: u64) ?Due {
        const node = deadlines.treap.getMin() orelse return null;
        if (node.key.at_ns > now_ns) return null;
        const due: Due = .{ .handle = node.key.handle, .at_ns = node.key.at_ns };
        const deadline: *Deadline = @fieldParentPtr("node", node);
        deadlines.clear(deadline);
        return due;
    }
};

test "deadlines come due in order, and cleared ones never" {
    var deadlines: Deadlines = .{};
    var all: [100]Deadline = @splat(.{});
    var random: std.Random.DefaultPrng = .init(std.testing.random_seed);
    for (&all, 1..) |*deadline, number| {
        deadlines.set(deadline, .from(@intCast(number)), random.random().uintLessThan(u64, 50));
    }
    for (all[0..20]) |*deadline| deadlines.clear(deadline);
    for (all[20..40], 21..) |*deadline, number| deadlines.set(deadline, .from(@intCast(number)), 60);
    var last: u64 = 0;
    var count: usize = 0;
    while (deadlines.popDue(59)) |due| : (count += 1) {
        try std.testing.expect(due.at_ns >= last);
        try std.testing.expect(due.handle.number() > 40);
        last = due.at_ns;
    }
    try std.testing.expectEqual(@as(usize, 60), count);
    try std.testing.expectEqual(@as(?u64, 60), deadlines.next());
    while (deadlines.popDue(60)) |_| count += 1;
    try std.testing.expectEqual(@as(usize, 80), count);
    try std.testing.expectEqual(null, deadlines.next());
}
