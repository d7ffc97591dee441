//! One direction of a memory socket: messages from one writer to one reader, through memory that both have mapped.
//!
//!     0        64      128     192            256                 65,536              65,536 + n      65,536 + 2n
//!     | ······ | tail  | head  | reader rests | writer rests ···  | records           | the same again |
//!                writer's reader's  reader's      writer's
//!
//! `tail` and `head` count bytes, modulo 2^32: what the writer has published, and what the reader has let go of. Each has
//! a cache line of its own, as have the two words that say how a side sleeps, which hardly ever change. The records are
//! mapped twice in a row (`sys.shared.mapRound`), so that none is ever split where the ring goes round.
//!
//!     | length u32 | kind u32 | payload, filled up to a multiple of 8 bytes |
//!
//! All numbers are little-endian. This is version 1 of the format, which TypeScript reads and writes as well
//! (`src/memory/`); `tests/vectors/rings.json` is read by both.
//!
//! The other side may write what it likes wherever it likes, at any time. So each number of it is loaded once, checked, and
//! then used as it was; what does not fit is `error.Corrupt`, and the end of that connection. Bytes of a payload may change
//! while they are read, and mean something to their reader alone.

const std = @import("std");
const sys = @import("sys");
const assert = std.debug.assert;

pub const version = 1;
/// Before the records. A multiple of every page size there is; only the first page of it is ever touched.
pub const head_bytes = 65_536;
pub const record_bytes = 8;
/// A multiple of every page size there is.
pub const ring_bytes_min = 65_536;
/// Beyond this, positions of one round could not be told from those of the next.
pub const ring_bytes_max = 1 << 30;

pub const tail_at = 64;
pub const head_at = 128;
pub const reader_rests_at = 192;
pub const writer_rests_at = 256;

/// What a record holds. The last two may come together, as their sum.
pub const Kind = enum(u32) {
    message = 0,
    /// The message is in memory of its own, whose descriptor comes over the socket; the payload is its length, as a u64.
    passed = 1,
    /// Descriptors belong to the message, and come over the socket.
    attended = 2,
    _,
};

/// How a side sleeps, and so how it is woken.
pub const Rest = enum(u32) {
    awake = 0,
    /// On the word that the other side changes (`sys.shared.sleep`).
    word = 1,
    /// In a poller, on its wake-up descriptor.
    poller = 2,
    _,
};

pub const Corrupt = error{Corrupt};

const Memory = []align(std.heap.page_size_min) u8;
/// A ring, as it is mapped.
pub const Place = [*]align(std.heap.page_size_min) u8;
const Word = std.atomic.Value(u32);

pub fn validBytes(ring_bytes: u32) bool {
    return ring_bytes >= ring_bytes_min and ring_bytes <= ring_bytes_max and std.math.isPowerOfTwo(ring_bytes);
}

/// The memory of a ring that has room for `ring_bytes` of records.
pub fn create(system: *sys.System, ring_bytes: u32) sys.shared.CreateError!sys.Fd {
    assert(validBytes(ring_bytes));
    return sys.shared.create(system, head_bytes + @as(usize, ring_bytes));
}

pub const OpenError = sys.shared.CheckError || sys.shared.MapError;

/// Maps a ring whose descriptor came from elsewhere, if it is what it is said to be.
pub fn open(system: *sys.System, fd: sys.Fd, ring_bytes: u32) OpenError!Memory {
    assert(validBytes(ring_bytes));
    try sys.shared.check(system, fd, head_bytes + @as(usize, ring_bytes), .size);
    return sys.shared.mapRound(system, fd, head_bytes, ring_bytes);
}

/// How much of the ring a message takes up.
pub fn recordBytes(payload_bytes: usize) usize {
    return record_bytes + std.mem.alignForward(usize, payload_bytes, record_bytes);
}

/// The longest payload that the ring takes; what is longer is passed.
pub fn payloadBytesMax(ring_bytes: u32) u32 {
    // Two of them fit, so that one can be written while the other is read.
    return ring_bytes / 2 - record_bytes;
}

/// How many bytes a ring is mapped in.
pub fn mappedBytes(ring_bytes: u32) usize {
    return head_bytes + 2 * @as(usize, ring_bytes);
}

fn wordAt(place: Place, at: usize) *Word {
    return @ptrCast(@alignCast(place + at));
}

/// Part of the ABI, as is `Reader`.
pub const Writer = extern struct {
    place: Place,
    ring_bytes: u32,
    /// Where the next record goes, and what of that is published.
    at: u32,
    published: u32,
    /// `head` as it was when last looked at: looking again is only worth it when there seems to be no room.
    head: u32,

    pub fn init(place: Place, ring_bytes: u32) Writer {
        return .{ .place = place, .ring_bytes = ring_bytes, .at = 0, .published = 0, .head = 0 };
    }

    /// Room for a message of so many bytes, or null while there is none.
    pub fn reserve(writer: *Writer, payload_bytes: u32) Corrupt!?[]u8 {
        assert(payload_bytes <= payloadBytesMax(writer.ring_bytes));
        const bytes: u32 = @intCast(recordBytes(payload_bytes));
        if (writer.ring_bytes - (writer.at -% writer.head) < bytes) {
            try writer.look();
            if (writer.ring_bytes - (writer.at -% writer.head) < bytes) return null;
        }
        return writer.here()[record_bytes..][0..payload_bytes];
    }

    /// The message that was reserved last, or the first bytes of it, is written.
    pub fn commit(writer: *Writer, payload_bytes: u32, kind: Kind) void {
        const record = writer.here();
        std.mem.writeInt(u32, record[0..4], payload_bytes, .little);
        std.mem.writeInt(u32, record[4..8], @intFromEnum(kind), .little);
        writer.at +%= @intCast(recordBytes(payload_bytes));
    }

    /// Lets the reader see what was committed. Returns how it is to be woken, if it is.
    pub fn publish(writer: *Writer) Rest {
        if (writer.published == writer.at) return .awake;
        writer.published = writer.at;
        // Pairs with the reader's load of `tail`: it sees the records' bytes. Sequentially consistent besides, so that
        // either this side sees that the reader rests, or the reader sees the new tail before it does.
        wordAt(writer.place, tail_at).store(writer.at, .seq_cst);
        return wakes(wordAt(writer.place, reader_rests_at));
    }

    /// Says that this side is going to sleep until there is room for so many bytes. False if there is now.
    pub fn rest(writer: *Writer, payload_bytes: u32, how: Rest) Corrupt!bool {
        const rests = wordAt(writer.place, writer_rests_at);
        rests.store(@intFromEnum(how), .seq_cst);
        try writer.look();
        if (writer.ring_bytes - (writer.at -% writer.head) < recordBytes(payload_bytes)) return true;
        rests.store(@intFromEnum(Rest.awake), .monotonic);
        return false;
    }

    /// Sleeps until there is room for so many bytes, or the time is up, or for no reason. After `publish`.
    pub fn sleep(writer: *Writer, payload_bytes: u32, timeout_ns: u64) Corrupt!void {
        if (!try writer.rest(payload_bytes, .word)) return;
        sys.shared.sleep(&wordAt(writer.place, head_at).raw, writer.head, timeout_ns);
        wordAt(writer.place, writer_rests_at).store(@intFromEnum(Rest.awake), .monotonic);
    }

    /// Wakes a reader that sleeps on its word, as `publish` has said.
    pub fn wake(writer: *const Writer) void {
        sys.shared.wake(&wordAt(writer.place, tail_at).raw);
    }

    fn look(writer: *Writer) Corrupt!void {
        // Pairs with the reader's store: it has let go of what was there.
        const head = wordAt(writer.place, head_at).load(.seq_cst);
        // It moves forward only, and not beyond what is published.
        if (head % record_bytes != 0 or head -% writer.head > writer.published -% writer.head) return error.Corrupt;
        writer.head = head;
    }

    fn here(writer: *const Writer) []u8 {
        const at = writer.at & (writer.ring_bytes - 1);
        return (writer.place + head_bytes + at)[0..writer.ring_bytes];
    }
};

pub const Reader = extern struct {
    place: Place,
    ring_bytes: u32,
    /// Where the next record is, and what has been let go of.
    at: u32,
    released: u32,
    /// `tail` as it was when last looked at.
    tail: u32,

    pub const Message = struct { kind: Kind, payload: []const u8 };

    pub fn init(place: Place, ring_bytes: u32) Reader {
        return .{ .place = place, .ring_bytes = ring_bytes, .at = 0, .released = 0, .tail = 0 };
    }

    /// The next message, or null when there is none. It stays where it is until `release`.
    pub fn next(reader: *Reader) Corrupt!?Message {
        if (reader.at == reader.tail) {
            try reader.look();
            if (reader.at == reader.tail) return null;
        }
        const record = (reader.place + head_bytes + (reader.at & (reader.ring_bytes - 1)))[0..reader.ring_bytes];
        // Once each: a second load might find something else.
        const length: u32 = @atomicLoad(u32, @as(*const u32, @ptrCast(@alignCast(record.ptr))), .monotonic);
        const kind: u32 = @atomicLoad(u32, @as(*const u32, @ptrCast(@alignCast(record.ptr + 4))), .monotonic);
        const payload_bytes = std.mem.littleToNative(u32, length);
        const bytes = recordBytes(payload_bytes);
        if (bytes > reader.tail -% reader.at) return error.Corrupt;
        reader.at +%= @intCast(bytes);
        return .{
            .kind = @enumFromInt(std.mem.littleToNative(u32, kind)),
            .payload = record[record_bytes..][0..payload_bytes],
        };
    }

    /// Lets go of all messages so far. Returns how the writer is to be woken, if it is.
    pub fn release(reader: *Reader) Rest {
        if (reader.released == reader.at) return .awake;
        reader.released = reader.at;
        // Pairs with the writer's load of `head`: nothing of them is read after this.
        wordAt(reader.place, head_at).store(reader.at, .seq_cst);
        return wakes(wordAt(reader.place, writer_rests_at));
    }

    /// Says that this side is going to sleep until there is a message. False if there is one now.
    pub fn rest(reader: *Reader, how: Rest) Corrupt!bool {
        const rests = wordAt(reader.place, reader_rests_at);
        rests.store(@intFromEnum(how), .seq_cst);
        try reader.look();
        if (reader.at == reader.tail) return true;
        rests.store(@intFromEnum(Rest.awake), .monotonic);
        return false;
    }

    /// Sleeps until there is a message, or the time is up, or for no reason.
    pub fn sleep(reader: *Reader, timeout_ns: u64) Corrupt!void {
        if (!try reader.rest(.word)) return;
        sys.shared.sleep(&wordAt(reader.place, tail_at).raw, reader.tail, timeout_ns);
        wordAt(reader.place, reader_rests_at).store(@intFromEnum(Rest.awake), .monotonic);
    }

    /// Wakes a writer that sleeps on its word, as `release` has said.
    pub fn wake(reader: *const Reader) void {
        sys.shared.wake(&wordAt(reader.place, head_at).raw);
    }

    fn look(reader: *Reader) Corrupt!void {
        // Pairs with the writer's store: what was published before is there to be read.
        const tail = wordAt(reader.place, tail_at).load(.seq_cst);
        const there = tail -% reader.at;
        // It moves forward only, and no further than a writer would that waits for what is let go of.
        if (tail % record_bytes != 0 or there < reader.tail -% reader.at or
            there > reader.ring_bytes - (reader.at -% reader.released)) return error.Corrupt;
        reader.tail = tail;
    }
};

/// Whoever sleeps is woken once: what it says is taken back.
fn wakes(rests: *Word) Rest {
    // Almost always it is awake, and a load leaves the cache line where it is.
    if (rests.load(.seq_cst) == @intFromEnum(Rest.awake)) return .awake;
    return @enumFromInt(rests.swap(@intFromEnum(Rest.awake), .seq_cst));
}

/// A ring with both of its ends, as two processes would have them.
const Rig = struct {
    system: sys.System = .{},
    fd: sys.Fd,
    writing: Memory,
    reading: Memory,
    writer: Writer,
    reader: Reader,

    fn init(ring_bytes: u32) !Rig {
        var system: sys.System = .{};
        const fd = try create(&system, ring_bytes);
        const writing = try open(&system, fd, ring_bytes);
        const reading = try open(&system, fd, ring_bytes);
        return .{ .fd = fd, .writing = writing, .reading = reading, .writer = .init(writing.ptr, ring_bytes), .reader = .init(reading.ptr, ring_bytes) };
    }

    fn deinit(rig: *Rig) void {
        sys.shared.unmap(&rig.system, rig.writing);
        sys.shared.unmap(&rig.system, rig.reading);
        rig.system.close(rig.fd);
    }

    fn write(rig: *Rig, payload: []const u8) !bool {
        const room = try rig.writer.reserve(@intCast(payload.len)) orelse return false;
        @memcpy(room, payload);
        rig.writer.commit(@intCast(payload.len), .message);
        return true;
    }
};

const expect = std.testing.expect;
const expectEqual = std.testing.expectEqual;
const expectError = std.testing.expectError;

test "messages come out as they went in, however often the ring goes round, and only when they are published" {
    var rig: Rig = try .init(ring_bytes_min);
    defer rig.deinit();
    var random: std.Random.DefaultPrng = .init(1);
    var bytes: [ring_bytes_min / 2 - record_bytes]u8 = undefined;
    random.fill(&bytes);
    for (0..2000) |_| {
        var lengths: [8]u32 = undefined;
        var count: usize = 0;
        while (count < lengths.len) : (count += 1) {
            lengths[count] = random.random().uintAtMost(u32, if (random.random().boolean()) 100 else bytes.len);
            if (!try rig.write(bytes[0..lengths[count]])) break;
        }
        try expect(count >= 1);
        try expectEqual(null, try rig.reader.next());
        _ = rig.writer.publish();
        for (lengths[0..count]) |length| {
            try std.testing.expectEqualSlices(u8, bytes[0..length], (try rig.reader.next()).?.payload);
        }
        try expectEqual(null, try rig.reader.next());
        _ = rig.reader.release();
    }
}

test "what is not let go of leaves no room, and who sleeps for room is woken when there is" {
    var rig: Rig = try .init(ring_bytes_min);
    defer rig.deinit();
    const half: [ring_bytes_min / 2 - record_bytes]u8 = @splat('x');
    try expect(try rig.write(&half));
    try expect(try rig.write(&half));
    try expect(!try rig.write(""));
    try expectEqual(Rest.awake, rig.writer.publish());
    _ = (try rig.reader.next()).?;
    try expect(try rig.writer.rest(half.len, .poller));
    try expectEqual(Rest.poller, rig.reader.release());
    // Once, and not again.
    _ = (try rig.reader.next()).?;
    try expectEqual(Rest.awake, rig.reader.release());
    try expect(!try rig.writer.rest(half.len, .word));
    try expect(try rig.write(&half));
}

test "who sleeps for a message is woken by the next one that is published" {
    var rig: Rig = try .init(ring_bytes_min);
    defer rig.deinit();
    try expect(try rig.reader.rest(.word));
    try expect(try rig.write("hello"));
    try expectEqual(Rest.word, rig.writer.publish());
    try expect(!try rig.reader.rest(.word));
    try expectEqual(Rest.awake, rig.writer.publish());
    // There is a message, so there is nothing to wait for.
    try rig.reader.sleep(std.time.ns_per_s * 3600);
    _ = (try rig.reader.next()).?;
    try rig.reader.sleep(1000);
}

test "two threads pass each other messages and sleep between them" {
    var rig: Rig = try .init(ring_bytes_min);
    defer rig.deinit();
    const messages = 20_000;
    const thread = try std.Thread.spawn(.{}, struct {
        fn run(reader: *Reader) !void {
            var number: u64 = 0;
            while (number < messages) {
                while (try reader.next()) |message| : (number += 1) {
                    try expectEqual(number, std.mem.readInt(u64, message.payload[0..8], .little));
                    try expectEqual(8 + number % 1000, message.payload.len);
                }
                if (reader.release() == .word) reader.wake();
                if (number < messages) try reader.sleep(std.time.ns_per_s * 3600);
            }
        }
    }.run, .{&rig.reader});
    for (0..messages) |number| {
        const length: u32 = @intCast(8 + number % 1000);
        const room = while (true) {
            if (try rig.writer.reserve(length)) |room| break room;
            if (rig.writer.publish() == .word) rig.writer.wake();
            try rig.writer.sleep(length, std.time.ns_per_s * 3600);
        };
        std.mem.writeInt(u64, room[0..8], number, .little);
        rig.writer.commit(length, .message);
        if (number % 7 != 0) continue;
        if (rig.writer.publish() == .word) rig.writer.wake();
    }
    if (rig.writer.publish() == .word) rig.writer.wake();
    thread.join();
}

test "a hostile other side can end the connection and nothing else, over a million steps" {
    var rig: Rig = try .init(ring_bytes_min);
    defer rig.deinit();
    var random: std.Random.DefaultPrng = .init(2);
    const chance = random.random();
    const tail = wordAt(rig.writing.ptr, tail_at);
    const head = wordAt(rig.writing.ptr, head_at);
    var corrupt: u32 = 0;
    var sum: u64 = 0;
    for (0..1_000_000) |_| {
        switch (chance.uintLessThan(u32, 12)) {
            0 => tail.store(chance.int(u32), .monotonic),
            1 => tail.store(tail.raw +% 8 * chance.uintLessThan(u32, 64), .monotonic),
            2 => head.store(chance.int(u32), .monotonic),
            3 => head.store(head.raw +% 8 * chance.uintLessThan(u32, 64), .monotonic),
            4 => wordAt(rig.writing.ptr, reader_rests_at).store(chance.int(u32), .monotonic),
            5 => wordAt(rig.writing.ptr, writer_rests_at).store(chance.uintLessThan(u32, 4), .monotonic),
            // A length somewhere, mostly one that is about right.
            6, 7 => {
                const at = head_bytes + 8 * chance.uintLessThan(usize, ring_bytes_min / 8);
                const length = if (chance.boolean()) chance.int(u32) else chance.uintLessThan(u32, 600);
                std.mem.writeInt(u32, rig.writing[at..][0..4], length, .little);
            },
            else => {},
        }
        if (rig.reader.next()) |found| {
            const message = found orelse continue;
            for (message.payload) |byte| sum +%= byte;
            if (chance.boolean()) _ = rig.reader.release();
        } else |_| {
            corrupt += 1;
            // A new connection begins anew, in memory that is full of what was there.
            tail.store(0, .monotonic);
            rig.reader = .init(rig.reading.ptr, ring_bytes_min);
        }
        const length = chance.uintAtMost(u32, 2000);
        if (rig.writer.reserve(length)) |found| {
            const room = found orelse continue;
            @memset(room, 'w');
            rig.writer.commit(length, .message);
            if (chance.boolean()) _ = rig.writer.publish();
            _ = rig.writer.rest(length, .word) catch {};
        } else |_| {
            corrupt += 1;
            head.store(0, .monotonic);
            rig.writer = .init(rig.writing.ptr, ring_bytes_min);
        }
    }
    try expect(corrupt > 1000);
    std.mem.doNotOptimizeAway(sum);
}

test "a ring is what it is said to be, or is not opened" {
    var system: sys.System = .{};
    const fd = try create(&system, ring_bytes_min);
    defer system.close(fd);
    try expectError(error.WrongSize, open(&system, fd, 2 * ring_bytes_min));
    const socket = try system.socket();
    defer system.close(socket);
    try expectError(error.NotSealed, open(&system, socket, ring_bytes_min));
    if (sys.shared.seals_bytes) {
        const bytes: [head_bytes + ring_bytes_min]u8 = @splat(0);
        const read_only = try sys.shared.createHolding(&system, &bytes);
        defer system.close(read_only);
        try expectError(error.NotSealed, open(&system, read_only, ring_bytes_min));
    }
    for ([_]u32{ 0, 1, ring_bytes_min - 1, ring_bytes_min + 4096, ring_bytes_max + 1, 1 << 31 }) |bytes|
        try expect(!validBytes(bytes));
}

/// `tests/vectors/rings.json`, which the tests of TypeScript read as well.
const Vectors = struct {
    version: u32,
    ring_bytes: u32,
    words: struct { tail: usize, head: usize, reader_rests: usize, writer_rests: usize, records: usize },
    rests: struct { awake: u32, word: u32, poller: u32 },
    record_bytes: []const struct { payload: usize, record: usize },
    streams: []const struct {
        what: []const u8,
        start: u32,
        messages: []const struct { kind: u32, payload: []const u8 },
        records: []const Record,
        tail: u32,
    },
    unreadable: []const struct { what: []const u8, start: u32, tail: u32, records: []const Record },
    unwritable: []const struct { what: []const u8, start: u32, published: u32, head: u32 },

    const Record = struct { at: usize, bytes: []const u8 };
};

/// Has so many bytes of records gone through it already, without writing them all.
fn advance(rig: *Rig, bytes: u32) !void {
    var left = bytes;
    while (left > 0) {
        const step: u32 = @min(left, rig.writer.ring_bytes / 2);
        _ = (try rig.writer.reserve(step - record_bytes)).?;
        rig.writer.commit(step - record_bytes, .message);
        _ = rig.writer.publish();
        _ = (try rig.reader.next()).?;
        _ = rig.reader.release();
        left -= step;
    }
}

fn putRecords(rig: *Rig, records: []const Vectors.Record) !void {
    for (records) |record| _ = try std.fmt.hexToBytes(rig.writing[record.at..], record.bytes);
}

test "the numbers are those of the vectors" {
    const vectors = try @import("library").vectors.read(Vectors, "rings");
    defer vectors.deinit();
    const words = vectors.value.words;
    try expectEqual(tail_at, words.tail);
    try expectEqual(head_at, words.head);
    try expectEqual(reader_rests_at, words.reader_rests);
    try expectEqual(writer_rests_at, words.writer_rests);
    try expectEqual(head_bytes, words.records);
    try expectEqual(ring_bytes_min, vectors.value.ring_bytes);
    inline for (@typeInfo(@TypeOf(vectors.value.rests)).@"struct".fields) |field|
        try expectEqual(@intFromEnum(@field(Rest, field.name)), @field(vectors.value.rests, field.name));
    for (vectors.value.record_bytes) |one| try expectEqual(one.record, recordBytes(one.payload));
}

test "messages are written as the vectors have them, and read" {
    const vectors = try @import("library").vectors.read(Vectors, "rings");
    defer vectors.deinit();
    for (vectors.value.streams) |stream| {
        errdefer std.debug.print("{s}\n", .{stream.what});
        var rig: Rig = try .init(ring_bytes_min);
        defer rig.deinit();
        try advance(&rig, stream.start);
        for (stream.messages) |message| {
            const length: u32 = @intCast(message.payload.len / 2);
            _ = try std.fmt.hexToBytes((try rig.writer.reserve(length)).?, message.payload);
            rig.writer.commit(length, @enumFromInt(message.kind));
        }
        for (stream.records) |record| {
            var bytes: [256]u8 = undefined;
            const expected = try std.fmt.hexToBytes(&bytes, record.bytes);
            try std.testing.expectEqualSlices(u8, expected, rig.writing[record.at..][0..expected.len]);
        }
        try expectEqual(stream.start, wordAt(rig.writing.ptr, tail_at).raw);
        _ = rig.writer.publish();
        try expectEqual(stream.tail, wordAt(rig.writing.ptr, tail_at).raw);
        for (stream.messages) |message| {
            var bytes: [256]u8 = undefined;
            const found = (try rig.reader.next()).?;
            try expectEqual(message.kind, @intFromEnum(found.kind));
            try std.testing.expectEqualSlices(u8, try std.fmt.hexToBytes(&bytes, message.payload), found.payload);
        }
        try expectEqual(null, try rig.reader.next());
        _ = rig.reader.release();
        try expectEqual(stream.tail, wordAt(rig.reading.ptr, head_at).raw);
    }
}

test "what the vectors say that nobody can have written is refused" {
    const vectors = try @import("library").vectors.read(Vectors, "rings");
    defer vectors.deinit();
    for (vectors.value.unreadable) |vector| {
        errdefer std.debug.print("{s}\n", .{vector.what});
        var rig: Rig = try .init(ring_bytes_min);
        defer rig.deinit();
        try advance(&rig, vector.start);
        try putRecords(&rig, vector.records);
        wordAt(rig.writing.ptr, tail_at).raw = vector.tail;
        try expectError(error.Corrupt, rig.reader.next());
    }
    for (vectors.value.unwritable) |vector| {
        errdefer std.debug.print("{s}\n", .{vector.what});
        var rig: Rig = try .init(ring_bytes_min);
        defer rig.deinit();
        try advance(&rig, vector.start);
        try rig.writer.look();
        rig.writer.commit(vector.published - record_bytes, .message);
        _ = rig.writer.publish();
        wordAt(rig.reading.ptr, head_at).raw = vector.head;
        try expectError(error.Corrupt, rig.writer.look());
    }
}
