//! Letting others run between two looks, for who looks for something again and again and may share the only processor
//! with whoever is to bring it. Whether he does shows in how long a yield takes: where nobody else wants the processor,
//! each only keeps him from looking, and the next one comes later and later. How long one in vain takes is learned first.

const std = @import("std");

/// So many in vain are told by the system, which counts how often somebody else ran: to ask it takes as long as to yield. By
/// the quickest of them the others are told.
const lessons_max = 4;
/// Somebody ran if it took so many times as long. The system call alone takes 0.2 µs, and 1.2 µs with two changes of processes
/// (Linux 6.18, Xeon of 2023); 0.5 and 3.4 µs on a processor that is slower at both (EPYC of 2024, in a virtual machine).
const switched_times = 3;
/// Linux lets who yields go on now and then though somebody waits (one time in three), and not so many times in a row.
const vain_min = 4;
/// After those there is none for so long, and then for twice as long, and so on.
const gap_ns_min = 1500;
/// Between two that were in vain there is no more than this, and so a yield takes some fiftieth of a long look.
const gap_ns_max = 20 * std.time.ns_per_us;

/// If others kept it for so long, one of them computes, as a compiler does, and gives nothing back: the system takes each
/// yield for a share given up, and would put off who yields for longer and longer.
const crowded_ns = 2 * std.time.ns_per_ms;
/// Then it is not looked for so long, but slept, out of which whoever has waited is woken before those who compute.
const crowded_rest_ns = 10 * std.time.ns_per_ms;

pub const Yielder = struct {
    /// There is another processor for whoever is waited for.
    needless: bool,
    lessons: u8 = 0,
    /// The quickest of those.
    vain_ns: u64 = std.math.maxInt(u64),
    /// Yields in a row in which nobody ran.
    vain: u8 = 0,
    gap_ns: u64 = 0,
    due_ns: u64 = 0,
    /// Until then others compute on the only processor.
    crowded_until_ns: u64 = 0,

    pub fn init(system: anytype) Yielder {
        return .{ .needless = system.processorsUsable() > 1 };
    }

    /// Whether to look is better than to sleep at that time of `monotonic`.
    pub fn mayLook(yielder: *const Yielder, now_ns: u64) bool {
        return now_ns >= yielder.crowded_until_ns;
    }

    /// Returns when others have had their turn: a time of `monotonic`, of which `now_ns` is one. Null if there was none.
    pub fn yield(yielder: *Yielder, system: anytype, now_ns: u64) ?u64 {
        if (yielder.needless or now_ns < yielder.due_ns) return null;
        const learns = yielder.lessons < lessons_max;
        const switches = if (learns) system.switches() else 0;
        const before_ns = if (learns) system.monotonic() else now_ns;
        system.yield();
        const after_ns = system.monotonic();
        const took_ns = after_ns -| before_ns;
        const in_vain = if (learns) system.switches() == switches else took_ns < switched_times *| yielder.vain_ns;
        if (learns and in_vain) {
            yielder.lessons += 1;
            yielder.vain_ns = @min(yielder.vain_ns, took_ns);
        }
        yielder.vain = if (in_vain) yielder.vain +| 1 else 0;
        yielder.gap_ns = if (yielder.vain < vain_min) 0 else @min(2 * yielder.gap_ns + gap_ns_min, gap_ns_max);
        yielder.due_ns = after_ns + yielder.gap_ns;
        if (took_ns >= crowded_ns) yielder.crowded_until_ns = after_ns + crowded_rest_ns;
        return after_ns;
    }
};

/// A processor on which somebody else runs for so long with each yield, or nobody.
const Shared = struct {
    processors: u32 = 1,
    now_ns: u64 = 1000,
    call_ns: u64 = 200,
    others_ns: u64 = 0,
    yields: u32 = 0,
    switched: u64 = 0,

    fn processorsUsable(shared: *Shared) u32 {
        return shared.processors;
    }

    fn monotonic(shared: *Shared) u64 {
        return shared.now_ns;
    }

    fn yield(shared: *Shared) void {
        shared.yields += 1;
        shared.switched += @intFromBool(shared.others_ns > 0);
        shared.now_ns += shared.call_ns + shared.others_ns;
    }

    fn switches(shared: *Shared) u64 {
        return shared.switched;
    }

    /// Looks for so long, each time for half a microsecond, and returns how often it yielded.
    fn look(shared: *Shared, yielder: *Yielder, time_ns: u64) u32 {
        const until_ns = shared.now_ns + time_ns;
        const before = shared.yields;
        while (shared.now_ns < until_ns) {
            shared.now_ns += 500;
            _ = yielder.yield(shared, shared.now_ns);
        }
        return shared.yields - before;
    }
};

test "others run after each look where that is what they wait for" {
    var shared: Shared = .{ .others_ns = 1000 };
    var yielder: Yielder = .init(&shared);
    try std.testing.expectEqual(10, shared.look(&yielder, 10 * 1700));
}

test "they run as often where the system lets one go on now and then though they wait" {
    var shared: Shared = .{};
    var yielder: Yielder = .init(&shared);
    for (0..10) |_| {
        shared.others_ns = 0;
        try std.testing.expectEqual(vain_min - 1, shared.look(&yielder, (vain_min - 1) * 700));
        shared.others_ns = 1000;
        try std.testing.expectEqual(1, shared.look(&yielder, 1700));
    }
}

test "where nobody wants the processor it is hardly ever given away, and at once again when somebody does" {
    // However quick the system is.
    for ([_]u64{ 50, 200, 600, 2000 }) |call_ns| {
        var shared: Shared = .{ .call_ns = call_ns };
        var yielder: Yielder = .init(&shared);
        try std.testing.expect(shared.look(&yielder, std.time.ns_per_ms) < 60);
        // What it takes varies, and is not taken for somebody.
        shared.call_ns = 2 * call_ns;
        try std.testing.expect(shared.look(&yielder, std.time.ns_per_ms) < 60);
        shared.others_ns = 5 * call_ns;
        const trip_ns = 500 + shared.call_ns + shared.others_ns;
        try std.testing.expect(shared.look(&yielder, gap_ns_max + 10 * trip_ns) >= 10);
    }
}

test "where somebody computes nobody looks for a while" {
    var shared: Shared = .{ .others_ns = crowded_ns };
    var yielder: Yielder = .init(&shared);
    try std.testing.expect(yielder.mayLook(shared.now_ns));
    const after_ns = yielder.yield(&shared, shared.now_ns).?;
    try std.testing.expect(!yielder.mayLook(after_ns));
    try std.testing.expect(!yielder.mayLook(after_ns + crowded_rest_ns - 1));
    try std.testing.expect(yielder.mayLook(after_ns + crowded_rest_ns));
}

test "with several processors it is never given away" {
    var shared: Shared = .{ .others_ns = 1000, .processors = 2 };
    var yielder: Yielder = .init(&shared);
    try std.testing.expectEqual(0, shared.look(&yielder, std.time.ns_per_ms));
}
