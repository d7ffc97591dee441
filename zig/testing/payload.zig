//! What the messages of a run hold: pieces of one long random text. A message is known by where its piece begins and
//! how long it is, so that remembering what was sent costs nothing, whatever the size.

const std = @import("std");

pub const Payload = struct {
    offset: u32,
    length: u32,

    /// The longest message that a run may send.
    pub const bytes_max = 700 * 1024;
    const text_bytes = 2 * bytes_max;
    var text: [text_bytes]u8 = undefined;
    var text_made = false;

    pub fn draw(random: std.Random, length: u32) Payload {
        makeText();
        return .{ .offset = random.uintAtMost(u32, text_bytes - length), .length = length };
    }

    pub fn bytes(payload: Payload) []const u8 {
        return text[payload.offset..][0..payload.length];
    }

    fn makeText() void {
        if (text_made) return;
        // The same for every seed, and made once.
        var prng: std.Random.DefaultPrng = .init(0x6561_7273_686f_74);
        prng.random().bytes(&text);
        text_made = true;
    }
};
