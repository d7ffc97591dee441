//! A name others can connect to, as its context keeps it, and who may.

const std = @import("std");
const sys = @import("sys");
const Deadline = @import("deadlines.zig").Deadline;
const Handle = @import("library").handle.Handle;
const Limits = @import("connection.zig").Limits;
const Statistics = @import("statistics.zig").Statistics;

/// Who may connect, by what the kernel says of the peer. Without lists: the service's own user and root.
pub const Allow = struct {
    everyone: bool = false,
    users: []const u32 = &.{},
    groups: []const u32 = &.{},

    /// More would be a directory service, not a list.
    pub const entries_max = 1024;

    pub fn valid(allow: *const Allow) bool {
        return allow.users.len <= entries_max and allow.groups.len <= entries_max;
    }

    pub fn dupe(allow: Allow, allocator: std.mem.Allocator) error{OutOfMemory}!Allow {
        const users = try allocator.dupe(u32, allow.users);
        errdefer allocator.free(users);
        return .{
            .everyone = allow.everyone,
            .users = users,
            .groups = try allocator.dupe(u32, allow.groups),
        };
    }

    pub fn free(allow: *Allow, allocator: std.mem.Allocator) void {
        allocator.free(allow.users);
        allocator.free(allow.groups);
        allow.* = undefined;
    }

    pub fn permits(allow: *const Allow, peer: sys.Credentials, own_user: u32) bool {
        if (allow.everyone) return true;
        if (allow.users.len == 0 and allow.groups.len == 0) return peer.uid == own_user or peer.uid == 0;
        return std.mem.indexOfScalar(u32, allow.users, peer.uid) != null or
            std.mem.indexOfScalar(u32, allow.groups, peer.gid) != null;
    }
};

/// What a service accepts from. `Claim` is what holds a name: `listener()` is its descriptor, and `release` gives it up.
pub fn ListenerType(comptime Claim: type) type {
    return union(enum) {
        claim: Claim,
        /// Somebody else's, who sees to its name.
        adopted: sys.Fd,

        const Listener = @This();

        pub fn descriptor(listener: *const Listener) sys.Fd {
            return switch (listener.*) {
                .claim => |*claim| claim.listener(),
                .adopted => |fd| fd,
            };
        }

        pub fn lock(listener: *const Listener) ?sys.Fd {
            return switch (listener.*) {
                .claim => |*claim| claim.lockDescriptor(),
                .adopted => null,
            };
        }

        /// How many it holds.
        pub fn descriptors(listener: *const Listener) u32 {
            return switch (listener.*) {
                .claim => Claim.descriptors,
                .adopted => 1,
            };
        }

        /// Closes what it holds; with `keeps_name` the name stays, for whoever goes on with it.
        pub fn release(listener: *Listener, system: anytype, keeps_name: bool) void {
            switch (listener.*) {
                .claim => |*claim| if (keeps_name) claim.leave(system) else claim.release(system),
                .adopted => |fd| system.close(fd),
            }
            listener.* = undefined;
        }
    };
}

pub fn ServiceType(comptime Claim: type) type {
    return struct {
        handle: Handle,
        listener: ListenerType(Claim),
        limits: Limits,
        allow: Allow,
        statistics: Statistics = .{},
        /// While accepting pauses: when it is tried again.
        deadline: Deadline = .{},
        paused: bool = false,
        in_ready: bool = false,
    };
}

test "without lists only the own user and root may connect; lists are exact" {
    const own: Allow = .{};
    try std.testing.expect(own.permits(.{ .uid = 7, .gid = 1, .pid = 1 }, 7));
    try std.testing.expect(own.permits(.{ .uid = 0, .gid = 0, .pid = 1 }, 7));
    try std.testing.expect(!own.permits(.{ .uid = 8, .gid = 7, .pid = 1 }, 7));
    const listed: Allow = .{ .users = &.{9}, .groups = &.{ 3, 4 } };
    try std.testing.expect(!listed.permits(.{ .uid = 7, .gid = 1, .pid = 1 }, 7));
    try std.testing.expect(listed.permits(.{ .uid = 9, .gid = 1, .pid = 1 }, 7));
    try std.testing.expect(listed.permits(.{ .uid = 7, .gid = 4, .pid = 1 }, 7));
    const everyone: Allow = .{ .everyone = true };
    try std.testing.expect(everyone.permits(.{ .uid = 8, .gid = 8, .pid = 1 }, 7));
}
