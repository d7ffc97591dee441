//! libearshot-ipc for Zig programs: contexts, and what they speak in.

const sys = @import("sys");

pub const claim = @import("claim.zig");
pub const name = @import("name.zig");
pub const run_directory = @import("run_directory.zig");
pub const waiter = @import("waiter.zig");
pub const batch = @import("batch.zig");
pub const connection = @import("connection.zig");
pub const descriptors = @import("descriptors.zig");
pub const dialer = @import("dialer.zig");
pub const event = @import("event.zig");
pub const frame = @import("frame.zig");
pub const handle = @import("library").handle;
pub const handover = @import("handover.zig");
pub const loan = @import("loan.zig");
pub const lookup = @import("lookup.zig");
pub const network = @import("network.zig");
pub const pipe = @import("pipe.zig");
pub const poller = @import("poller/poller.zig");
pub const service = @import("service.zig");
pub const statistics = @import("statistics.zig");
pub const switches = @import("switch.zig");

pub const ContextType = @import("context.zig").ContextType;
pub const context = @import("context.zig");

/// The world as it is.
pub const World = struct {
    pub const System = sys.System;
    pub const Poller = poller.Poller;
    pub const Claim = claim.Claim;
};

pub const Context = ContextType(World);
pub const Claim = claim.Claim;
pub const RunDirectory = run_directory.RunDirectory;
pub const Waiter = waiter.Waiter;
pub const Guest = @import("guest.zig").Guest;

test {
    _ = @import("batch.zig");
    _ = @import("buffer.zig");
    _ = @import("byte_queue.zig");
    _ = @import("claim.zig");
    _ = @import("connection.zig");
    _ = @import("deadlines.zig");
    _ = @import("descriptors.zig");
    _ = @import("event.zig");
    _ = @import("frame.zig");
    _ = @import("guest.zig");
    _ = @import("inbound.zig");
    _ = @import("latch.zig");
    _ = @import("loan.zig");
    _ = @import("lock.zig");
    _ = @import("lookup.zig");
    _ = @import("name.zig");
    _ = @import("network.zig");
    _ = @import("pipe.zig");
    _ = @import("poller/poller.zig");
    _ = @import("queue.zig");
    _ = @import("run_directory.zig");
    _ = @import("service.zig");
    _ = @import("splicer.zig");
    _ = @import("statistics.zig");
    _ = @import("suite.zig");
    _ = @import("switch.zig");
    _ = @import("uri.zig");
    _ = @import("waiter.zig");
}
