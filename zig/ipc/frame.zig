//! The wire: a message is its length as `u32` big-endian, then its bytes. The format is LibIPC 0.1's, so that
//! its programs and ours can talk; `hello` is `00 00 00 05 68 65 6c 6c 6f`, and an empty message is `00 00 00 00`.

const std = @import("std");

pub const header_bytes = 4;

pub fn encodeHeader(length: u32) [header_bytes]u8 {
    var header: [header_bytes]u8 = undefined;
    std.mem.writeInt(u32, &header, length, .big);
    return header;
}

/// The length announced by the header at the front of `bytes`, or null if the header is not whole yet.
pub fn payloadLength(bytes: []const u8) ?u32 {
    if (bytes.len < header_bytes) return null;
    return std.mem.readInt(u32, bytes[0..header_bytes], .big);
}

/// Frames laid end to end, taken off one at a time.
pub const Walker = struct {
    bytes: []const u8,
    at: usize = 0,

    /// The payload of the next whole frame, or null where no whole frame is left.
    pub fn next(walker: *Walker) ?[]const u8 {
        const rest = walker.bytes[walker.at..];
        const payload_bytes = payloadLength(rest) orelse return null;
        if (rest.len - header_bytes < payload_bytes) return null;
        walker.at += header_bytes + payload_bytes;
        return rest[header_bytes..][0..payload_bytes];
    }
};

test "hello on the wire" {
    try std.testing.expectEqualSlices(u8, "\x00\x00\x00\x05", &encodeHeader("hello".len));
    var walker: Walker = .{ .bytes = "\x00\x00\x00\x05hello" };
    try std.testing.expectEqualStrings("hello", walker.next().?);
    try std.testing.expectEqual(null, walker.next());
}

test "an empty message is a message; a cut one is not" {
    var walker: Walker = .{ .bytes = "\x00\x00\x00\x00\x00\x00\x00\x03ab" };
    try std.testing.expectEqualStrings("", walker.next().?);
    try std.testing.expectEqual(null, walker.next());
    try std.testing.expectEqual(@as(usize, 4), walker.at);
    try std.testing.expectEqual(null, payloadLength("\x00\x00\x00"));
}

test "the shared vectors: headers, and streams cut at each byte" {
    const vectors = @import("vectors.zig");
    const frames = try vectors.read(vectors.Frames, "frames");
    defer frames.deinit();
    for (frames.value.lengths) |vector| {
        const header = try vectors.unhex(vector.header);
        defer std.testing.allocator.free(header);
        try std.testing.expectEqualSlices(u8, header, &encodeHeader(vector.bytes));
        try std.testing.expectEqual(vector.bytes, payloadLength(header));
    }
    for (frames.value.streams) |stream| {
        const wire = try vectors.unhex(stream.wire);
        defer std.testing.allocator.free(wire);
        for (0..wire.len + 1) |cut| {
            var walker: Walker = .{ .bytes = wire[0..cut] };
            for (stream.payloads, stream.ends) |digits, end| {
                if (end > cut) break;
                const payload = try vectors.unhex(digits);
                defer std.testing.allocator.free(payload);
                try std.testing.expectEqualSlices(u8, payload, walker.next().?);
                try std.testing.expectEqual(end, walker.at);
            }
            try std.testing.expectEqual(null, walker.next());
        }
    }
}
