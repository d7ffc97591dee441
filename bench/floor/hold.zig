//! Holds idle connections: makes as many as asked for, says so, and keeps them until its standard
//! input ends.
//!
//!     hold PATH COUNT

const std = @import("std");
const control = @import("common/control.zig");
const socket = @import("common/socket.zig");

pub fn main(init: std.process.Init.Minimal) void {
    var arguments = init.args.iterate();
    _ = arguments.next();
    const path = arguments.next() orelse usage();
    const count = std.fmt.parseInt(usize, arguments.next() orelse usage(), 10) catch usage();
    socket.raiseDescriptorLimit();
    for (0..count) |_| _ = socket.connect(path);
    control.ready();
    while (control.next()) |_| {}
}

fn usage() noreturn {
    socket.die("usage: hold PATH COUNT", .{});
}
