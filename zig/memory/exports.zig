//! What libearshot-memory exports: the table of contents of its C face, and the ABI manifest made from
//! it. `zig/testing/c` holds the C header against it.

const std = @import("std");
const library = @import("library");
const memory = @import("memory");
const code = @import("c/code.zig");
const ring = @import("c/ring.zig");
const value = @import("c/value.zig");

/// What its functions and its header are called after.
pub const name = "memory";

/// The number of the ABI; it changes when something that was there means something else.
pub const abi_version = 1;

/// No handler of ours ever runs on the stack that the standard library would give each thread.
pub const std_options: std.Options = .{ .signal_stack_size = null };

pub const panic = library.panic.PanicType("libearshot-memory");

const face = library.face.FaceType(@This());

pub const functions = face.functions ++ .{
    .{ "earshot_memory_ring_create", &ring.create },
    .{ "earshot_memory_ring_map", &ring.map },
    .{ "earshot_memory_ring_unmap", &ring.unmap },
    .{ "earshot_memory_writer_begin", &ring.writerBegin },
    .{ "earshot_memory_reserve", &ring.reserve },
    .{ "earshot_memory_commit", &ring.commit },
    .{ "earshot_memory_publish", &ring.publish },
    .{ "earshot_memory_await_room", &ring.awaitRoom },
    .{ "earshot_memory_reader_begin", &ring.readerBegin },
    .{ "earshot_memory_next", &ring.next },
    .{ "earshot_memory_release", &ring.release },
    .{ "earshot_memory_await_message", &ring.awaitMessage },
    .{ "earshot_memory_sleep", &ring.sleep },
    .{ "earshot_memory_wake", &ring.wake },
    .{ "earshot_memory_yield", &ring.yield },
    .{ "earshot_memory_value_create", &value.create },
    .{ "earshot_memory_value_map", &value.map },
    .{ "earshot_memory_value_unmap", &value.unmap },
};

pub const foreign_functions = .{};

pub const structs = .{
    .{ "Writer", memory.ring.Writer },
    .{ "Reader", memory.ring.Reader },
    .{ "Message", ring.Message },
};

pub const enums = .{
    .{ "Kind", memory.ring.Kind },
    .{ "Rest", memory.ring.Rest },
    .{ "Code", code.Code },
};

pub const constants = .{
    .{ "version", memory.ring.version },
    .{ "head_bytes", memory.ring.head_bytes },
    .{ "record_bytes", memory.ring.record_bytes },
    .{ "ring_bytes_min", memory.ring.ring_bytes_min },
    .{ "ring_bytes_max", memory.ring.ring_bytes_max },
    .{ "tail_at", memory.ring.tail_at },
    .{ "head_at", memory.ring.head_at },
    .{ "reader_rests_at", memory.ring.reader_rests_at },
    .{ "writer_rests_at", memory.ring.writer_rests_at },
};

/// What only the header has.
pub const header_names = .{
    "EARSHOT_MEMORY_H",
    "EARSHOT_MEMORY_ABI",
};

comptime {
    face.publish();
}
