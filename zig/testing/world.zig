//! The world a context stands on in the fuzz: like `ipc.World`, but all of it is fake.

const ipc = @import("ipc");

pub const World = struct {
    pub const System = @import("fake_system.zig").FakeSystem;
    pub const Poller = @import("fake_poller.zig").FakePoller;
    pub const Claim = @import("fake_claim.zig").FakeClaim;
};

pub const Context = ipc.ContextType(World);
