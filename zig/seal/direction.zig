//! One direction of a sealed connection: the key, the number of the next record, and when the key
//! makes place for the next. The end that sends seals with it, the other opens with its own.
//!
//!     record    the bytes, encrypted | tag, 16 bytes
//!     beside    version, 1 byte | suite, 1 byte | kind, 1 byte | 0 | length, u32 | number, u64
//!     nonce     number
//!
//! What stands beside is authenticated and never sent; numbers are big-endian. Records are numbered
//! from 0 and in no other order opened, so one that is missing, comes twice, or comes early is as bad
//! as one that was changed. The number is implied: a record is 16 bytes longer than what is in it.
//!
//! Before a record would take a key over one of its limits, both ends go on to the next key, as
//! Noise has it (rev 34, 4.2, rekey): the first 32 bytes of what becomes of 32 zero bytes under the
//! old one, with the number 2 ^ 64 - 1 and nothing beside. The count of records and of bytes is the
//! same at both ends, so nobody has to say so. Numbers go on: they never come twice, whatever the key.

const std = @import("std");
const assert = std.debug.assert;
const aead = @import("aead.zig");
const cipher = @import("cipher.zig");
const Suite = @import("suite.zig").Suite;

pub const Key = aead.Key;

/// The number of this format.
pub const version = 1;

/// By how much a record is longer than what is in it.
pub const tag_bytes = aead.tag_bytes;

/// The longest message: with its tag its length still fits an i32, as results have to.
pub const message_bytes_max = std.math.maxInt(i32) - tag_bytes;

pub const Limits = struct {
    /// AES-GCM is the weakest of the three here. RFC 8446, 5.5, allows it 2 ^ 24.5 full records of
    /// 2 ^ 14 bytes for each key, that is 2 ^ 38.5 bytes. By draft-irtf-cfrg-aead-limits, 5.1.1, whoever
    /// sees s blocks in q records tells them from chance with a probability of (s + q) ^ 2 / 2 ^ 129;
    /// with these limits, which are stricter than those of the RFC in both, that is 2 ^ -65. They cost
    /// three blocks of encryption in 2 ^ 20 records. No limit is needed on forgeries, as a direction
    /// takes none: the first is its end.
    records_per_key: u64 = 1 << 20,
    bytes_per_key: u64 = 1 << 36,
};

/// A number that no record has: it makes the next key.
const rekey_number = std.math.maxInt(u64);

pub const Kind = u8;

pub const SealError = error{ Exhausted, Failed, MessageTooLong, NoRoom, InvalidArgument };
pub const OpenError = error{ Exhausted, Failed, NotAuthentic, TooShort, NoRoom, InvalidArgument };

pub const Direction = struct {
    suite: Suite,
    key: Key,
    limits: Limits,
    /// Of the next record.
    number: u64 = 0,
    records: u64 = 0,
    bytes: u64 = 0,
    /// It has met something that it should not have, and its key is gone.
    failed: bool = false,

    pub fn init(suite: Suite, key: *const Key, limits: Limits) Direction {
        assert(limits.records_per_key > 0);
        return .{ .suite = suite, .key = key.*, .limits = limits };
    }

    pub fn deinit(direction: *Direction) void {
        std.crypto.secureZero(u8, &direction.key);
        direction.failed = true;
    }

    /// Returns the length of the record. `out` may begin where `bytes` does, and may not overlap
    /// them otherwise.
    pub fn seal(direction: *Direction, kind: Kind, bytes: []const u8, out: []u8) SealError!usize {
        if (direction.failed) return error.Failed;
        if (bytes.len > message_bytes_max) return error.MessageTooLong;
        const record_bytes = bytes.len + tag_bytes;
        if (out.len < record_bytes) return error.NoRoom;
        if (overlapBadly(bytes, out[0..record_bytes])) return error.InvalidArgument;
        try direction.prepare(bytes.len);
        const beside = direction.besides(kind, bytes.len);
        cipher.encrypt(
            direction.suite,
            &direction.key,
            direction.number,
            &beside,
            bytes,
            out.ptr,
            out[bytes.len..][0..tag_bytes],
        );
        direction.advance(bytes.len);
        return record_bytes;
    }

    /// Returns the length of what was in the record. After a record that is not the one expected
    /// nothing is in `out`, and the direction stays failed.
    pub fn open(direction: *Direction, kind: Kind, record: []const u8, out: []u8) OpenError!usize {
        if (direction.failed) return error.Failed;
        if (record.len < tag_bytes) {
            direction.deinit();
            return error.TooShort;
        }
        const length = record.len - tag_bytes;
        if (length > message_bytes_max) {
            direction.deinit();
            return error.NotAuthentic;
        }
        if (out.len < length) return error.NoRoom;
        if (overlapBadly(record, out[0..length])) return error.InvalidArgument;
        try direction.prepare(length);
        const beside = direction.besides(kind, length);
        // The record may be in memory that its sender can write to, so the tag is read once.
        const tag = record[length..][0..tag_bytes].*;
        const is_authentic = cipher.decrypt(
            direction.suite,
            &direction.key,
            direction.number,
            &beside,
            record[0..length],
            out.ptr,
            &tag,
        );
        if (!is_authentic) {
            std.crypto.secureZero(u8, out[0..length]);
            direction.deinit();
            return error.NotAuthentic;
        }
        direction.advance(length);
        return length;
    }

    fn besides(direction: *const Direction, kind: Kind, length: usize) [16]u8 {
        var beside: [16]u8 = undefined;
        beside[0..4].* = .{ version, @intFromEnum(direction.suite), kind, 0 };
        std.mem.writeInt(u32, beside[4..8], @intCast(length), .big);
        std.mem.writeInt(u64, beside[8..16], direction.number, .big);
        return beside;
    }

    /// Goes on to the next key if this record would take the old one over a limit. A record that is
    /// over the limit by itself has a key of its own.
    fn prepare(direction: *Direction, length: usize) error{Exhausted}!void {
        if (direction.number == rekey_number) return error.Exhausted;
        const is_spent = direction.records >= direction.limits.records_per_key or
            length > direction.limits.bytes_per_key -| direction.bytes;
        if (direction.records > 0 and is_spent) direction.rekey();
    }

    fn rekey(direction: *Direction) void {
        @branchHint(.cold);
        const zeros: Key = @splat(0);
        var next: Key = undefined;
        var tag: aead.Tag = undefined;
        cipher.encrypt(direction.suite, &direction.key, rekey_number, "", &zeros, &next, &tag);
        direction.key = next;
        std.crypto.secureZero(u8, &next);
        direction.records = 0;
        direction.bytes = 0;
    }

    fn advance(direction: *Direction, length: usize) void {
        direction.number += 1;
        direction.records += 1;
        direction.bytes += length;
    }
};

/// In place is well, since no byte is read after it was written; anything else is not.
fn overlapBadly(in: []const u8, out: []const u8) bool {
    const from = @intFromPtr(in.ptr);
    const to = @intFromPtr(out.ptr);
    return from != to and from < to + out.len and to < from + in.len;
}

const testing = std.testing;
const vectors = @import("library").vectors;

const Vectors = struct {
    version: u32,
    about: []const []const u8,
    directions: []const struct {
        what: []const u8,
        suite: Suite,
        key: []const u8,
        records_per_key: u64,
        bytes_per_key: u64,
        records: []const struct { kind: Kind, bytes: []const u8, sealed: []const u8 },
    },
};

test "records are those of the vectors, across keys too" {
    const parsed = try vectors.read(Vectors, "records");
    defer parsed.deinit();
    for (parsed.value.directions) |vector| {
        const key = try vectors.unhex(vector.key);
        defer testing.allocator.free(key);
        const limits: Limits = .{
            .records_per_key = vector.records_per_key,
            .bytes_per_key = vector.bytes_per_key,
        };
        var sender: Direction = .init(vector.suite, key[0..32], limits);
        var receiver: Direction = .init(vector.suite, key[0..32], limits);
        for (vector.records) |record| {
            const bytes = try vectors.unhex(record.bytes);
            defer testing.allocator.free(bytes);
            const sealed = try vectors.unhex(record.sealed);
            defer testing.allocator.free(sealed);
            var out: [512]u8 = undefined;
            const length = try sender.seal(record.kind, bytes, &out);
            try testing.expectEqualSlices(u8, sealed, out[0..length]);
            const opened = try receiver.open(record.kind, out[0..length], &out);
            try testing.expectEqualSlices(u8, bytes, out[0..opened]);
        }
        // Somewhere on the way a key was left behind.
        try testing.expect(!std.mem.eql(u8, key, &sender.key));
    }
}

const Pair = struct {
    sender: Direction,
    receiver: Direction,

    fn init(suite: Suite) Pair {
        const key: Key = @splat(7);
        return .{ .sender = .init(suite, &key, .{}), .receiver = .init(suite, &key, .{}) };
    }

    /// Whatever it is given, from now on the receiver opens nothing, the right record included.
    fn expectDead(pair: *Pair, expected: OpenError, record: []const u8) !void {
        var out: [128]u8 = @splat(0xa5);
        try testing.expectError(expected, pair.receiver.open(1, record, &out));
        for (out[0..record.len -| tag_bytes]) |byte| try testing.expect(byte == 0 or byte == 0xa5);
        const wiped: Key = @splat(0);
        try testing.expectEqual(wiped, pair.receiver.key);
        var right: [64]u8 = undefined;
        const length = try pair.sender.seal(1, "right", &right);
        try testing.expectError(error.Failed, pair.receiver.open(1, right[0..length], &out));
    }
};

test "any bit that is turned ends it, and nothing is delivered" {
    for (std.enums.values(Suite)) |suite| {
        var record: [21]u8 = undefined;
        for (0..record.len * 8) |bit| {
            var pair: Pair = .init(suite);
            _ = try pair.sender.seal(1, "hello", &record);
            record[bit / 8] ^= @as(u8, 1) << @intCast(bit % 8);
            try pair.expectDead(error.NotAuthentic, &record);
        }
    }
}

test "so does every record that is not the next one, whole, of its kind and under its key" {
    for (std.enums.values(Suite)) |suite| {
        var records: [3][21]u8 = undefined;
        const makes = struct {
            fn pair(of: Suite, into: *[3][21]u8) !Pair {
                var made: Pair = .init(of);
                for (into) |*record| _ = try made.sender.seal(1, "hello", record);
                return made;
            }
        };
        var out: [64]u8 = undefined;

        var early = try makes.pair(suite, &records);
        try early.expectDead(error.NotAuthentic, &records[1]);

        var twice = try makes.pair(suite, &records);
        try testing.expectEqual(5, try twice.receiver.open(1, &records[0], &out));
        try twice.expectDead(error.NotAuthentic, &records[0]);

        for (0..records[0].len) |length| {
            var short = try makes.pair(suite, &records);
            const expected: OpenError = if (length < tag_bytes) error.TooShort else error.NotAuthentic;
            try short.expectDead(expected, records[0][0..length]);
        }

        var long = try makes.pair(suite, &records);
        const joined = records[0] ++ [_]u8{0};
        try long.expectDead(error.NotAuthentic, &joined);

        var other_kind = try makes.pair(suite, &records);
        try testing.expectError(error.NotAuthentic, other_kind.receiver.open(2, &records[0], &out));

        var other_key = try makes.pair(suite, &records);
        other_key.receiver.key[31] ^= 1;
        try other_key.expectDead(error.NotAuthentic, &records[0]);

        for (std.enums.values(Suite)) |other| {
            if (other == suite) continue;
            var other_suite = try makes.pair(suite, &records);
            other_suite.receiver.suite = other;
            try other_suite.expectDead(error.NotAuthentic, &records[0]);
        }
    }
}

test "what only the caller got wrong changes nothing" {
    var pair: Pair = .init(.aegis_256);
    var room: [64]u8 = @splat(3);
    try testing.expectError(error.NoRoom, pair.sender.seal(0, "hello", room[0..20]));
    try testing.expectError(error.InvalidArgument, pair.sender.seal(0, room[1..6], room[0..32]));
    try testing.expectError(error.InvalidArgument, pair.sender.seal(0, room[0..6], room[5..32]));
    const length = try pair.sender.seal(0, "hello", &room);
    var out: [5]u8 = undefined;
    try testing.expectError(error.NoRoom, pair.receiver.open(0, room[0..length], out[0..4]));
    try testing.expectEqual(5, try pair.receiver.open(0, room[0..length], &out));
    try testing.expectEqualStrings("hello", &out);
}

test "the last number is not used up" {
    var pair: Pair = .init(.chacha20_poly1305);
    pair.sender.number = rekey_number - 1;
    var room: [64]u8 = undefined;
    _ = try pair.sender.seal(0, "hello", &room);
    try testing.expectError(error.Exhausted, pair.sender.seal(0, "hello", &room));
}

test "a key is left behind at each limit, by both ends at the same record" {
    for (std.enums.values(Suite)) |suite| {
        const key: Key = @splat(9);
        const limits: Limits = .{ .records_per_key = 5, .bytes_per_key = 100 };
        var sender: Direction = .init(suite, &key, limits);
        var receiver: Direction = .init(suite, &key, limits);
        var random: std.Random.DefaultPrng = .init(testing.random_seed);
        var keys: usize = 0;
        for (0..1000) |_| {
            var bytes: [130]u8 = undefined;
            const length = random.random().uintAtMost(usize, bytes.len);
            random.random().bytes(bytes[0..length]);
            var record: [150]u8 = undefined;
            const before = sender.key;
            const sealed = try sender.seal(0, bytes[0..length], &record);
            if (!std.mem.eql(u8, &before, &sender.key)) keys += 1;
            try testing.expect(sender.records <= 5);
            try testing.expect(sender.bytes <= 100 or sender.records == 1 or length == 0);
            var out: [130]u8 = undefined;
            try testing.expectEqual(length, try receiver.open(0, record[0..sealed], &out));
            try testing.expectEqualSlices(u8, bytes[0..length], out[0..length]);
        }
        try testing.expect(keys > 200);
    }
}
