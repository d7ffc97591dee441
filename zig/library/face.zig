//! What every library's C face has: the number of its ABI, and its manifest.

const manifests = @import("manifest.zig");

/// `Exports` is a library's `exports.zig`, whose `functions` begin with these.
pub fn FaceType(comptime Exports: type) type {
    return struct {
        pub const functions = .{
            .{ "earshot_" ++ Exports.name ++ "_abi", &abi },
            .{ "earshot_" ++ Exports.name ++ "_manifest", &manifest },
        };

        /// Gives all functions the names that they have outside.
        pub fn publish() void {
            for (Exports.functions ++ Exports.foreign_functions) |function|
                @export(function[1], .{ .name = function[0] });
        }

        fn abi() callconv(.c) i32 {
            return Exports.abi_version;
        }

        fn manifest() callconv(.c) [*:0]const u8 {
            return manifests.Manifest(
                Exports.abi_version,
                Exports.structs,
                Exports.enums,
                Exports.constants,
                Exports.functions,
            ).json;
        }
    };
}
