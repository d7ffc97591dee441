//! The vectors of this library's own formats, and how they are read.

const vectors = @import("library").vectors;

pub const read = vectors.read;
pub const unhex = vectors.unhex;

/// The wire as `frames.json` tells it. Bytes are in hexadecimal digits.
pub const Frames = struct {
    version: u32,
    /// Lengths, and the header that each has.
    lengths: []const struct { bytes: u32, header: []const u8 },
    /// Whole messages, and after how many bytes each of them is whole.
    streams: []const struct {
        what: []const u8,
        wire: []const u8,
        payloads: []const []const u8,
        ends: []const usize,
    },
    /// Those after which the peer goes away in the middle of a message.
    truncated: []const struct {
        what: []const u8,
        wire: []const u8,
        payloads: []const []const u8,
    },
    /// Those that announce more than is allowed.
    too_long: []const struct {
        what: []const u8,
        message_bytes_max: u32,
        wire: []const u8,
        payloads: []const []const u8,
    },
};
