//! The fuzz: the real event context on a fake system, in as many ways as there are seeds. How it works:
//!
//! 1. `fake_system.zig`, `fake_poller.zig` and `fake_claim.zig` stand in for the operating system, in memory. They
//!    cut, delay, refuse and fail as the seed's dice have it, and remember every byte (`kernel.zig`, `fault.zig`).
//! 2. `scenario.zig` lets contexts talk to each other and to peers that behave badly (`actor.zig`, `peer.zig`).
//! 3. After every step `actor.zig` and `side.zig` hold what contexts say against what has really happened. The
//!    first difference ends the run and prints the seed.
//!
//!     zig build fuzz                         a thousand random seeds
//!     zig build fuzz -- --runs N             N random seeds
//!     zig build fuzz -- --seed S             exactly this one
//!     zig build fuzz -- --seed S --verbose   and all that happens in it
//!     zig build fuzz -- --help               what each of these does

const std = @import("std");
const scenario = @import("scenario.zig");
const sys = @import("sys");

const runs_default = 1000;
/// So many seeds between two lines about the progress.
const runs_per_report = 10_000;

const Arguments = struct {
    seed: ?u64 = null,
    runs: u64 = runs_default,
    verbose: bool = false,
    help: bool = false,
};

const usage = "usage: fuzz [--seed N] [--runs N] [--verbose] [--help]\n";
const help = usage ++ std.fmt.comptimePrint(
    \\
    \\Lets event contexts talk on a system in memory that fails as a seed's dice have it. It ends with 0 if nothing was
    \\found; else with 1, and the seed that found something.
    \\
    \\  --seed N     only the run of this seed, which is the same each time
    \\  --runs N     so many runs, of seeds from a random one on; {d} without it
    \\  --verbose    print all that happens
    \\  --help       print this
    \\
, .{runs_default});

pub fn main(init: std.process.Init.Minimal) u8 {
    var words = init.args.iterate();
    _ = words.next();
    const arguments = parse(&words) orelse {
        std.debug.print(usage, .{});
        return 2;
    };
    if (arguments.help) return if (std.c.write(1, help, help.len) == help.len) 0 else 1;
    var fuzz: Fuzz = .{ .verbose = arguments.verbose };
    defer fuzz.deinit();
    if (arguments.seed) |seed| return if (fuzz.run(seed)) 0 else 1;
    const start = drawStart();
    for (0..arguments.runs) |index| {
        if (!fuzz.run(start +% index)) return 1;
        const done = index + 1;
        if (done % runs_per_report == 0) std.debug.print("{d} of {d} seeds\n", .{ done, arguments.runs });
    }
    std.debug.print("{d} seeds from {d} on: nothing found\n", .{ arguments.runs, start });
    return 0;
}

/// `words` is an iterator over what stands behind the program's name.
fn parse(words: anytype) ?Arguments {
    var arguments: Arguments = .{};
    while (words.next()) |word| {
        if (std.mem.eql(u8, word, "--help")) {
            arguments.help = true;
        } else if (std.mem.eql(u8, word, "--verbose")) {
            arguments.verbose = true;
        } else if (std.mem.eql(u8, word, "--seed")) {
            arguments.seed = std.fmt.parseInt(u64, words.next() orelse return null, 10) catch return null;
        } else if (std.mem.eql(u8, word, "--runs")) {
            arguments.runs = std.fmt.parseInt(u64, words.next() orelse return null, 10) catch return null;
        } else return null;
    }
    return arguments;
}

/// A panic inside a context must name its seed as well.
var current: u64 = 0;

pub const panic = std.debug.FullPanic(panicked);

fn panicked(message: []const u8, address: ?usize) noreturn {
    std.debug.print("seed {d}\n", .{current});
    std.debug.defaultPanic(message, address);
}

const Fuzz = struct {
    verbose: bool,
    runner: scenario.Runner = .{},
    /// Never gives the same memory out twice, so whoever uses what was freed is found out.
    memory: std.heap.DebugAllocator(.{ .stack_trace_frames = 0 }) = .init,

    fn deinit(fuzz: *Fuzz) void {
        fuzz.runner.deinit();
        _ = fuzz.memory.deinit();
    }

    /// Whether nothing was found.
    fn run(fuzz: *Fuzz, seed: u64) bool {
        current = seed;
        const outcome = fuzz.runner.run(.{ .seed = seed, .verbose = fuzz.verbose, .allocator = fuzz.memory.allocator() });
        const complaint = outcome.complaint() orelse return true;
        std.debug.print("seed {d}\n{s}\n", .{ seed, complaint });
        return false;
    }
};

/// Another one each time; short enough to be typed.
fn drawStart() u64 {
    var system: sys.System = .{};
    const now: u64 = system.monotonic();
    return std.hash.int(now) >> 32;
}

fn parseText(text: []const u8) ?Arguments {
    var words = std.mem.tokenizeScalar(u8, text, ' ');
    return parse(&words);
}

test "what is asked for is understood, and what is not is refused" {
    const expectEqual = std.testing.expectEqual;
    try expectEqual(Arguments{}, parseText("").?);
    try expectEqual(Arguments{ .runs = 7, .verbose = true }, parseText("--runs 7 --verbose").?);
    try expectEqual(Arguments{ .seed = 3 }, parseText("--seed 3").?);
    try expectEqual(Arguments{ .help = true }, parseText("--help").?);
    for ([_][]const u8{ "--seed", "--seed x", "--runs -1", "help", "--seed=3" }) |text| {
        try expectEqual(null, parseText(text));
    }
    for ([_][]const u8{ "--seed N", "--runs N", "--verbose", "--help" }) |flag| {
        try std.testing.expect(std.mem.indexOf(u8, help, flag) != null);
    }
}
