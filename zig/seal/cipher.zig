//! The ciphers as this machine runs them best: those of the second build, which has instructions for
//! AES, where the processor has them too, else those that run everywhere.

const std = @import("std");
const builtin = @import("builtin");
const options = @import("options");
const sys = @import("sys");
const aead = @import("aead.zig");
const suites = @import("suite.zig");
const Suite = suites.Suite;

pub const Ciphers = struct {
    encrypt: *const aead.Encrypt,
    decrypt: *const aead.Decrypt,

    pub const portable: Ciphers = .{ .encrypt = &aead.encrypt, .decrypt = &aead.decrypt };
};

/// Asked once; that two threads may ask at the same time does no harm, since both get the same.
var known: std.atomic.Value(enum(u8) { unasked, second, portable }) = .init(.unasked);

pub fn hasInstructions() bool {
    if (!options.has_second_build) return std.crypto.core.aes.has_hardware_support;
    // Nothing else is published with it.
    switch (known.load(.monotonic)) {
        .second => return true,
        .portable => return false,
        .unasked => {},
    }
    const found = sys.processor.hasCiphers();
    known.store(if (found) .second else .portable, .monotonic);
    return found;
}

/// What this machine does well.
pub fn offered() suites.Set {
    return suites.offered(hasInstructions());
}

pub fn encrypt(
    suite: Suite,
    key: *const aead.Key,
    nonce: u64,
    beside: []const u8,
    bytes: []const u8,
    into: [*]u8,
    tag: *aead.Tag,
) void {
    if (options.has_second_build and hasInstructions()) {
        return second.encrypt(suite, key, nonce, beside, bytes, into, tag);
    }
    return aead.encrypt(suite, key, nonce, beside, bytes, into, tag);
}

pub fn decrypt(
    suite: Suite,
    key: *const aead.Key,
    nonce: u64,
    beside: []const u8,
    bytes: []const u8,
    into: [*]u8,
    tag: *const aead.Tag,
) bool {
    if (options.has_second_build and hasInstructions()) {
        return second.decrypt(suite, key, nonce, beside, bytes, into, tag);
    }
    return aead.decrypt(suite, key, nonce, beside, bytes, into, tag);
}

/// `second_build.zig`, which is linked in.
const second = struct {
    extern fn earshot_seal_second_encrypt(
        Suite,
        *const aead.Key,
        u64,
        [*]const u8,
        usize,
        [*]const u8,
        usize,
        [*]u8,
        *aead.Tag,
    ) void;
    extern fn earshot_seal_second_decrypt(
        Suite,
        *const aead.Key,
        u64,
        [*]const u8,
        usize,
        [*]const u8,
        usize,
        [*]u8,
        *const aead.Tag,
    ) bool;

    fn encrypt(
        suite: Suite,
        key: *const aead.Key,
        nonce: u64,
        beside: []const u8,
        bytes: []const u8,
        into: [*]u8,
        tag: *aead.Tag,
    ) void {
        earshot_seal_second_encrypt(
            suite,
            key,
            nonce,
            beside.ptr,
            beside.len,
            bytes.ptr,
            bytes.len,
            into,
            tag,
        );
    }

    fn decrypt(
        suite: Suite,
        key: *const aead.Key,
        nonce: u64,
        beside: []const u8,
        bytes: []const u8,
        into: [*]u8,
        tag: *const aead.Tag,
    ) bool {
        return earshot_seal_second_decrypt(
            suite,
            key,
            nonce,
            beside.ptr,
            beside.len,
            bytes.ptr,
            bytes.len,
            into,
            tag,
        );
    }
};

const testing = std.testing;
const vectors = @import("library").vectors;

/// Each of the two builds, as far as this machine runs it.
fn builds() []const Ciphers {
    const both = [_]Ciphers{ .portable, .{ .encrypt = &second.encrypt, .decrypt = &second.decrypt } };
    return if (options.has_second_build and hasInstructions()) &both else both[0..1];
}

const Vectors = struct {
    version: u32,
    sources: []const []const u8,
    sealed: []const Vector,
    refused: []const Vector,

    const Vector = struct {
        what: []const u8,
        suite: Suite,
        key: []const u8,
        nonce: []const u8,
        beside: []const u8,
        bytes: []const u8,
        sealed: []const u8,
        tag: []const u8,
    };
};

/// The published vectors have nonces that are no numbers, so the ciphers are asked directly; what
/// becomes of a number is in the vectors of `direction.zig`.
fn expectVector(comptime Cipher: type, vector: Vectors.Vector, accepted: bool) !void {
    const key = try vectors.unhex(vector.key);
    defer testing.allocator.free(key);
    const nonce = try vectors.unhex(vector.nonce);
    defer testing.allocator.free(nonce);
    const beside = try vectors.unhex(vector.beside);
    defer testing.allocator.free(beside);
    const bytes = try vectors.unhex(vector.bytes);
    defer testing.allocator.free(bytes);
    const sealed = try vectors.unhex(vector.sealed);
    defer testing.allocator.free(sealed);
    const tag = try vectors.unhex(vector.tag);
    defer testing.allocator.free(tag);
    const out = try testing.allocator.alloc(u8, sealed.len);
    defer testing.allocator.free(out);
    const key_array = key[0..32].*;
    const nonce_array = nonce[0..Cipher.nonce_length].*;
    const opened = Cipher.decrypt(out, sealed, tag[0..16].*, beside, nonce_array, key_array);
    if (!accepted) return testing.expectError(error.AuthenticationFailed, opened);
    try opened;
    try testing.expectEqualSlices(u8, bytes, out);
    var made: aead.Tag = undefined;
    Cipher.encrypt(out, &made, bytes, beside, nonce_array, key_array);
    try testing.expectEqualSlices(u8, sealed, out);
    try testing.expectEqualSlices(u8, tag, &made);
}

test "the ciphers are those that were published" {
    const parsed = try vectors.read(Vectors, "aead");
    defer parsed.deinit();
    var counts = [_]usize{ 0, 0 };
    for ([_][]const Vectors.Vector{ parsed.value.sealed, parsed.value.refused }, 0..) |list, index| {
        for (list) |vector| {
            const accepted = index == 0;
            switch (vector.suite) {
                .aegis_256 => try expectVector(std.crypto.aead.aegis.Aegis256, vector, accepted),
                .aes_256_gcm => try expectVector(std.crypto.aead.aes_gcm.Aes256Gcm, vector, accepted),
                .chacha20_poly1305 => try expectVector(
                    std.crypto.aead.chacha_poly.ChaCha20Poly1305,
                    vector,
                    accepted,
                ),
            }
            counts[index] += 1;
        }
    }
    try testing.expect(counts[0] >= 10 and counts[1] >= 4);
}

test "both builds seal alike, every length and in place, and each opens what the other sealed" {
    var random: std.Random.DefaultPrng = .init(testing.random_seed);
    var key: aead.Key = undefined;
    random.random().bytes(&key);
    var bytes: [400]u8 = undefined;
    random.random().bytes(&bytes);
    const lengths_max = 300;
    for (std.enums.values(Suite)) |suite| {
        for (0..lengths_max) |length| {
            const nonce = random.random().int(u64);
            const beside = bytes[0 .. length % 40];
            var expected: [lengths_max]u8 = undefined;
            var expected_tag: aead.Tag = undefined;
            aead.encrypt(suite, &key, nonce, beside, bytes[0..length], &expected, &expected_tag);
            for (builds()) |build| {
                // One byte of what surrounds it on either side must stay as it is.
                var room: [lengths_max + 2]u8 = @splat(0xa5);
                const into = room[1..][0..length];
                @memcpy(into, bytes[0..length]);
                var tag: aead.Tag = undefined;
                build.encrypt(suite, &key, nonce, beside, into, into.ptr, &tag);
                try testing.expectEqualSlices(u8, expected[0..length], into);
                try testing.expectEqual(expected_tag, tag);
                try testing.expect(build.decrypt(suite, &key, nonce, beside, into, into.ptr, &tag));
                try testing.expectEqualSlices(u8, bytes[0..length], into);
                try testing.expect(room[0] == 0xa5 and room[1 + length] == 0xa5);
                tag[length % 16] ^= 1;
                const in = expected[0..length];
                try testing.expect(!build.decrypt(suite, &key, nonce, beside, in, into.ptr, &tag));
            }
        }
    }
}
