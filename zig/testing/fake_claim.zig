//! A name that is served on the fake kernel, in the shape of `ipc.Claim`: a listener, and a lock that is held with it.

const sys = @import("sys");
const kernels = @import("kernel.zig");
const FakeSystem = @import("fake_system.zig").FakeSystem;

pub const FakeClaim = struct {
    socket: sys.Fd,
    lock: sys.Fd,

    pub const descriptors = 2;

    pub fn make(system: *FakeSystem, service: *kernels.Listener) error{DescriptorLimit}!FakeClaim {
        const lock = system.kernel.open(system.number, .plain) orelse return error.DescriptorLimit;
        errdefer system.kernel.close(system.number, lock);
        const socket = system.kernel.open(system.number, .{ .listener = service }) orelse return error.DescriptorLimit;
        return .{ .socket = socket, .lock = lock };
    }

    pub fn release(claim: *FakeClaim, system: *FakeSystem) void {
        system.close(claim.socket);
        system.close(claim.lock);
        claim.* = undefined;
    }

    pub fn leave(claim: *FakeClaim, system: *FakeSystem) void {
        claim.release(system);
    }

    pub fn lockDescriptor(claim: *const FakeClaim) ?sys.Fd {
        return claim.lock;
    }

    pub fn listener(claim: *const FakeClaim) sys.Fd {
        return claim.socket;
    }
};
