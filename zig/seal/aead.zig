//! The three ciphers of the standard library behind one pair of functions. This file is compiled
//! twice, for the processor that the library is built for and for one with the instructions that
//! ciphers want (`cipher.zig` takes the one that fits), so it knows of nothing but its arguments.
//!
//! All have keys of 32 bytes and tags of 16. The nonce is a number that never comes twice with a key:
//!
//!     AEGIS-256            24 zero bytes, 8 bytes big-endian
//!     AES-256-GCM          4 zero bytes, 8 bytes big-endian      Noise rev 34, 12.4
//!     ChaCha20-Poly1305    4 zero bytes, 8 bytes little-endian   Noise rev 34, 12.3
//!
//! Where there are no instructions for AES the standard library looks it up in tables, and hides which
//! entries it takes as far as `std.options.side_channels_mitigations` has it; so such a machine never
//! offers AEGIS-256, and takes AES-256-GCM only for want of anything else.
//!
//! AEGIS-256 is that of draft-irtf-cfrg-aegis-aead with a tag of 128 bits, AES-256-GCM that of NIST
//! SP 800-38D, ChaCha20-Poly1305 that of RFC 8439.

const std = @import("std");
const Suite = @import("suite.zig").Suite;
const Aegis = std.crypto.aead.aegis.Aegis256;
const Gcm = std.crypto.aead.aes_gcm.Aes256Gcm;
const Chacha = std.crypto.aead.chacha_poly.ChaCha20Poly1305;

pub const key_bytes = 32;
pub const tag_bytes = 16;

pub const Key = [key_bytes]u8;
pub const Tag = [tag_bytes]u8;

/// The function that seals: `into` gets as many bytes as `bytes` has, and may be the same memory.
pub const Encrypt = fn (
    suite: Suite,
    key: *const Key,
    nonce: u64,
    beside: []const u8,
    bytes: []const u8,
    into: [*]u8,
    tag: *Tag,
) void;

/// The function that opens. What is in `into` after false is nobody's to see. AEGIS-256 reads
/// `bytes` once; of the others, what somebody changes meanwhile is opened as it was changed.
pub const Decrypt = fn (
    suite: Suite,
    key: *const Key,
    nonce: u64,
    beside: []const u8,
    bytes: []const u8,
    into: [*]u8,
    tag: *const Tag,
) bool;

pub fn encrypt(
    suite: Suite,
    key: *const Key,
    nonce: u64,
    beside: []const u8,
    bytes: []const u8,
    into: [*]u8,
    tag: *Tag,
) void {
    const out = into[0..bytes.len];
    switch (suite) {
        inline else => |known| {
            const Cipher = CipherOf(known);
            Cipher.encrypt(out, tag, bytes, beside, nonceOf(known, nonce), key.*);
        },
    }
}

pub fn decrypt(
    suite: Suite,
    key: *const Key,
    nonce: u64,
    beside: []const u8,
    bytes: []const u8,
    into: [*]u8,
    tag: *const Tag,
) bool {
    const out = into[0..bytes.len];
    switch (suite) {
        inline else => |known| {
            const Cipher = CipherOf(known);
            Cipher.decrypt(out, bytes, tag.*, beside, nonceOf(known, nonce), key.*) catch return false;
            return true;
        },
    }
}

fn CipherOf(comptime suite: Suite) type {
    const Cipher = switch (suite) {
        .aegis_256 => Aegis,
        .aes_256_gcm => Gcm,
        .chacha20_poly1305 => Chacha,
    };
    std.debug.assert(Cipher.key_length == key_bytes and Cipher.tag_length == tag_bytes);
    return Cipher;
}

fn nonceOf(comptime suite: Suite, nonce: u64) [CipherOf(suite).nonce_length]u8 {
    const length = CipherOf(suite).nonce_length;
    var bytes: [length]u8 = @splat(0);
    const endian: std.builtin.Endian = switch (suite) {
        .aegis_256, .aes_256_gcm => .big,
        .chacha20_poly1305 => .little,
    };
    std.mem.writeInt(u64, bytes[length - 8 ..], nonce, endian);
    return bytes;
}
