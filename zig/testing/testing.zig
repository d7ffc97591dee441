//! The seeded fake of `sys/`, and the runs of it that are part of every test run.

const std = @import("std");
const builtin = @import("builtin");
const Planted = @import("fault.zig").Planted;
const scenario = @import("scenario.zig");

/// As many as a test run may take time for; `zig build fuzz` is for more.
/// Other processors than these are emulated as a rule, where a run takes some twenty times as long.
const seeds = if (builtin.cpu.arch == .x86_64) 3000 else 500;
/// A planted mistake must show within so many seeds.
const planted_seeds_max = 200;

test "contexts keep their promises in thousands of random runs" {
    var runner: scenario.Runner = .{};
    defer runner.deinit();
    for (0..seeds) |seed| {
        const outcome = runner.run(.{ .seed = seed, .allocator = std.testing.allocator });
        const text = outcome.complaint() orelse continue;
        std.debug.print("zig build fuzz -- --seed {d}\n{s}\n", .{ seed, text });
        return error.PromiseBroken;
    }
}

test "a mistake in the system beneath shows, so the runs are able to fail" {
    var runner: scenario.Runner = .{};
    defer runner.deinit();
    for (std.enums.values(Planted)) |planted| {
        for (0..planted_seeds_max) |seed| {
            const outcome = runner.run(.{ .seed = seed, .planted = planted, .allocator = std.heap.page_allocator });
            if (outcome.complaint() != null) break;
        } else {
            std.debug.print("{t} goes unnoticed\n", .{planted});
            return error.MistakeUnnoticed;
        }
    }
}

test "the same seed is the same run" {
    var runner: scenario.Runner = .{};
    defer runner.deinit();
    for (0..20) |seed| {
        const first = runner.run(.{ .seed = seed, .allocator = std.testing.allocator });
        const second = runner.run(.{ .seed = seed, .allocator = std.testing.allocator });
        try std.testing.expectEqual(first.fingerprint, second.fingerprint);
    }
}

test {
    _ = @import("fuzz.zig");
    _ = @import("fake_poller.zig");
}
