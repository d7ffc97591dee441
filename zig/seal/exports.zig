//! What libearshot-seal exports: the table of contents of its C face, and the ABI manifest made from
//! it. `zig/testing/c` holds the C header against it.

const std = @import("std");
const library = @import("library");
const seal = @import("seal");
const code = @import("c/code.zig");
const session = @import("c/session.zig");

/// What its functions and its header are called after.
pub const name = "seal";

/// The number of the ABI; it changes when something that was there means something else.
pub const abi_version = 1;

/// No handler of ours ever runs on the stack that the standard library would give each thread.
pub const std_options: std.Options = .{ .signal_stack_size = null };

pub const panic = library.panic.PanicType("libearshot-seal");

const face = library.face.FaceType(@This());

pub const functions = face.functions ++ .{
    .{ "earshot_seal_suites", &session.suites },
    .{ "earshot_seal_choose", &session.choose },
    .{ "earshot_seal_public_key", &session.publicKey },
    .{ "earshot_seal_begin", &session.begin },
    .{ "earshot_seal_from_keys", &session.fromKeys },
    .{ "earshot_seal_write", &session.write },
    .{ "earshot_seal_read", &session.read },
    .{ "earshot_seal_suite", &session.suiteOf },
    .{ "earshot_seal_seal", &session.seal },
    .{ "earshot_seal_open", &session.open },
    .{ "earshot_seal_seal_batch", &session.sealBatch },
    .{ "earshot_seal_open_batch", &session.openBatch },
    .{ "earshot_seal_close", &session.close },
    .{ "earshot_seal_anchor", &session.anchor },
    .{ "earshot_seal_release", &session.release },
};

pub const foreign_functions = .{};

pub const structs = .{
    .{ "Record", session.Record },
};

pub const enums = .{
    .{ "Suite", seal.Suite },
    .{ "Role", seal.handshake.Role },
    .{ "Code", code.Code },
};

pub const constants = .{
    .{ "version", seal.direction.version },
    .{ "key_bytes", seal.handshake.key_bytes },
    .{ "tag_bytes", seal.direction.tag_bytes },
    .{ "message_bytes_max", seal.direction.message_bytes_max },
    .{ "handshake_overhead_bytes", seal.session.overhead_bytes },
    .{ "handshake_payload_bytes_max", seal.session.payload_bytes_max },
    .{ "records_per_key", (seal.direction.Limits{}).records_per_key },
    .{ "bytes_per_key", (seal.direction.Limits{}).bytes_per_key },
};

/// What only the header has.
pub const header_names = .{
    "EARSHOT_SEAL_H",
    "EARSHOT_SEAL_ABI",
    "earshot_seal_handle",
};

comptime {
    face.publish();
}
