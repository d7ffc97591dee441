//! Holds the header of a library against the library. Nothing ties the two together but this: what
//! `exports.zig` lists must be in the header, with the same layout, number or signature, and the
//! header may hold nothing else.
//!
//! The names follow from each other, so that a new line in `exports.zig` needs none here:
//!
//!     earshot_ipc_wait              earshot_ipc_wait
//!     ContextOptions.spin_ns        struct earshot_ipc_context_options, spin_ns
//!     EventType.message_rx          EARSHOT_IPC_EVENT_TYPE_MESSAGE_RX
//!     name_bytes_max                EARSHOT_IPC_NAME_BYTES_MAX
//!     the defaults of Limits        EARSHOT_IPC_LIMITS_DEFAULT

const std = @import("std");
const exports = @import("exports");
/// The C file of the library, as Zig's translation of C sees it.
const header = @import("header");

const prefix = "earshot_" ++ exports.name ++ "_";

test "every structure has the size and the fields of its Zig declaration" {
    @setEvalBranchQuota(1_000_000);
    inline for (exports.structs) |entry| {
        const name = comptime nameOf(.type, entry[0]);
        const Zig = entry[1];
        const C = comptime Find(name) orelse return missing(name);
        try expect(@sizeOf(C) == @sizeOf(Zig), name, "is of another size");
        try expect(@alignOf(C) == @alignOf(Zig), name, "is aligned otherwise");
        const fields = @typeInfo(Zig).@"struct".fields;
        try expect(@typeInfo(C).@"struct".fields.len == fields.len, name, "has other fields");
        inline for (fields) |field| {
            const c_name = comptime fieldName(field.name);
            const path = name ++ "." ++ c_name;
            if (!@hasField(C, c_name)) return missing(path);
            const agree = comptime same(field.type, @FieldType(C, c_name));
            try expect(agree, path, "is of another type");
            try expect(@offsetOf(C, c_name) == @offsetOf(Zig, field.name), path, "lies elsewhere");
        }
    }
}

test "every number is the library's" {
    @setEvalBranchQuota(1_000_000);
    try expectNumber(comptime nameOf(.number, "abi"), exports.abi_version);
    inline for (exports.constants) |entry| {
        try expectNumber(comptime nameOf(.number, entry[0]), entry[1]);
    }
    inline for (exports.enums) |entry| {
        inline for (@typeInfo(entry[1]).@"enum".fields) |field| {
            const name = comptime nameOf(.number, entry[0] ++ "_" ++ field.name);
            try expectNumber(name, field.value);
        }
    }
}

test "every function has the signature of what is exported" {
    @setEvalBranchQuota(1_000_000);
    inline for (exports.functions ++ exports.foreign_functions) |entry| {
        const name = entry[0];
        if (!@hasDecl(header, name)) return missing(name);
        const Zig = @typeInfo(@TypeOf(entry[1])).pointer.child;
        const C = @TypeOf(@field(header, name));
        try expect(comptime same(Zig, C), name, "has another signature");
    }
}

test "options begin with the library's own defaults" {
    @setEvalBranchQuota(1_000_000);
    inline for (exports.structs) |entry| {
        const name = "default_" ++ comptime nameOf(.type, entry[0])[prefix.len..];
        if (!@hasDecl(header, name)) continue;
        const own: entry[1] = .{};
        try std.testing.expectEqualSlices(
            u8,
            std.mem.asBytes(&own),
            std.mem.asBytes(&@field(header, name)),
        );
    }
}

test "the header holds nothing that the library does not have" {
    @setEvalBranchQuota(10_000_000);
    var known: std.StringHashMapUnmanaged(void) = .empty;
    defer known.deinit(std.testing.allocator);
    inline for (exports.header_names) |name| try known.put(std.testing.allocator, name, {});
    inline for (exports.functions) |entry| try known.put(std.testing.allocator, entry[0], {});
    inline for (exports.structs) |entry| {
        try known.put(std.testing.allocator, comptime nameOf(.type, entry[0]), {});
    }
    inline for (exports.constants) |entry| {
        try known.put(std.testing.allocator, comptime nameOf(.number, entry[0]), {});
    }
    inline for (exports.enums) |entry| {
        try known.put(std.testing.allocator, comptime nameOf(.type, entry[0]), {});
        inline for (@typeInfo(entry[1]).@"enum".fields) |field| {
            const name = comptime nameOf(.number, entry[0] ++ "_" ++ field.name);
            try known.put(std.testing.allocator, name, {});
        }
    }
    for (std.meta.declarations(header)) |declaration| {
        // The translation gives a structure and an enum a second name, for C's `struct NAME`.
        const name = for ([_][]const u8{ "struct_", "enum_" }) |tag| {
            if (std.mem.startsWith(u8, declaration.name, tag)) break declaration.name[tag.len..];
        } else declaration.name;
        if (!std.ascii.startsWithIgnoreCase(name, "earshot_" ++ exports.name)) continue;
        try expect(known.contains(name), name, "is not exported");
    }
}

/// Whether what C declares as the one is what Zig exports as the other.
fn same(comptime Zig: type, comptime C: type) bool {
    return switch (@typeInfo(Zig)) {
        .void => C == void,
        .int => |int| switch (@typeInfo(C)) {
            .int => |other| int.bits == other.bits and int.signedness == other.signedness,
            else => false,
        },
        .@"enum" => |info| same(info.tag_type, C),
        .array => |array| switch (@typeInfo(C)) {
            .array => |other| array.len == other.len and same(array.child, other.child),
            else => false,
        },
        // An atomic number is a number to who may not touch it.
        .@"struct" => if (structName(Zig)) |name| Find(name) == C else @sizeOf(Zig) == @sizeOf(C),
        .@"opaque" => @typeInfo(C) == .@"opaque",
        .optional => |optional| same(optional.child, C),
        .pointer => |pointer| samePointer(pointer, switch (@typeInfo(C)) {
            .optional => |optional| optional.child,
            else => C,
        }),
        .@"fn" => |function| sameFunction(function, @typeInfo(C)),
        else => false,
    };
}

fn samePointer(comptime pointer: std.builtin.Type.Pointer, comptime C: type) bool {
    const other = switch (@typeInfo(C)) {
        .pointer => |other| other,
        else => return false,
    };
    if (pointer.is_const != other.is_const) return false;
    // Bytes are characters in a name, and of no type in a message.
    if (pointer.child == u8 and other.child == anyopaque) return true;
    // An array of so many items is handed over as a pointer to the first.
    switch (@typeInfo(pointer.child)) {
        .array => |array| if (@typeInfo(other.child) != .array) return same(array.child, other.child),
        else => {},
    }
    // Without a layout that C could rely on, it is nobody's business but the library's.
    switch (@typeInfo(pointer.child)) {
        .@"struct" => |info| if (info.layout == .auto) return @typeInfo(other.child) == .@"opaque",
        else => {},
    }
    return same(pointer.child, other.child);
}

fn sameFunction(comptime function: std.builtin.Type.Fn, comptime info: std.builtin.Type) bool {
    if (info != .@"fn" or function.params.len != info.@"fn".params.len) return false;
    for (function.params, info.@"fn".params) |parameter, other| {
        if (!same(parameter.type.?, other.type.?)) return false;
    }
    return same(function.return_type.?, info.@"fn".return_type.?);
}

fn structName(comptime Zig: type) ?[]const u8 {
    for (exports.structs) |entry| {
        if (entry[1] == Zig) return nameOf(.type, entry[0]);
    }
    return null;
}

/// The structure of that name, whether or not C may leave out the word `struct`.
fn Find(comptime name: []const u8) ?type {
    return if (@hasDecl(header, "struct_" ++ name)) @field(header, "struct_" ++ name) else null;
}

/// `errno` is a macro in C, and cannot name a field.
fn fieldName(comptime zig_name: []const u8) []const u8 {
    return if (std.mem.eql(u8, zig_name, "errno")) "error_number" else zig_name;
}

/// `EventType` as `earshot_ipc_event_type` or `EARSHOT_IPC_EVENT_TYPE`.
fn nameOf(comptime kind: enum { type, number }, comptime zig_name: []const u8) []const u8 {
    var name: []const u8 = prefix;
    for (zig_name, 0..) |letter, index| {
        const begins = std.ascii.isUpper(letter) and index > 0;
        name = name ++ (if (begins) "_" else "") ++ .{std.ascii.toLower(letter)};
    }
    if (kind == .type) return name;
    var upper: [name.len]u8 = undefined;
    const number_name = std.ascii.upperString(&upper, name)[0..name.len].*;
    return &number_name;
}

fn expectNumber(comptime name: []const u8, expected: i128) !void {
    if (!@hasDecl(header, name)) return missing(name);
    const found: i128 = @field(header, name);
    if (found == expected) return;
    std.debug.print("{s} is {d} in the header, not {d}\n", .{ name, found, expected });
    return error.HeaderDiffers;
}

fn missing(name: []const u8) error{HeaderDiffers} {
    std.debug.print("{s} is not in the header\n", .{name});
    return error.HeaderDiffers;
}

fn expect(agrees: bool, name: []const u8, fault: []const u8) error{HeaderDiffers}!void {
    if (agrees) return;
    std.debug.print("{s} of the header {s}\n", .{ name, fault });
    return error.HeaderDiffers;
}
