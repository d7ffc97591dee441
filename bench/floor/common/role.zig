//! What a program of a row is asked to be: `PROGRAM serve|drive PATH [OPTION…]`.

const std = @import("std");
const pattern = @import("pattern.zig");
const socket = @import("socket.zig");

pub const Role = struct {
    name: Name,
    /// Where the server listens.
    path: []const u8,
    options: std.process.Args.Iterator,
    usage: []const u8,

    pub const Name = enum { serve, drive };

    /// The next option; what is asked for without it is not understood.
    pub fn option(role: *Role) []const u8 {
        return role.options.next() orelse role.refuse();
    }

    pub fn refuse(role: *const Role) noreturn {
        socket.die("usage: {s}", .{role.usage});
    }
};

/// Has the pattern ready as well, which every role needs. `usage` is told where it is not understood.
pub fn read(init: std.process.Init.Minimal, usage: []const u8) Role {
    var arguments = init.args.iterate();
    _ = arguments.next();
    var role: Role = .{ .name = .serve, .path = "", .options = arguments, .usage = usage };
    role.name = std.meta.stringToEnum(Role.Name, role.option()) orelse role.refuse();
    role.path = role.option();
    pattern.init();
    return role;
}
