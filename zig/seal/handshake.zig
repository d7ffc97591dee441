//! How two ends that know each other's public key come to keys for one connection:
//! Noise_KK_25519_AESGCM_SHA256 of the Noise Protocol Framework, revision 34 (noiseprotocol.org).
//! Section numbers here are of that document.
//!
//!     -> s              each knows the other's static key before (7.5)
//!     <- s
//!     ...
//!     -> e, es, ss      the initiator's first message
//!     <- e, ee, se      and the answer, after which both have the keys
//!
//! Each message is an ephemeral public key of 32 bytes, then the payload, encrypted, then a tag of 16.
//! What follows them stays secret even if both static keys are lost later, and nobody can pass for
//! either end who lacks its key (7.7: authentication 2, confidentiality 5). Payloads of the handshake
//! are kept less well. That of the first message (1 and 2) can be played again, and read with the
//! responder's static key, so nothing secret belongs in it; that of the answer (2 and 4) is as good as
//! what follows unless the responder's key had been lost before.
//!
//! AES-GCM is the cipher of these two messages only, since all ends can do it; that of what follows
//! is for the ends to agree on.

const std = @import("std");
const assert = std.debug.assert;
const aead = @import("aead.zig");
const cipher = @import("cipher.zig");
const Sha256 = std.crypto.hash.sha2.Sha256;
const HmacSha256 = std.crypto.auth.hmac.sha2.HmacSha256;
const X25519 = std.crypto.dh.X25519;
const secureZero = std.crypto.secureZero;

pub const protocol_name = "Noise_KK_25519_AESGCM_SHA256";

pub const key_bytes = 32;
pub const Key = [key_bytes]u8;

/// By how much a message is longer than its payload.
pub const overhead_bytes = key_bytes + aead.tag_bytes;

/// Of a message with its payload (3).
pub const message_bytes_max = 65535;

pub const Role = enum(u32) { initiator = 1, responder = 2 };

pub const KeyError = error{WeakKey};
pub const WriteError = error{ Failed, WrongStep, NoRoom, MessageTooLong, WeakKey };
pub const ReadError = error{ Failed, WrongStep, NoRoom, TooShort, MessageTooLong, NotAuthentic, WeakKey };

/// What both have in the end: a key for each direction.
pub const Keys = struct {
    sending: Key,
    receiving: Key,

    pub fn wipe(keys: *Keys) void {
        secureZero(u8, &keys.sending);
        secureZero(u8, &keys.receiving);
    }
};

/// The public key that belongs to a secret one.
pub fn publicKey(secret: *const Key) KeyError!Key {
    return X25519.recoverPublicKey(secret.*) catch error.WeakKey;
}

pub const Handshake = struct {
    role: Role,
    step: Step = .first,
    symmetric: Symmetric,
    static: Key,
    remote_static: Key,
    ephemeral: Key,
    remote_ephemeral: Key = @splat(0),
    /// ss, which is worked out at once: a public key that is no good is told before anything is sent.
    shared: Key,

    pub const Step = enum { first, second, done, failed };

    /// `ephemeral` is a secret key that is used for this handshake and never again.
    pub fn init(
        role: Role,
        static: *const Key,
        remote_static: *const Key,
        prologue: []const u8,
        ephemeral: *const Key,
    ) KeyError!Handshake {
        const public = try publicKey(static);
        var handshake: Handshake = .{
            .role = role,
            .symmetric = .init(),
            .static = static.*,
            .remote_static = remote_static.*,
            .ephemeral = ephemeral.*,
            .shared = try agree(static, remote_static),
        };
        handshake.symmetric.mixHash(prologue);
        handshake.symmetric.mixHash(if (role == .initiator) &public else remote_static);
        handshake.symmetric.mixHash(if (role == .initiator) remote_static else &public);
        return handshake;
    }

    pub fn deinit(handshake: *Handshake) void {
        handshake.symmetric.wipe();
        secureZero(u8, &handshake.static);
        secureZero(u8, &handshake.ephemeral);
        secureZero(u8, &handshake.shared);
        handshake.step = .failed;
    }

    /// Writes the message whose turn it is, and returns its length.
    pub fn write(handshake: *Handshake, payload: []const u8, out: []u8) WriteError!usize {
        try handshake.expectTurn(.initiator);
        const length = payload.len + overhead_bytes;
        if (length > message_bytes_max) return error.MessageTooLong;
        if (out.len < length) return error.NoRoom;
        errdefer handshake.deinit();
        const public = try publicKey(&handshake.ephemeral);
        out[0..key_bytes].* = public;
        handshake.symmetric.mixHash(&public);
        try handshake.mixKeys();
        handshake.symmetric.encrypt(payload, out[key_bytes..length]);
        handshake.advance();
        return length;
    }

    /// Reads the message whose turn it is, and returns the length of its payload. A message that is
    /// not from the other end ends the handshake, with nothing in `out`.
    pub fn read(handshake: *Handshake, message: []const u8, out: []u8) ReadError!usize {
        try handshake.expectTurn(.responder);
        if (message.len >= overhead_bytes and out.len < message.len - overhead_bytes) return error.NoRoom;
        errdefer handshake.deinit();
        if (message.len < overhead_bytes) return error.TooShort;
        if (message.len > message_bytes_max) return error.MessageTooLong;
        handshake.remote_ephemeral = message[0..key_bytes].*;
        handshake.symmetric.mixHash(&handshake.remote_ephemeral);
        try handshake.mixKeys();
        try handshake.symmetric.decrypt(message[key_bytes..], out);
        handshake.advance();
        return message.len - overhead_bytes;
    }

    /// The keys for what follows (5.2, Split). The handshake is over.
    pub fn split(handshake: *Handshake) Keys {
        assert(handshake.step == .done);
        const pair = derive(&handshake.symmetric.chaining, "");
        defer handshake.deinit();
        // The first is for what the initiator sends.
        return switch (handshake.role) {
            .initiator => .{ .sending = pair[0], .receiving = pair[1] },
            .responder => .{ .sending = pair[1], .receiving = pair[0] },
        };
    }

    fn expectTurn(handshake: *const Handshake, first: Role) error{ Failed, WrongStep }!void {
        switch (handshake.step) {
            .first => if (handshake.role != first) return error.WrongStep,
            .second => if (handshake.role == first) return error.WrongStep,
            .done => return error.WrongStep,
            .failed => return error.Failed,
        }
    }

    /// The tokens behind `e` (7.4): what is agreed on goes into the chain. For one end the `s` of a
    /// token is its own key, for the other that of its peer.
    fn mixKeys(handshake: *Handshake) KeyError!void {
        const is_initiator = handshake.role == .initiator;
        switch (handshake.step) {
            .first => {
                // es: the initiator's ephemeral key and the responder's static one.
                if (is_initiator)
                    try handshake.mix(&handshake.ephemeral, &handshake.remote_static)
                else
                    try handshake.mix(&handshake.static, &handshake.remote_ephemeral);
                handshake.symmetric.mixKey(&handshake.shared);
            },
            .second => {
                try handshake.mix(&handshake.ephemeral, &handshake.remote_ephemeral);
                // se: the initiator's static key and the responder's ephemeral one.
                if (is_initiator)
                    try handshake.mix(&handshake.static, &handshake.remote_ephemeral)
                else
                    try handshake.mix(&handshake.ephemeral, &handshake.remote_static);
            },
            .done, .failed => unreachable,
        }
    }

    fn mix(handshake: *Handshake, secret: *const Key, public: *const Key) KeyError!void {
        var shared = try agree(secret, public);
        handshake.symmetric.mixKey(&shared);
        secureZero(u8, &shared);
    }

    fn advance(handshake: *Handshake) void {
        handshake.step = if (handshake.step == .first) .second else .done;
    }
};

/// DH of 12.1 (RFC 7748, 5). A public key of low order, with which everybody would agree on zeros, is
/// refused, which RFC 7748, 6.1, leaves to the protocol.
fn agree(secret: *const Key, public: *const Key) KeyError!Key {
    const shared = X25519.scalarmult(secret.*, public.*) catch return error.WeakKey;
    const zeros: Key = @splat(0);
    if (std.crypto.timing_safe.eql(Key, shared, zeros)) return error.WeakKey;
    return shared;
}

/// HKDF of 4.3 with two outputs.
fn derive(chaining: *const Key, material: []const u8) [2]Key {
    var temporary: Key = undefined;
    HmacSha256.create(&temporary, material, chaining);
    defer secureZero(u8, &temporary);
    var first: Key = undefined;
    HmacSha256.create(&first, &.{1}, &temporary);
    var second: Key = undefined;
    HmacSha256.create(&second, &first ++ [_]u8{2}, &temporary);
    return .{ first, second };
}

/// SymmetricState, and in it the CipherState, of 5.1 and 5.2.
const Symmetric = struct {
    chaining: Key,
    hash: Key,
    key: Key = @splat(0),
    has_key: bool = false,
    nonce: u64 = 0,

    fn init() Symmetric {
        comptime assert(protocol_name.len <= key_bytes);
        const begin = protocol_name ++ @as([key_bytes - protocol_name.len]u8, @splat(0));
        return .{ .chaining = begin.*, .hash = begin.* };
    }

    fn wipe(symmetric: *Symmetric) void {
        secureZero(u8, std.mem.asBytes(symmetric));
    }

    fn mixHash(symmetric: *Symmetric, data: []const u8) void {
        var sha: Sha256 = .init(.{});
        sha.update(&symmetric.hash);
        sha.update(data);
        sha.final(&symmetric.hash);
    }

    fn mixKey(symmetric: *Symmetric, material: []const u8) void {
        const pair = derive(&symmetric.chaining, material);
        symmetric.chaining = pair[0];
        symmetric.key = pair[1];
        symmetric.has_key = true;
        symmetric.nonce = 0;
    }

    /// EncryptAndHash. `out` is longer than the payload by a tag.
    fn encrypt(symmetric: *Symmetric, payload: []const u8, out: []u8) void {
        assert(symmetric.has_key and out.len == payload.len + aead.tag_bytes);
        const tag = out[payload.len..][0..aead.tag_bytes];
        const suite = .aes_256_gcm;
        const hash = symmetric.hash;
        cipher.encrypt(suite, &symmetric.key, symmetric.nonce, &hash, payload, out.ptr, tag);
        symmetric.nonce += 1;
        symmetric.mixHash(out);
    }

    /// DecryptAndHash.
    fn decrypt(symmetric: *Symmetric, sealed: []const u8, out: []u8) error{NotAuthentic}!void {
        assert(symmetric.has_key);
        const length = sealed.len - aead.tag_bytes;
        const tag = sealed[length..][0..aead.tag_bytes].*;
        const suite = .aes_256_gcm;
        const hash = symmetric.hash;
        // The hash takes in what was sent, which `out` may lie over.
        symmetric.mixHash(sealed);
        const bytes = sealed[0..length];
        if (!cipher.decrypt(suite, &symmetric.key, symmetric.nonce, &hash, bytes, out.ptr, &tag)) {
            secureZero(u8, out[0..length]);
            return error.NotAuthentic;
        }
        symmetric.nonce += 1;
    }
};

const testing = std.testing;
const vectors = @import("library").vectors;

/// As cacophony writes them.
const Vectors = struct {
    version: u32,
    source: []const u8,
    licence: []const u8,
    vectors: []const struct {
        name: []const u8,
        init_prologue: []const u8,
        init_static: []const u8,
        init_ephemeral: []const u8,
        init_remote_static: []const u8,
        resp_prologue: []const u8,
        resp_static: []const u8,
        resp_ephemeral: []const u8,
        resp_remote_static: []const u8,
        messages: []const struct { payload: []const u8, ciphertext: []const u8 },
    },
};

fn unhexKey(digits: []const u8) !Key {
    var key: Key = undefined;
    _ = try std.fmt.hexToBytes(&key, digits);
    return key;
}

test "handshakes are those that were published, and so is what is sent after them" {
    const parsed = try vectors.read(Vectors, "noise-kk");
    defer parsed.deinit();
    try testing.expect(parsed.value.vectors.len > 0);
    for (parsed.value.vectors) |vector| {
        try testing.expectEqualStrings(protocol_name, vector.name);
        const prologue = try vectors.unhex(vector.init_prologue);
        defer testing.allocator.free(prologue);
        var ends = [_]Handshake{
            try .init(
                .initiator,
                &try unhexKey(vector.init_static),
                &try unhexKey(vector.init_remote_static),
                prologue,
                &try unhexKey(vector.init_ephemeral),
            ),
            try .init(
                .responder,
                &try unhexKey(vector.resp_static),
                &try unhexKey(vector.resp_remote_static),
                prologue,
                &try unhexKey(vector.resp_ephemeral),
            ),
        };
        var keys: [2]Keys = undefined;
        for (vector.messages, 0..) |message, turn| {
            const payload = try vectors.unhex(message.payload);
            defer testing.allocator.free(payload);
            const expected = try vectors.unhex(message.ciphertext);
            defer testing.allocator.free(expected);
            var out: [256]u8 = undefined;
            var back: [256]u8 = undefined;
            const from = turn % 2;
            if (turn < 2) {
                const length = try ends[from].write(payload, &out);
                try testing.expectEqualSlices(u8, expected, out[0..length]);
                const read = try ends[1 - from].read(out[0..length], &back);
                try testing.expectEqualSlices(u8, payload, back[0..read]);
                if (turn == 1) for (&ends, &keys) |*end, *pair| {
                    pair.* = end.split();
                };
                continue;
            }
            // Behind the handshake Noise's own messages have numbers of their own in each direction.
            const nonce = turn / 2 - 1;
            const tag = out[payload.len..][0..aead.tag_bytes];
            try testing.expectEqual(keys[from].sending, keys[1 - from].receiving);
            cipher.encrypt(.aes_256_gcm, &keys[from].sending, nonce, "", payload, &out, tag);
            try testing.expectEqualSlices(u8, expected, out[0 .. payload.len + aead.tag_bytes]);
        }
    }
}

const Ends = struct {
    initiator: Handshake,
    responder: Handshake,

    fn init(prologues: [2][]const u8) !Ends {
        const secrets = [_]Key{ @splat(1), @splat(2) };
        const ephemerals = [_]Key{ @splat(3), @splat(4) };
        const publics = [_]Key{ try publicKey(&secrets[0]), try publicKey(&secrets[1]) };
        return .{
            .initiator = try .init(.initiator, &secrets[0], &publics[1], prologues[0], &ephemerals[0]),
            .responder = try .init(.responder, &secrets[1], &publics[0], prologues[1], &ephemerals[1]),
        };
    }
};

test "any bit that is turned in either message ends the handshake" {
    const payload = "pay";
    const length = payload.len + overhead_bytes;
    var ends: Ends = try .init(.{ "", "" });
    var messages: [2][length]u8 = undefined;
    var out: [length]u8 = undefined;
    _ = try ends.initiator.write(payload, &messages[0]);
    const waiting = ends;
    _ = try ends.responder.read(&messages[0], &out);
    _ = try ends.responder.write(payload, &messages[1]);
    for (0..length * 8) |bit| {
        for (&messages, [_]Handshake{ waiting.responder, waiting.initiator }) |*message, end| {
            var reader = end;
            out = @splat(0);
            // The highest bit of a key is nobody's (RFC 7748, 5), but the hash has it all the same.
            message[bit / 8] ^= @as(u8, 1) << @intCast(bit % 8);
            try testing.expectError(error.NotAuthentic, reader.read(message, &out));
            try testing.expect(std.mem.allEqual(u8, &out, 0));
            message[bit / 8] ^= @as(u8, 1) << @intCast(bit % 8);
            try testing.expectError(error.Failed, reader.read(message, &out));
            const wiped: Key = @splat(0);
            try testing.expectEqual(wiped, reader.static);
            try testing.expectEqual(wiped, reader.symmetric.chaining);
        }
    }
}

test "another prologue, another key, a message of another handshake" {
    var message: [128]u8 = undefined;
    var out: [128]u8 = undefined;
    var differ: Ends = try .init(.{ "one", "other" });
    const length = try differ.initiator.write("", &message);
    try testing.expectError(error.NotAuthentic, differ.responder.read(message[0..length], &out));

    var stranger: Ends = try .init(.{ "", "" });
    const secret: Key = @splat(9);
    const ephemeral: Key = @splat(3);
    const public = try publicKey(&@as(Key, @splat(2)));
    var impostor: Handshake = try .init(.initiator, &secret, &public, "", &ephemeral);
    _ = try impostor.write("", &message);
    try testing.expectError(error.NotAuthentic, stranger.responder.read(message[0..length], &out));

    // An answer to what was asked in another handshake is none here.
    var first: Ends = try .init(.{ "", "" });
    var second: Ends = try .init(.{ "", "" });
    second.initiator.ephemeral = @splat(5);
    _ = try first.initiator.write("", &message);
    _ = try first.responder.read(message[0..length], &out);
    _ = try first.responder.write("", &message);
    _ = try second.initiator.write("", &out);
    try testing.expectError(error.NotAuthentic, second.initiator.read(message[0..length], &out));
}

test "lengths at the edges" {
    var ends: Ends = try .init(.{ "", "" });
    var message: [message_bytes_max + 1]u8 = undefined;
    var out: [message_bytes_max]u8 = undefined;
    const payload_bytes_max = message_bytes_max - overhead_bytes;
    try testing.expectError(error.MessageTooLong, ends.initiator.write(message[0 .. payload_bytes_max + 1], &out));
    try testing.expectError(error.NoRoom, ends.initiator.write("", out[0 .. overhead_bytes - 1]));
    const payload: [payload_bytes_max]u8 = @splat(6);
    try testing.expectEqual(message_bytes_max, try ends.initiator.write(&payload, &message));
    try testing.expectError(error.NoRoom, ends.responder.read(message[0..message_bytes_max], out[0..5]));
    try testing.expectEqual(payload_bytes_max, try ends.responder.read(message[0..message_bytes_max], &out));
    try testing.expectEqualSlices(u8, &payload, out[0..payload_bytes_max]);

    for (0..overhead_bytes) |length| {
        var short: Ends = try .init(.{ "", "" });
        try testing.expectError(error.TooShort, short.responder.read(message[0..length], &out));
        try testing.expectError(error.Failed, short.responder.read(message[0..overhead_bytes], &out));
    }
}

test "nobody speaks out of turn" {
    var ends: Ends = try .init(.{ "", "" });
    var message: [128]u8 = undefined;
    var out: [128]u8 = undefined;
    try testing.expectError(error.WrongStep, ends.responder.write("", &message));
    try testing.expectError(error.WrongStep, ends.initiator.read(message[0..64], &out));
    const length = try ends.initiator.write("", &message);
    try testing.expectError(error.WrongStep, ends.initiator.write("", &out));
    _ = try ends.responder.read(message[0..length], &out);
    _ = try ends.responder.write("", &message);
    try testing.expectError(error.WrongStep, ends.responder.read(message[0..length], &out));
}

/// Those of order 1, 2, 4 and 8, on the curve and its twist, and what is the same modulo 2 ^ 255 - 19
/// (RFC 7748, 6.1; the list is that of Bernstein's "Curve25519", cr.yp.to/ecdh.html#validate).
const weak_keys = [_][]const u8{
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
};

test "keys of low order are refused, as static and as ephemeral ones" {
    for (weak_keys) |digits| {
        for ([_]u8{ 0, 0x80 }) |highest_bit| {
            var weak = try unhexKey(digits);
            weak[31] |= highest_bit;
            const secret: Key = @splat(1);
            for (std.enums.values(Role)) |role| {
                try testing.expectError(error.WeakKey, Handshake.init(role, &secret, &weak, "", &secret));
            }
            var ends: Ends = try .init(.{ "", "" });
            var message: [overhead_bytes]u8 = undefined;
            var out: [overhead_bytes]u8 = undefined;
            _ = try ends.initiator.write("", &message);
            message[0..key_bytes].* = weak;
            try testing.expectError(error.WeakKey, ends.responder.read(&message, &out));
            try testing.expectError(error.WeakKey, ends.initiator.read(&message, &out));
        }
    }
}
