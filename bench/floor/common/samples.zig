//! The round trips of one round, as the benchmark is told of them.

const std = @import("std");
const control = @import("control.zig");
const socket = @import("socket.zig");

const samples_max = 1 << 16; // as many as the line to the benchmark can reasonably carry
const sample_digits_max = 20;

var samples: [samples_max]u64 = undefined;
var report: [samples_max * (sample_digits_max + 1) + 64]u8 = undefined;

pub const Round = struct {
    count: usize = 0,
    total: u64 = 0,
    until: u64,

    pub fn begin(plan: control.Plan) Round {
        return .{ .until = control.now() + plan.nanoseconds };
    }

    pub fn over(round: Round) bool {
        return round.count == samples_max or (round.count > 0 and control.now() >= round.until);
    }

    pub fn add(round: *Round, nanoseconds: u64) void {
        samples[round.count] = nanoseconds;
        round.count += 1;
        round.total += nanoseconds;
    }

    pub fn tell(round: Round) void {
        write(round.total, round.count, samples[0..round.count]);
    }
};

/// The same of a stream, which has no samples.
pub fn tellStream(nanoseconds: u64, count: usize) void {
    write(nanoseconds, count, &.{});
}

fn write(nanoseconds: u64, count: usize, round: []const u64) void {
    var writer: std.Io.Writer = .fixed(&report);
    print(&writer, nanoseconds, count, round) catch socket.die("the report is too long", .{});
    control.writeAll(writer.buffered());
}

fn print(
    writer: *std.Io.Writer,
    nanoseconds: u64,
    count: usize,
    round: []const u64,
) std.Io.Writer.Error!void {
    const form = "{{\"nanoseconds\":{d},\"count\":{d},\"samples\":[";
    try writer.print(form, .{ nanoseconds, count });
    for (round, 0..) |sample, index| {
        if (index > 0) try writer.writeByte(',');
        try writer.print("{d}", .{sample});
    }
    try writer.writeAll("]}\n");
}
