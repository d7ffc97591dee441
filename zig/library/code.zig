//! Codes, by which errors go through a C face.

const std = @import("std");

/// The code that is called like the error: `message_too_long` of `MessageTooLong`. Where there is none this does not
/// compile.
pub fn named(comptime Code: type, comptime failure: anyerror) Code {
    return @field(Code, snakeCase(@errorName(failure)));
}

fn snakeCase(comptime name: []const u8) []const u8 {
    comptime {
        var text: []const u8 = "";
        for (name, 0..) |letter, at| {
            if (std.ascii.isUpper(letter) and at > 0) text = text ++ "_";
            text = text ++ [_]u8{std.ascii.toLower(letter)};
        }
        return text;
    }
}

test "an error has the code of its name" {
    const Code = enum(i32) { closed = -2, message_too_long = -10 };
    try std.testing.expectEqual(Code.closed, named(Code, error.Closed));
    try std.testing.expectEqual(Code.message_too_long, named(Code, error.MessageTooLong));
}
