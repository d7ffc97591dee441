//! What libearshot-zygote exports: the table of contents of its C face, and the ABI manifest made from it.
//! `zig/testing/c` holds the C header against it.

const std = @import("std");
const library = @import("library");
const zygote = @import("zygote");
const clone = @import("c/clone.zig");
const serving = @import("c/serving.zig");

/// What its functions and its header are called after.
pub const name = "zygote";

/// The number of the ABI; it changes when something that was there means something else.
pub const abi_version = 1;

/// No handler of ours ever runs on the stack that the standard library would give each thread.
pub const std_options: std.Options = .{ .signal_stack_size = null };

pub const panic = library.panic.PanicType("libearshot-zygote");

const face = library.face.FaceType(@This());

pub const functions = face.functions ++ .{
    .{ "earshot_zygote_threads", &serving.listThreads },
    .{ "earshot_zygote_lifeline", &serving.lifeline },
    .{ "earshot_zygote_serve", &serving.serve },
    .{ "earshot_zygote_follow", &clone.follow },
    .{ "earshot_zygote_attach", &clone.attach },
    .{ "earshot_zygote_read", &clone.read },
    .{ "earshot_zygote_write", &clone.write },
    .{ "earshot_zygote_limit", &clone.limit },
    .{ "earshot_zygote_harden", &clone.harden },
    .{ "earshot_zygote_process", &clone.process },
    .{ "earshot_zygote_signal", &clone.signal },
};

pub const foreign_functions = .{};

pub const structs = .{
    .{ "Settings", zygote.Settings },
    .{ "Clone", zygote.Clone },
    .{ "Limits", zygote.limits.Limits },
    .{ "Certificate", zygote.limits.Certificate },
    .{ "Request", zygote.wire.Request },
    .{ "Report", zygote.wire.Report },
};

pub const enums = .{
    .{ "Orphans", zygote.Orphans },
    .{ "ReportKind", zygote.wire.ReportKind },
    .{ "Code", zygote.code.Code },
};

pub const constants = .{
    .{ "unsettled_exit", zygote.unsettled_exit },
};

/// What only the header has.
pub const header_names = .{
    "EARSHOT_ZYGOTE_H",
    "EARSHOT_ZYGOTE_ABI",
};

comptime {
    face.publish();
}
