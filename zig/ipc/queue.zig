//! What one connection has taken to be sent and the kernel has not: whole frames in order, the first of them
//! perhaps sent in part. Frames are counted when their last byte leaves, so that what is lost with a connection
//! is known to the message.

const std = @import("std");
const buffers = @import("buffer.zig");
const frame = @import("frame.zig");
const assert = std.debug.assert;

/// An emptied queue gives back a buffer larger than this, so that an idle connection costs next to nothing.
const idle_bytes_max = 1024;
const growth_bytes_min = 1024;

/// How far a number of sent bytes leads into frames laid end to end.
pub const Progress = struct {
    /// Frames whose last byte is among them.
    messages: u32 = 0,
    /// What is left of the frame they end in; 0 where they end between two.
    frame_bytes_left: usize = 0,

    /// Null if `bytes` are not whole frames laid end to end.
    pub fn of(bytes: []const u8, sent: usize) ?Progress {
        var progress: Progress = .{};
        var at: usize = 0;
        while (at < sent) {
            const payload_bytes = frame.payloadLength(bytes[at..]) orelse return null;
            const end = at + frame.header_bytes + @as(usize, payload_bytes);
            if (end > bytes.len) return null;
            if (end > sent) progress.frame_bytes_left = end - sent else progress.messages += 1;
            at = end;
        }
        return progress;
    }
};

/// Whether `bytes` are so many whole frames laid end to end.
pub fn areFrames(bytes: []const u8, messages: u32) bool {
    const progress = Progress.of(bytes, bytes.len) orelse return false;
    return progress.messages == messages;
}

pub const Queue = struct {
    buffer: buffers.Buffer = &.{},
    head: usize = 0,
    tail: usize = 0,
    /// Bytes of a frame at the head whose beginning has been sent.
    frame_bytes_left: usize = 0,
    /// Frames that are not wholly sent.
    messages: u32 = 0,
    /// What is in it are no frames, so that all are sent when the last byte is.
    raw: bool = false,

    pub fn deinit(queue: *Queue, allocator: std.mem.Allocator) void {
        buffers.free(allocator, queue.buffer);
        queue.* = .{ .raw = queue.raw };
    }

    pub fn bytes(queue: *const Queue) usize {
        return queue.tail - queue.head;
    }

    pub fn unsent(queue: *const Queue) []const u8 {
        return queue.buffer[queue.head..queue.tail];
    }

    /// Room for `count` bytes, to be filled and then taken with `commit`.
    pub fn reserve(queue: *Queue, allocator: std.mem.Allocator, count: usize) error{OutOfMemory}![]u8 {
        if (queue.buffer.len - queue.tail < count) try queue.makeRoom(allocator, count);
        return queue.buffer[queue.tail..][0..count];
    }

    pub fn commit(queue: *Queue, count: usize, messages: u32) void {
        queue.tail += count;
        // Of bytes without frames none is known to be sent before all are, so that this only grows for as long as a peer
        // sees to it that some are left.
        queue.messages +|= messages;
        assert(queue.tail <= queue.buffer.len);
    }

    /// Drops `sent` bytes from the head and says how many frames that completed.
    pub fn consume(queue: *Queue, allocator: std.mem.Allocator, sent: usize) u32 {
        assert(sent <= queue.bytes());
        var completed: u32 = 0;
        var left = sent;
        if (queue.raw) {
            queue.head += sent;
            left = 0;
            if (queue.head == queue.tail) completed = queue.messages;
        }
        if (queue.frame_bytes_left > 0) {
            const step = @min(left, queue.frame_bytes_left);
            queue.frame_bytes_left -= step;
            queue.head += step;
            left -= step;
            if (queue.frame_bytes_left == 0) completed += 1;
        }
        if (left > 0) {
            // Only whole frames are ever appended, so this cannot fail.
            const progress = Progress.of(queue.unsent(), left).?;
            queue.head += left;
            queue.frame_bytes_left = progress.frame_bytes_left;
            completed += progress.messages;
        }
        queue.messages -= completed;
        if (queue.head == queue.tail) {
            assert(queue.messages == 0);
            queue.head = 0;
            queue.tail = 0;
            if (queue.buffer.len > idle_bytes_max) queue.deinit(allocator);
        }
        return completed;
    }

    fn makeRoom(queue: *Queue, allocator: std.mem.Allocator, count: usize) error{OutOfMemory}!void {
        const used = queue.bytes();
        // Moving pays when it frees at least as much as it copies: each byte is then moved once on average.
        if (queue.head >= used and queue.buffer.len - used >= count) {
            @memmove(queue.buffer[0..used], queue.buffer[queue.head..queue.tail]);
        } else {
            const wanted = @max(used + count, queue.buffer.len * 2, growth_bytes_min);
            const larger = try buffers.alloc(allocator, wanted);
            @memcpy(larger[0..used], queue.buffer[queue.head..queue.tail]);
            buffers.free(allocator, queue.buffer);
            queue.buffer = larger;
        }
        queue.head = 0;
        queue.tail = used;
    }
};

test "bytes leave in order and frames are counted when their last byte does, however they are cut" {
    const allocator = std.testing.allocator;
    var random_state: std.Random.DefaultPrng = .init(std.testing.random_seed);
    const random = random_state.random();
    var expected: std.ArrayList(u8) = .empty;
    defer expected.deinit(allocator);
    var seen: std.ArrayList(u8) = .empty;
    defer seen.deinit(allocator);
    var queue: Queue = .{};
    defer queue.deinit(allocator);
    var added: u32 = 0;
    var completed: u32 = 0;
    for (0..5000) |_| {
        if (random.boolean()) {
            const start = expected.items.len;
            const messages = random.intRangeAtMost(u32, 1, 5);
            for (0..messages) |_| {
                const size = random.uintLessThan(u32, 300);
                try expected.appendSlice(allocator, &frame.encodeHeader(size));
                for (0..size) |_| try expected.append(allocator, random.int(u8));
            }
            const run = expected.items[start..];
            const sent = if (queue.bytes() == 0) random.uintLessThan(usize, run.len) else 0;
            const progress = Progress.of(run, sent).?;
            try seen.appendSlice(allocator, run[0..sent]);
            @memcpy(try queue.reserve(allocator, run.len - sent), run[sent..]);
            queue.commit(run.len - sent, messages - progress.messages);
            if (sent > 0) queue.frame_bytes_left = progress.frame_bytes_left;
            completed += progress.messages;
            added += messages;
        } else {
            const sent = random.uintAtMost(usize, queue.bytes());
            try seen.appendSlice(allocator, queue.unsent()[0..sent]);
            completed += queue.consume(allocator, sent);
        }
        try std.testing.expectEqual(added - completed, queue.messages);
    }
    try seen.appendSlice(allocator, queue.unsent());
    completed += queue.consume(allocator, queue.bytes());
    try std.testing.expectEqualSlices(u8, expected.items, seen.items);
    try std.testing.expectEqual(added, completed);
    try std.testing.expect(queue.buffer.len <= idle_bytes_max);
}

test "what is no run of frames is noticed" {
    try std.testing.expectEqual(null, Progress.of("\x00\x00\x00\x09abc", 7));
    try std.testing.expectEqual(null, Progress.of("\x00\x00", 1));
    try std.testing.expect(!areFrames("\x00\x00\x00\x00\x00\x00\x00\x01", 2));
    try std.testing.expect(!areFrames("\x00\x00\x00\x00\x00\x00\x00\x00", 1));
    try std.testing.expect(areFrames("\x00\x00\x00\x00\x00\x00\x00\x01a", 2));
    try std.testing.expectEqual(Progress{ .messages = 1, .frame_bytes_left = 3 }, Progress.of("\x00\x00\x00\x00\x00\x00\x00\x01a", 6));
}
