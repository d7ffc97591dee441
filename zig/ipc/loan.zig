//! The buffer of a message too large for the inbox. It grows as the bytes arrive, so that a peer which announces
//! much and sends little costs little; when it is whole the reader may take it over and free it later.
//!
//! The capacity stands in front of the payload, so that the payload's address alone is enough to free it.

const std = @import("std");
const buffers = @import("buffer.zig");

const prefix_bytes = buffers.alignment.toByteUnits();
/// What a large message begins with, and doubles from: enough that doubling is rare, little enough that ten
/// thousand peers who announce the limit do not exhaust the memory.
const initial_bytes = 256 * 1024;

pub const Loan = struct {
    memory: buffers.Buffer,
    length: u32,
    filled: u32 = 0,

    /// A buffer for a message of `length` bytes, of which `first` have arrived.
    pub fn begin(allocator: std.mem.Allocator, length: u32, first: []const u8) error{OutOfMemory}!Loan {
        const capacity = @max(@min(length, initial_bytes), first.len);
        const memory = try buffers.alloc(allocator, prefix_bytes + capacity);
        @memcpy(memory[prefix_bytes..][0..first.len], first);
        return .{ .memory = memory, .length = length, .filled = @intCast(first.len) };
    }

    pub fn deinit(loan: *Loan, allocator: std.mem.Allocator) void {
        buffers.free(allocator, loan.memory);
        loan.* = undefined;
    }

    /// Where the next bytes go: never empty while the message is not whole, never beyond its end.
    pub fn rest(loan: *Loan, allocator: std.mem.Allocator) error{OutOfMemory}![]u8 {
        const capacity = loan.memory.len - prefix_bytes;
        if (loan.filled == capacity and capacity < loan.length) {
            const larger = @min(loan.length, capacity * 2);
            loan.memory = try buffers.resize(allocator, loan.memory, prefix_bytes + larger);
        }
        return loan.memory[prefix_bytes + loan.filled ..];
    }

    /// What is there of the payload.
    pub fn arrived(loan: *const Loan) []const u8 {
        return loan.memory[prefix_bytes..][0..loan.filled];
    }

    pub fn whole(loan: *const Loan) bool {
        return loan.filled == loan.length;
    }

    /// Gives the payload away; `free` takes it back.
    pub fn give(loan: *Loan) [*]u8 {
        std.mem.writeInt(u64, loan.memory[0..8], loan.memory.len, .little);
        return loan.memory.ptr + prefix_bytes;
    }

    pub fn free(allocator: std.mem.Allocator, payload: [*]u8) void {
        const start: [*]align(prefix_bytes) u8 = @alignCast(payload - prefix_bytes);
        buffers.free(allocator, start[0..@intCast(std.mem.readInt(u64, start[0..8], .little))]);
    }
};

test "a loan grows with what arrives and can be given away and freed" {
    const allocator = std.testing.allocator;
    const length = 3 * initial_bytes + 5;
    var loan = try Loan.begin(allocator, length, "abc");
    try std.testing.expectEqual(@as(usize, prefix_bytes + initial_bytes), loan.memory.len);
    while (!loan.whole()) {
        const space = try loan.rest(allocator);
        const step = @min(space.len, 100_000);
        @memset(space[0..step], 'x');
        loan.filled += @intCast(step);
    }
    const payload = loan.give();
    defer Loan.free(allocator, payload);
    try std.testing.expectEqualStrings("abcxx", payload[0..5]);
    try std.testing.expectEqual('x', payload[length - 1]);
}

test "no memory to grow into: the loan stays what it was" {
    var failures: std.testing.FailingAllocator = .init(std.testing.allocator, .{ .fail_index = 1, .resize_fail_index = 0 });
    var loan = try Loan.begin(failures.allocator(), 2 * initial_bytes, "abc");
    defer loan.deinit(failures.allocator());
    loan.filled = initial_bytes;
    try std.testing.expectError(error.OutOfMemory, loan.rest(failures.allocator()));
    try std.testing.expectEqual(@as(u32, initial_bytes), loan.filled);
}
