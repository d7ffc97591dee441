//! Where a service is that is not served here, checked and not taken apart: daemons do that.
//!
//!     SCHEME://HOST[:PORT][/NAME…]     tcp://example.org:9000/pong    ws://[::1]:8080/chat/pong
//!     unix://NAME                      unix://other
//!
//! The rules, and their order, are those of `src/ipc/uri.ts`, which says why; `tests/vectors/network.json` holds both to
//! them.

const std = @import("std");
const name_rules = @import("name.zig");

pub const uri_bytes_max = 1024;
const scheme_bytes_max = 32;
const host_bytes_max = 253;
const label_bytes_max = 63;

/// What is wrong with one, in the words of the vectors.
pub const Fault = enum { uri_too_long, uri_character, scheme, user, query, host, port, path };

/// The first rule that `text` breaks, or null if it is a good one.
pub fn find(text: []const u8) ?Fault {
    if (text.len > uri_bytes_max) return .uri_too_long;
    if (std.mem.findAny(u8, text, "?#") != null) return .query;
    for (text) |byte| if (!std.ascii.isAlphanumeric(byte) and std.mem.findScalar(u8, "._~:/@[]+-", byte) == null)
        return .uri_character;
    const end = std.mem.findAny(u8, text, ":/") orelse return .scheme;
    if (!std.mem.startsWith(u8, text[end..], "://")) return .scheme;
    const scheme = text[0..end];
    if (!isScheme(scheme)) return .scheme;
    const rest = text[end + "://".len ..];
    const slash = std.mem.findScalar(u8, rest, '/');
    const authority = rest[0 .. slash orelse rest.len];
    if (std.mem.findScalar(u8, authority, '@') != null) return .user;
    if (std.mem.eql(u8, scheme, "unix")) return if (name_rules.find(rest) == null) null else .host;
    const needs_port = isOneOf(scheme, &.{ "tcp", "tls", "udp" });
    if (placeFault(authority, needs_port)) |fault| return fault;
    return pathFault(if (slash) |at| rest[at + 1 ..] else "", needs_port);
}

fn isScheme(scheme: []const u8) bool {
    if (scheme.len == 0 or scheme.len > scheme_bytes_max or !std.ascii.isLower(scheme[0])) return false;
    for (scheme) |byte| if (!std.ascii.isLower(byte) and !std.ascii.isDigit(byte) and byte != '-') return false;
    // Who asks the lookup itself to lead would wait for its own answer.
    return !std.mem.eql(u8, scheme, "ipc");
}

fn isOneOf(text: []const u8, list: []const []const u8) bool {
    for (list) |each| if (std.mem.eql(u8, each, text)) return true;
    return false;
}

/// HOST, HOST:PORT or [IPv6]:PORT.
fn placeFault(authority: []const u8, needs_port: bool) ?Fault {
    const in_brackets = std.mem.startsWith(u8, authority, "[");
    const host_end = if (in_brackets)
        (std.mem.findScalar(u8, authority, ']') orelse return .host) + 1
    else
        std.mem.findAny(u8, authority, ":[]") orelse authority.len;
    const behind = authority[host_end..];
    if (behind.len > 0 and behind[0] != ':') return .host;
    const good = if (in_brackets) isIPv6(authority[1 .. host_end - 1]) else isHost(authority[0..host_end]);
    if (!good) return .host;
    if (behind.len == 0) return if (needs_port) .port else null;
    const digits = behind[1..];
    if (digits.len == 0 or digits.len > 5) return .port;
    for (digits) |digit| if (!std.ascii.isDigit(digit)) return .port;
    const port = std.fmt.parseInt(u32, digits, 10) catch return .port;
    return if (port >= 1 and port <= std.math.maxInt(u16)) null else .port;
}

fn isHost(host: []const u8) bool {
    if (host.len == 0 or host.len > host_bytes_max) return false;
    const rootless = if (std.mem.endsWith(u8, host, ".")) host[0 .. host.len - 1] else host;
    var last: []const u8 = "";
    var labels = std.mem.splitScalar(u8, rootless, '.');
    var are_labels = true;
    while (labels.next()) |label| {
        are_labels = are_labels and isLabel(label);
        last = label;
    }
    // What ends in a number is meant as one, and none is guessed at.
    return if (isDigits(last)) isIPv4(host) else are_labels;
}

fn isLabel(label: []const u8) bool {
    if (label.len == 0 or label.len > label_bytes_max) return false;
    for (label, 0..) |byte, at| {
        const is_inside = at > 0 and at < label.len - 1;
        if (!std.ascii.isAlphanumeric(byte) and byte != '_' and !(byte == '-' and is_inside)) return false;
    }
    return true;
}

fn isDigits(text: []const u8) bool {
    for (text) |byte| if (!std.ascii.isDigit(byte)) return false;
    return text.len > 0;
}

fn isIPv4(text: []const u8) bool {
    var count: usize = 0;
    var parts = std.mem.splitScalar(u8, text, '.');
    while (parts.next()) |part| : (count += 1) {
        if (!isDigits(part) or part.len > 3 or (part.len > 1 and part[0] == '0')) return false;
        const number = std.fmt.parseInt(u16, part, 10) catch return false;
        if (number > std.math.maxInt(u8)) return false;
    }
    return count == 4;
}

fn isIPv6(text: []const u8) bool {
    const groups_max = 8;
    const gap = std.mem.find(u8, text, "::") orelse return groupsOf(text, true) == groups_max;
    const before = groupsOf(text[0..gap], false) orelse return false;
    const behind = groupsOf(text[gap + 2 ..], true) orelse return false;
    return before + behind < groups_max;
}

/// How many there are; the last may be an IPv4 number, which stands for two. Null if one is none.
fn groupsOf(text: []const u8, may_end_in_4: bool) ?usize {
    if (text.len == 0) return 0;
    var count: usize = 0;
    var groups = std.mem.splitScalar(u8, text, ':');
    while (groups.next()) |group| {
        if (may_end_in_4 and groups.peek() == null and isIPv4(group)) {
            count += 2;
            continue;
        }
        if (group.len == 0 or group.len > 4) return null;
        for (group) |byte| if (!std.ascii.isHex(byte)) return null;
        count += 1;
    }
    return count;
}

fn pathFault(path: []const u8, has_one: bool) ?Fault {
    if (path.len == 0) return null;
    if (has_one and std.mem.findScalar(u8, path, '/') != null) return .path;
    var names = std.mem.splitScalar(u8, path, '/');
    while (names.next()) |name| if (name_rules.find(name) != null) return .path;
    return null;
}

test "numbers of IPv6" {
    const good = [_][]const u8{
        "::",               "::1",          "1::",                 "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7::", "::2:3:4:5:6:7:8",
        "::ffff:127.0.0.1", "1::127.0.0.1", "1:2:3:4:5:6:1.2.3.4", "2001:DB8::7",
    };
    const bad = [_][]const u8{
        "",                 ":",       "1",       "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1::2::3",               ":::",
        "1::2:3:4:5:6:7:8", "12345::", "::1.2.3", "::1.2.3.256",   "1.2.3.4::",         "1:2:3:4:5:6:7:1.2.3.4", "::01.2.3.4",
        "g::",              "1:",
    };
    for (good) |text| try std.testing.expect(isIPv6(text));
    for (bad) |text| try std.testing.expect(!isIPv6(text));
}

test "the longest that may be" {
    const start = "ws://host/";
    const names = ("n" ** 50 ++ "/") ** 19 ++ "n" ** 45;
    try std.testing.expectEqual(uri_bytes_max, (start ++ names).len);
    try std.testing.expectEqual(null, find(start ++ names));
    try std.testing.expectEqual(.uri_too_long, find(start ++ names ++ "n"));
}
