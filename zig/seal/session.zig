//! A connection from its handshake to its end. In the payloads of the handshake, which nobody can
//! change or hide, the ends say what they can do, and the caller may add some bytes:
//!
//!     initiator    version, 1 byte | the suites it offers, 1 byte (`suite.Set`) | the caller's bytes
//!     responder    version, 1 byte | the suite that it has chosen, 1 byte       | the caller's bytes
//!
//! The version is the one of `direction.zig`.

const std = @import("std");
const assert = std.debug.assert;
const directions = @import("direction.zig");
const handshakes = @import("handshake.zig");
const suites = @import("suite.zig");
const Direction = directions.Direction;
const Handshake = handshakes.Handshake;
const Key = handshakes.Key;
const Suite = suites.Suite;

const terms_bytes = 2;

/// The most that a caller may add: more than a transport has to say before it is sealed.
pub const payload_bytes_max = 1024;

/// By how much a message of the handshake is longer than what the caller adds.
pub const overhead_bytes = handshakes.overhead_bytes + terms_bytes;

pub const WriteError = handshakes.WriteError;
pub const ReadError = handshakes.ReadError || error{ NoCommonSuite, VersionUnknown };
pub const SealError = directions.SealError || error{WrongStep};
pub const OpenError = directions.OpenError || error{WrongStep};

pub const Settings = struct {
    role: handshakes.Role,
    static: *const Key,
    remote_static: *const Key,
    prologue: []const u8,
    ephemeral: *const Key,
    /// What this end can do.
    suites: suites.Set,
    limits: directions.Limits = .{},
};

pub const Session = struct {
    state: State,

    const State = union(enum) {
        shaking: Shaking,
        sealed: Sealed,
        failed,
    };

    const Shaking = struct {
        handshake: Handshake,
        offered: suites.Set,
        /// Known to the responder when it has read what the initiator offers.
        chosen: ?Suite = null,
        limits: directions.Limits,
    };

    pub const Sealed = struct { sending: Direction, receiving: Direction };

    pub fn init(settings: Settings) handshakes.KeyError!Session {
        return .{ .state = .{ .shaking = .{
            .handshake = try .init(
                settings.role,
                settings.static,
                settings.remote_static,
                settings.prologue,
                settings.ephemeral,
            ),
            .offered = settings.suites,
            .limits = settings.limits,
        } } };
    }

    /// For two ends that have their keys from elsewhere. What one sends with, the other receives with.
    pub fn initKeys(suite: Suite, keys: *const handshakes.Keys, limits: directions.Limits) Session {
        return .{ .state = .{ .sealed = .{
            .sending = .init(suite, &keys.sending, limits),
            .receiving = .init(suite, &keys.receiving, limits),
        } } };
    }

    pub fn deinit(session: *Session) void {
        switch (session.state) {
            .shaking => |*shaking| shaking.handshake.deinit(),
            .sealed => |*both| {
                both.sending.deinit();
                both.receiving.deinit();
            },
            .failed => {},
        }
        session.state = .failed;
    }

    /// The next message of the handshake, and its length.
    pub fn write(session: *Session, payload: []const u8, out: []u8) WriteError!usize {
        const shaking = switch (session.state) {
            .shaking => |*shaking| shaking,
            .sealed => return error.WrongStep,
            .failed => return error.Failed,
        };
        if (payload.len > payload_bytes_max) return error.MessageTooLong;
        var whole: [terms_bytes + payload_bytes_max]u8 = undefined;
        whole[0] = directions.version;
        whole[1] = switch (shaking.handshake.role) {
            .initiator => shaking.offered.number(),
            .responder => if (shaking.chosen) |suite| @intFromEnum(suite) else 0,
        };
        @memcpy(whole[terms_bytes..][0..payload.len], payload);
        const length = shaking.handshake.write(whole[0 .. terms_bytes + payload.len], out) catch |failure| {
            if (shaking.handshake.step == .failed) session.deinit();
            return failure;
        };
        session.finish();
        return length;
    }

    /// What the caller of the other end has added, and its length. What is wrong with the message
    /// ends the session.
    pub fn read(session: *Session, message: []const u8, out: []u8) ReadError!usize {
        const shaking = switch (session.state) {
            .shaking => |*shaking| shaking,
            .sealed => return error.WrongStep,
            .failed => return error.Failed,
        };
        var whole: [terms_bytes + payload_bytes_max]u8 = undefined;
        const room = message.len -| overhead_bytes;
        if (room > payload_bytes_max) {
            session.deinit();
            return error.MessageTooLong;
        }
        if (out.len < room) return error.NoRoom;
        const length = shaking.handshake.read(message, &whole) catch |failure| {
            if (shaking.handshake.step == .failed) session.deinit();
            return failure;
        };
        session.agree(whole[0..length]) catch |failure| {
            session.deinit();
            return failure;
        };
        @memcpy(out[0 .. length - terms_bytes], whole[terms_bytes..length]);
        session.finish();
        return length - terms_bytes;
    }

    fn agree(session: *Session, payload: []const u8) ReadError!void {
        const shaking = &session.state.shaking;
        if (payload.len < terms_bytes) return error.TooShort;
        if (payload[0] != directions.version) return error.VersionUnknown;
        switch (shaking.handshake.role) {
            .responder => {
                const offered: suites.Set = .from(payload[1]);
                shaking.chosen = suites.choose(shaking.offered, offered, &suites.preference) orelse
                    return error.NoCommonSuite;
            },
            .initiator => {
                const suite = std.enums.fromInt(Suite, payload[1]) orelse return error.NoCommonSuite;
                if (!shaking.offered.has(suite)) return error.NoCommonSuite;
                shaking.chosen = suite;
            },
        }
    }

    fn finish(session: *Session) void {
        const shaking = &session.state.shaking;
        if (shaking.handshake.step != .done) return;
        const suite = shaking.chosen.?;
        const limits = shaking.limits;
        var keys = shaking.handshake.split();
        defer keys.wipe();
        session.* = .initKeys(suite, &keys, limits);
    }

    /// Null until the handshake is over.
    pub fn suiteOf(session: *const Session) ?Suite {
        return switch (session.state) {
            .sealed => |*both| both.sending.suite,
            .shaking, .failed => null,
        };
    }

    pub fn seal(session: *Session, kind: directions.Kind, bytes: []const u8, out: []u8) SealError!usize {
        return (try session.opened()).sending.seal(kind, bytes, out);
    }

    pub fn open(session: *Session, kind: directions.Kind, record: []const u8, out: []u8) OpenError!usize {
        return (try session.opened()).receiving.open(kind, record, out);
    }

    fn opened(session: *Session) error{ WrongStep, Failed }!*Sealed {
        return switch (session.state) {
            .sealed => |*both| both,
            .shaking => error.WrongStep,
            .failed => error.Failed,
        };
    }
};

const testing = std.testing;

const Ends = struct {
    client: Session,
    server: Session,

    fn init(client: suites.Set, server: suites.Set) !Ends {
        const secrets = [_]Key{ @splat(1), @splat(2) };
        const ephemerals = [_]Key{ @splat(3), @splat(4) };
        const publics = [_]Key{
            try handshakes.publicKey(&secrets[0]),
            try handshakes.publicKey(&secrets[1]),
        };
        return .{
            .client = try .init(.{
                .role = .initiator,
                .static = &secrets[0],
                .remote_static = &publics[1],
                .prologue = "here",
                .ephemeral = &ephemerals[0],
                .suites = client,
            }),
            .server = try .init(.{
                .role = .responder,
                .static = &secrets[1],
                .remote_static = &publics[0],
                .prologue = "here",
                .ephemeral = &ephemerals[1],
                .suites = server,
            }),
        };
    }

    fn shake(ends: *Ends) !void {
        var message: [256]u8 = undefined;
        var out: [256]u8 = undefined;
        var length = try ends.client.write("ring 64", &message);
        try testing.expectEqual(7 + overhead_bytes, length);
        length = try ends.server.read(message[0..length], &out);
        try testing.expectEqualStrings("ring 64", out[0..length]);
        length = try ends.server.write("ring 32", &message);
        length = try ends.client.read(message[0..length], &out);
        try testing.expectEqualStrings("ring 32", out[0..length]);
    }
};

test "two ends agree on the best suite of both, and speak in both directions" {
    for ([_]struct { suites.Set, suites.Set, Suite }{
        .{ suites.offered(true), suites.offered(true), .aegis_256 },
        .{ suites.offered(true), suites.offered(false), .chacha20_poly1305 },
        .{ .{ .aes_256_gcm = true }, suites.offered(true), .aes_256_gcm },
    }) |case| {
        var ends: Ends = try .init(case[0], case[1]);
        try testing.expectEqual(null, ends.client.suiteOf());
        try ends.shake();
        try testing.expectEqual(case[2], ends.client.suiteOf());
        try testing.expectEqual(case[2], ends.server.suiteOf());
        var room: [64]u8 = undefined;
        for (0..10) |_| {
            var length = try ends.client.seal(1, "ask", &room);
            length = try ends.server.open(1, room[0..length], &room);
            try testing.expectEqualStrings("ask", room[0..length]);
            length = try ends.server.seal(2, "answer", &room);
            length = try ends.client.open(2, room[0..length], &room);
            try testing.expectEqualStrings("answer", room[0..length]);
        }
        // What one has sent is not what it opens.
        const length = try ends.client.seal(1, "ask", &room);
        try testing.expectError(error.NotAuthentic, ends.client.open(1, room[0..length], &room));
        // That its peer has lied says nothing against what it sends itself.
        _ = try ends.client.seal(1, "ask", &room);
        ends.client.deinit();
        try testing.expectError(error.Failed, ends.client.seal(1, "ask", &room));
    }
}

test "ends without a common suite part" {
    var ends: Ends = try .init(.{ .aegis_256 = true }, .{ .aes_256_gcm = true });
    var message: [256]u8 = undefined;
    const length = try ends.client.write("", &message);
    var out: [256]u8 = undefined;
    try testing.expectError(error.NoCommonSuite, ends.server.read(message[0..length], &out));
    try testing.expectError(error.Failed, ends.server.write("", &message));
    try testing.expectError(error.Failed, ends.server.read(message[0..length], &out));
}

test "nothing is sealed before the handshake is over" {
    var ends: Ends = try .init(suites.offered(false), suites.offered(false));
    var room: [64]u8 = undefined;
    try testing.expectError(error.WrongStep, ends.client.seal(0, "", &room));
    try testing.expectError(error.WrongStep, ends.client.open(0, &room, &room));
    try ends.shake();
    try testing.expectError(error.WrongStep, ends.client.write("", &room));
    try testing.expectError(error.WrongStep, ends.server.read(&room, &room));
}

test "a suite that was not offered, an unknown version, and too long a payload" {
    for ([_]struct { []const u8, ReadError }{
        .{ &.{ directions.version, @intFromEnum(Suite.aegis_256) }, error.NoCommonSuite },
        .{ &.{ directions.version, 0 }, error.NoCommonSuite },
        .{ &.{ directions.version, 77 }, error.NoCommonSuite },
        .{ &.{ directions.version + 1, 2 }, error.VersionUnknown },
        .{ &.{directions.version}, error.TooShort },
        .{ &@as([terms_bytes + payload_bytes_max + 1]u8, @splat(1)), error.MessageTooLong },
    }) |case| {
        var ends: Ends = try .init(.{ .aes_256_gcm = true }, suites.offered(true));
        var message: [2048]u8 = undefined;
        var out: [2048]u8 = undefined;
        var length = try ends.client.write("", &message);
        _ = try ends.server.read(message[0..length], &out);
        // A responder that does not keep to the format.
        length = try ends.server.state.shaking.handshake.write(case[0], &message);
        try testing.expectError(case[1], ends.client.read(message[0..length], &out));
        try testing.expectError(error.Failed, ends.client.seal(0, "", &out));
    }
    var ends: Ends = try .init(suites.offered(true), suites.offered(true));
    var message: [2048]u8 = undefined;
    const payload: [payload_bytes_max + 1]u8 = @splat(0);
    try testing.expectError(error.MessageTooLong, ends.client.write(&payload, &message));
    try testing.expectEqual(
        payload_bytes_max + overhead_bytes,
        try ends.client.write(payload[1..], &message),
    );
}
