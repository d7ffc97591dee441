//! Which ciphers there are, and which of them two ends use. The numbers are part of a public format:
//! they cross the wire, and one that is given stays.

const std = @import("std");

pub const Suite = enum(u8) {
    aegis_256 = 1,
    aes_256_gcm = 2,
    chacha20_poly1305 = 3,
};

/// What one end can do: the bit `1 << number` of each suite. A bit that nobody knows yet is no fault,
/// so that suites can be added.
pub const Set = packed struct(u8) {
    reserved: u1 = 0,
    aegis_256: bool = false,
    aes_256_gcm: bool = false,
    chacha20_poly1305: bool = false,
    later: u4 = 0,

    pub fn from(bits: u8) Set {
        return @bitCast(bits);
    }

    pub fn number(set: Set) u8 {
        return @bitCast(set);
    }

    pub fn has(set: Set, suite: Suite) bool {
        return set.number() & @as(u8, 1) << @intCast(@intFromEnum(suite)) != 0;
    }
};

/// The best first. AEGIS-256 is the fastest by far, and offered only where a processor has
/// instructions for AES; two ends of which one lacks them are best off with ChaCha20-Poly1305, which
/// needs none; AES-256-GCM is for those that have nothing else, as a browser's WebCrypto.
pub const preference = [_]Suite{ .aegis_256, .chacha20_poly1305, .aes_256_gcm };

/// What an end offers whose processor has such instructions, or lacks them. AES-256-GCM is right
/// without them too, and only slow.
pub fn offered(has_ciphers: bool) Set {
    return .{ .aegis_256 = has_ciphers, .aes_256_gcm = true, .chacha20_poly1305 = true };
}

/// The first of `order` that both have. Null if they have none in common.
pub fn choose(one: Set, other: Set, order: []const Suite) ?Suite {
    for (order) |suite| if (one.has(suite) and other.has(suite)) return suite;
    return null;
}

const browser: Set = .{ .aes_256_gcm = true };

test "which suite two ends use" {
    const new = offered(true);
    const old = offered(false);
    const cases = [_]struct { Set, Set, ?Suite }{
        .{ new, new, .aegis_256 },
        .{ new, old, .chacha20_poly1305 },
        .{ old, old, .chacha20_poly1305 },
        .{ new, browser, .aes_256_gcm },
        .{ old, browser, .aes_256_gcm },
        .{ browser, browser, .aes_256_gcm },
        .{ browser, .{ .aegis_256 = true }, null },
        .{ new, .{}, null },
    };
    for (cases) |case| {
        try std.testing.expectEqual(case[2], choose(case[0], case[1], &preference));
        // Neither end matters more.
        try std.testing.expectEqual(case[2], choose(case[1], case[0], &preference));
    }
}

test "another preference, and suites of the future" {
    const all = Set.from(0xff);
    try std.testing.expectEqual(.aegis_256, choose(all, offered(true), &preference));
    try std.testing.expectEqual(.aes_256_gcm, choose(all, all, &.{.aes_256_gcm}));
    try std.testing.expectEqual(null, choose(all, .from(0xf1), &preference));
    for (std.enums.values(Suite)) |suite| {
        try std.testing.expect(all.has(suite));
        try std.testing.expect(!(Set{}).has(suite));
    }
}
