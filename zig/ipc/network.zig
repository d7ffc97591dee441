//! The environment variable IPC_NETWORK: which services are elsewhere, and where.
//!
//!     IPC_NETWORK="pong tcp://example.org:9000/pong; audio tls://studio:9443/sound;"
//!
//! The rules are those of `src/ipc/network.ts`, which says why, and `tests/vectors/network.json` holds both to them. Here
//! it is only found out whether a name is in there: where that is, ipcd looks up.

const std = @import("std");
const name_rules = @import("name.zig");
const uris = @import("uri.zig");

pub const variable_name = "IPC_NETWORK";

/// The variable goes whole into each lookup, which is one message.
pub const network_bytes_max = 65_536;

/// What is wrong, in the words of the vectors.
pub const Fault = enum {
    too_long,
    name,
    uri_missing,
    words,
    uri_too_long,
    uri_character,
    scheme,
    user,
    query,
    host,
    port,
    path,

    fn of(fault: uris.Fault) Fault {
        return switch (fault) {
            inline else => |known| @field(Fault, @tagName(known)),
        };
    }
};

pub const Found = union(enum) {
    /// It is not in there.
    here,
    /// Its URI.
    elsewhere: []const u8,
    /// The variable cannot be understood, whichever name is asked for.
    broken: Broken,
};

/// Which entry it is, from 1; 0 if it is the whole. Empty ones count.
pub const Broken = struct { fault: Fault, entry: usize };

/// Only this is white space.
const space = " \t\r\n";

pub fn find(name: []const u8, variable: []const u8) Found {
    if (variable.len > network_bytes_max) return .{ .broken = .{ .fault = .too_long, .entry = 0 } };
    var found: Found = .here;
    var number: usize = 0;
    var entries = std.mem.splitScalar(u8, variable, ';');
    while (entries.next()) |entry| {
        number += 1;
        var words = std.mem.tokenizeAny(u8, entry, space);
        const entry_name = words.next() orelse continue;
        const uri = words.next();
        if (faultOf(entry_name, uri, words.next() != null)) |fault|
            return .{ .broken = .{ .fault = fault, .entry = number } };
        // Of two the first counts.
        if (found == .here and std.mem.eql(u8, entry_name, name)) found = .{ .elsewhere = uri.? };
    }
    return found;
}

fn faultOf(name: []const u8, uri: ?[]const u8, has_more: bool) ?Fault {
    if (name_rules.find(name) != null) return .name;
    const text = uri orelse return .uri_missing;
    if (has_more) return .words;
    return .of(uris.find(text) orelse return null);
}

test "the shared vectors" {
    const vectors = @import("vectors.zig");
    const Vectors = struct {
        version: u32,
        network_bytes_max: usize,
        uri_bytes_max: usize,
        entries: []const struct {
            variable: []const u8,
            service: []const u8,
            uri: ?[]const u8 = null,
            @"error": ?Fault = null,
            entry: usize = 0,
        },
    };
    const parsed = try vectors.read(Vectors, "network");
    defer parsed.deinit();
    try std.testing.expectEqual(parsed.value.network_bytes_max, network_bytes_max);
    try std.testing.expectEqual(parsed.value.uri_bytes_max, uris.uri_bytes_max);
    for (parsed.value.entries) |vector| {
        errdefer std.debug.print("{s} in \"{s}\"\n", .{ vector.service, vector.variable });
        const found = find(vector.service, vector.variable);
        if (vector.@"error") |fault| {
            try std.testing.expectEqual(Found{ .broken = .{ .fault = fault, .entry = vector.entry } }, found);
        } else if (vector.uri) |uri| {
            try std.testing.expectEqualStrings(uri, found.elsewhere);
        } else {
            try std.testing.expectEqual(.here, found);
        }
    }
}

test "the variable has its limit" {
    const entry = "pong unix://other;";
    const full = entry ++ ";" ** (network_bytes_max - entry.len);
    try std.testing.expectEqualStrings("unix://other", find("pong", full).elsewhere);
    try std.testing.expectEqual(
        Found{ .broken = .{ .fault = .too_long, .entry = 0 } },
        find("pong", full ++ ";"),
    );
}
