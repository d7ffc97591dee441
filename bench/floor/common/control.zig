//! How the benchmark steers a driver: it writes one line "BYTES MILLISECONDS" for each round, and
//! reads one line of JSON with what came of it. Between rounds the driver sleeps in that read.

const std = @import("std");
const socket = @import("socket.zig");
const c = std.c;

pub const Plan = struct { bytes: usize, nanoseconds: u64 };

const line_bytes_max = 128; // two decimal numbers and a blank

pub fn ready() void {
    writeAll("ready\n");
}

/// The next round, or null when the benchmark has closed the line.
pub fn next() ?Plan {
    var line: [line_bytes_max]u8 = undefined;
    var length: usize = 0;
    while (true) {
        if (length == line.len) socket.die("control line too long", .{});
        const count = c.read(0, line[length..].ptr, 1);
        if (count < 0 and c._errno().* == @intFromEnum(c.E.INTR)) continue;
        if (count <= 0) return null;
        if (line[length] == '\n') break;
        length += 1;
    }
    var words = std.mem.tokenizeScalar(u8, line[0..length], ' ');
    const bytes = number(words.next());
    const milliseconds = number(words.next());
    return .{ .bytes = bytes, .nanoseconds = milliseconds * std.time.ns_per_ms };
}

fn number(word: ?[]const u8) usize {
    return std.fmt.parseInt(usize, word orelse "", 10) catch socket.die("bad control line", .{});
}

pub fn writeAll(bytes: []const u8) void {
    var written: usize = 0;
    while (written < bytes.len) {
        const count = c.write(1, bytes.ptr + written, bytes.len - written);
        if (count >= 0) {
            written += @intCast(count);
        } else if (c._errno().* != @intFromEnum(c.E.INTR)) {
            std.process.exit(1); // the benchmark is gone
        }
    }
}

pub fn now() u64 {
    var time: c.timespec = undefined;
    _ = c.clock_gettime(.MONOTONIC, &time);
    return @as(u64, @intCast(time.sec)) * std.time.ns_per_s + @as(u64, @intCast(time.nsec));
}
