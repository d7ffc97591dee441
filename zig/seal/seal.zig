//! libearshot-seal for Zig programs: two ends that know each other's keys make keys of their own for
//! a connection (`handshake.zig`), agree on a cipher (`suite.zig`), and seal what they send
//! (`direction.zig`). `session.zig` is all of it for one connection.

pub const aead = @import("aead.zig");
pub const cipher = @import("cipher.zig");
pub const direction = @import("direction.zig");
pub const handshake = @import("handshake.zig");
pub const registry = @import("registry.zig");
pub const session = @import("session.zig");
pub const suite = @import("suite.zig");

pub const Direction = direction.Direction;
pub const Session = session.Session;
pub const Suite = suite.Suite;

test {
    _ = aead;
    _ = cipher;
    _ = direction;
    _ = handshake;
    _ = registry;
    _ = session;
    _ = suite;
}
