//! What all native libraries here have in common: how they name their objects, describe themselves, read what a C
//! program hands them, and end when an invariant of their own is broken.

pub const argument = @import("argument.zig");
pub const code = @import("code.zig");
pub const face = @import("face.zig");
pub const handle = @import("handle.zig");
pub const manifest = @import("manifest.zig");
pub const panic = @import("panic.zig");
pub const vectors = @import("vectors.zig");

test {
    _ = code;
    _ = handle;
}
