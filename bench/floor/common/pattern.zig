//! The payload of message k: 256 overlapping views of one random block, so that neighbouring
//! messages differ in every byte and yet cost nothing to make.

const std = @import("std");

pub const payload_bytes_max = 1 << 20; // the largest size the suites ask for is 64 KiB
const views = 256;

var block: [payload_bytes_max + views - 1]u8 = undefined;

pub fn init() void {
    var random: std.Random.DefaultPrng = .init(0x6561_7273_686f_7400);
    random.random().bytes(&block);
}

pub fn payload(k: usize, bytes: usize) []const u8 {
    return block[k % views ..][0..bytes];
}

/// What a receiver adds up for message k.
pub fn ends(k: usize, bytes: usize) u64 {
    const view = payload(k, bytes);
    return @as(u64, view[0]) + view[bytes - 1];
}
