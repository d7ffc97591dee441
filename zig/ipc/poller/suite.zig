//! The pollers' behaviour: one body of tests for all of them.

const std = @import("std");
const sys = @import("sys");
const Poller = @import("poller.zig").Poller;

test "the default poller opens" {
    var system: sys.System = .{};
    var poller = try Poller.init(.default, &system, std.testing.allocator);
    poller.deinit();
}
