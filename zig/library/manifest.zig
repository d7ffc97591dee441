//! The ABI described by itself: JSON made at compile time from the very declarations that are exported. Whoever
//! binds to the library holds its own idea of sizes, offsets, numbers and signatures against it.
//!
//!     { "abi": 2,
//!       "structs": { NAME: { "size": BYTES, "fields": { FIELD: [OFFSET, BYTES] } } },
//!       "enums": { NAME: { MEMBER: NUMBER } },
//!       "constants": { NAME: NUMBER },
//!       "functions": { SYMBOL: { "arguments": [TYPE], "result": TYPE } } }

const std = @import("std");

/// `abi_version` is the number of the ABI; it changes when something that was there means something else.
pub fn Manifest(
    comptime abi_version: u32,
    comptime structs: anytype,
    comptime enums: anytype,
    comptime constants: anytype,
    comptime functions: anytype,
) type {
    return struct {
        pub const json: [:0]const u8 = blk: {
            @setEvalBranchQuota(100_000);
            break :blk std.fmt.comptimePrint(
                \\{{"abi":{d},"structs":{{{s}}},"enums":{{{s}}},"constants":{{{s}}},"functions":{{{s}}}}}
            , .{
                abi_version,
                entries(structs, describeStruct),
                entries(enums, describeEnum),
                entries(constants, describeConstant),
                entries(functions, describeFunction),
            });
        };
    };
}

/// `list` is a tuple of `.{ name, thing }`.
fn entries(comptime list: anytype, comptime describe: fn (comptime anytype) []const u8) []const u8 {
    var text: []const u8 = "";
    for (list, 0..) |entry, index| {
        text = text ++ (if (index == 0) "" else ",") ++ "\"" ++ entry[0] ++ "\":" ++ describe(entry[1]);
    }
    return text;
}

fn describeStruct(comptime Struct: anytype) []const u8 {
    var fields: []const u8 = "";
    for (@typeInfo(Struct).@"struct".fields, 0..) |field, index| {
        fields = fields ++ (if (index == 0) "" else ",") ++ std.fmt.comptimePrint(
            "\"{s}\":[{d},{d}]",
            .{ field.name, @offsetOf(Struct, field.name), @sizeOf(field.type) },
        );
    }
    return std.fmt.comptimePrint("{{\"size\":{d},\"fields\":{{{s}}}}}", .{ @sizeOf(Struct), fields });
}

fn describeEnum(comptime Enum: anytype) []const u8 {
    var members: []const u8 = "";
    for (@typeInfo(Enum).@"enum".fields, 0..) |field, index| {
        members = members ++ (if (index == 0) "" else ",") ++
            std.fmt.comptimePrint("\"{s}\":{d}", .{ field.name, field.value });
    }
    return "{" ++ members ++ "}";
}

fn describeConstant(comptime constant: anytype) []const u8 {
    return std.fmt.comptimePrint("{d}", .{constant});
}

fn describeFunction(comptime function: anytype) []const u8 {
    const info = @typeInfo(@typeInfo(@TypeOf(function)).pointer.child).@"fn";
    var arguments: []const u8 = "";
    for (info.params, 0..) |parameter, index| {
        arguments = arguments ++ (if (index == 0) "" else ",") ++ "\"" ++ typeName(parameter.type.?) ++ "\"";
    }
    return "{\"arguments\":[" ++ arguments ++ "],\"result\":\"" ++ typeName(info.return_type.?) ++ "\"}";
}

fn typeName(comptime Type: type) []const u8 {
    return switch (@typeInfo(Type)) {
        .pointer => |pointer| if (@typeInfo(pointer.child) == .@"fn") "function" else "pointer",
        .optional => |optional| typeName(optional.child),
        .int => @typeName(Type),
        .@"enum" => |info| @typeName(info.tag_type),
        .void => "void",
        else => @compileError("no C type is known for " ++ @typeName(Type)),
    };
}
