//! Memory sockets: connections through shared memory.

pub const ring = @import("ring.zig");
pub const value = @import("value.zig");

test {
    _ = ring;
    _ = value;
}
