//! The name of a service, and what makes one acceptable.
//!
//! A name becomes a file in the run directory, and may come from the network (a lookup, a daemon
//! asked to lead somewhere). So a name is checked before it is put into any path: it can neither
//! leave the directory nor hide in it, nor be mistaken for a file that belongs to another service.

const std = @import("std");

/// The longest name. With this many bytes a name fits the socket address (103 bytes on macOS, the
/// smallest) in every directory chosen by default, the longest of which is
/// `/run/user/4294967295/earshot`. A name that is good here is good everywhere.
pub const name_bytes_max = 64;

/// The file that lies beside a service's socket bears its name with this ending, so no name may end
/// so. Its case is ignored, because some file systems (macOS's own) ignore it too.
pub const lock_ending = ".lock";

/// The rule that a name breaks.
pub const Fault = enum {
    empty,
    too_long,
    leading_dot,
    character,
    reserved_ending,

    /// The rule in words, to follow "the name … is not valid: it".
    pub fn text(fault: Fault) [:0]const u8 {
        return switch (fault) {
            .empty => "is empty",
            .too_long => std.fmt.comptimePrint("is longer than {d} bytes", .{name_bytes_max}),
            .leading_dot => "starts with a dot",
            .character => "holds a character other than letters, digits, '.', '_' and '-'",
            .reserved_ending => "ends in " ++ lock_ending ++ ", which is reserved",
        };
    }
};

pub fn check(name: []const u8) error{NameInvalid}!void {
    if (find(name) != null) return error.NameInvalid;
}

/// The first rule that `name` breaks, or null if it is a good name.
pub fn find(name: []const u8) ?Fault {
    if (name.len == 0) return .empty;
    if (name.len > name_bytes_max) return .too_long;
    if (name[0] == '.') return .leading_dot;
    for (name) |byte| switch (byte) {
        'A'...'Z', 'a'...'z', '0'...'9', '.', '_', '-' => {},
        else => return .character,
    };
    return if (std.ascii.endsWithIgnoreCase(name, lock_ending)) .reserved_ending else null;
}

test "ordinary names are good" {
    const names = [_][]const u8{ "pong", "p", "Pong-2", "a.b_c-d", "lock", "a.locks", "x.lock.y" };
    for (names) |name| try check(name);
    try check("n" ** name_bytes_max);
}

test "every byte is either in the alphabet or refused, at any place" {
    const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    for (0..256) |value| {
        const byte: u8 = @intCast(value);
        const allowed = std.mem.indexOfScalar(u8, alphabet, byte) != null;
        for ([_][3]u8{ .{ 'a', byte, 'b' }, .{ 'a', 'b', byte } }) |name| {
            const expected: ?Fault = if (allowed) null else .character;
            try std.testing.expectEqual(expected, find(&name));
        }
        const first: ?Fault = if (byte == '.') .leading_dot else if (allowed) null else .character;
        try std.testing.expectEqual(first, find(&.{ byte, 'a' }));
    }
}

test "a bad name tells which rule it breaks" {
    const cases = [_]struct { []const u8, Fault }{
        .{ "", .empty },
        .{ "n" ** (name_bytes_max + 1), .too_long },
        .{ "n" ** 300, .too_long },
        .{ ".", .leading_dot },
        .{ "..", .leading_dot },
        .{ ".lock", .leading_dot },
        .{ "../pong", .leading_dot },
        .{ "a/b", .character },
        .{ "a/../../b", .character },
        .{ "pong\x00", .character },
        .{ "po ng", .character },
        .{ "pöng", .character },
        .{ "pong.lock", .reserved_ending },
        .{ "pong.LOCK", .reserved_ending },
    };
    for (cases) |case| {
        try std.testing.expectEqual(case[1], find(case[0]));
        try std.testing.expectError(error.NameInvalid, check(case[0]));
        try std.testing.expect(case[1].text().len > 0);
    }
}

test "the shared vectors" {
    const Names = struct {
        version: u32,
        name_bytes_max: usize,
        good: []const []const u8,
        bad: []const struct { name: []const u8, fault: Fault },
    };
    const names = try @import("vectors.zig").read(Names, "names");
    defer names.deinit();
    try std.testing.expectEqual(names.value.name_bytes_max, name_bytes_max);
    for (names.value.good) |name| try std.testing.expectEqual(null, find(name));
    for (names.value.bad) |bad| try std.testing.expectEqual(bad.fault, find(bad.name));
}
