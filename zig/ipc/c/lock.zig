//! The C face of a lock on an open file. What it means is documented in `earshot/ipc.h`.

const sys = @import("sys");
const codes = @import("code.zig");
const options = @import("options.zig");

pub fn take(descriptor: sys.Fd, failure_out: ?*options.Failure) callconv(.c) i32 {
    var system: sys.System = .{};
    if (failure_out) |met| met.* = .{};
    if (descriptor < 0) return codes.of(error.InvalidArgument);
    const taken = system.lockTake(descriptor) catch |failure| {
        if (failure_out) |met| met.* = .of(system.failure, 0);
        return codes.of(failure);
    };
    return @intFromBool(taken);
}
