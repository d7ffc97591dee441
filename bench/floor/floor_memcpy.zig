//! The floor of a one-way stream through memory: one program that copies each message once, from
//! where it lies into a buffer of the size of a ring, and looks at its first and last byte there.
//!
//!     floor_memcpy

const std = @import("std");
const control = @import("common/control.zig");
const pattern = @import("common/pattern.zig");
const samples = @import("common/samples.zig");
const socket = @import("common/socket.zig");

const buffer_bytes = 1024 * 1024; // what a ring has by default
const batch_bytes = 256 * 1024; // a clock is read once a batch

var buffer: [buffer_bytes]u8 align(4096) = undefined;

pub fn main() void {
    pattern.init();
    control.ready();
    while (control.next()) |plan| {
        var sum: u64 = 0;
        var expected: u64 = 0;
        var count: usize = 0;
        var at: usize = 0;
        const begin = control.now();
        while (control.now() - begin < plan.nanoseconds) {
            for (0..@max(1, batch_bytes / plan.bytes)) |_| {
                if (at + plan.bytes > buffer.len) at = 0;
                const message = buffer[at..][0..plan.bytes];
                @memcpy(message, pattern.payload(count, plan.bytes));
                // What was copied is there: the compiler may not leave any of it out.
                std.mem.doNotOptimizeAway(message.ptr);
                sum += @as(u64, message[0]) + message[plan.bytes - 1];
                at += plan.bytes;
                count += 1;
            }
        }
        const total = control.now() - begin;
        for (0..count) |k| expected += pattern.ends(k, plan.bytes);
        if (sum != expected) socket.die("something else was copied", .{});
        samples.tellStream(total, count);
    }
}
