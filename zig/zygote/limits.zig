//! What a clone gives up before it begins: rights, its network, and room to grow. Nothing of it can be had back.

const std = @import("std");
const sys = @import("sys");
const codes = @import("code.zig");
const process = sys.process;

/// Each is -1 for as before.
pub const Limits = extern struct {
    /// How much memory it may write to besides what it has when this is asked.
    memory_bytes: i64,
    cpu_seconds: i64,
    /// The number that no descriptor reaches.
    files: i64,
    uid: i64,
    gid: i64,
    no_new_privileges: u32,
    /// A network of its own, with nothing in it.
    no_network: u32,
};

/// What a clone says before anything else: that it is what was asked for, or why not.
pub const Certificate = extern struct {
    /// 0 or an error's.
    code: i32,
    errno_value: i32,
    syscall: u32,
    pid: i32,

    pub fn of(system: *const sys.System, failure: codes.Error) Certificate {
        return .{
            .code = codes.of(failure),
            .errno_value = system.failure.errno,
            .syscall = @intFromEnum(system.failure.syscall),
            .pid = process.ownId(),
        };
    }
};

/// After so many seconds more than it was given a process that has not obeyed the signal of its limit is killed.
const cpu_seconds_over = 1;

pub fn apply(system: *sys.System, limits: Limits) process.Error!void {
    if (limits.no_network != 0) try leaveNetwork(system);
    // The user last: it may be all that allows the rest.
    const death_signal = process.parentDeathSignal();
    const parent = process.parent();
    if (limits.gid >= 0) try process.setGroup(system, @intCast(limits.gid));
    if (limits.uid >= 0) try process.setUser(system, @intCast(limits.uid));
    if (death_signal != 0) {
        process.setParentDeathSignal(death_signal);
        if (process.parent() != parent) process.leave(1);
    }
    if (limits.no_new_privileges != 0) try process.forbidNewPrivileges(system);
    if (limits.files >= 0) try process.limit(system, .files, @intCast(limits.files), @intCast(limits.files));
    if (limits.cpu_seconds >= 0) {
        const seconds: u64 = @intCast(limits.cpu_seconds);
        try process.limit(system, .cpu, seconds, seconds + cpu_seconds_over);
    }
    if (limits.memory_bytes >= 0) {
        const bytes = try process.dataBytes(system) + @as(u64, @intCast(limits.memory_bytes));
        try process.limit(system, .memory, bytes, bytes);
    }
}

/// Who may not leave the network may be allowed to where he leaves the users as well; he stays who he is.
fn leaveNetwork(system: *sys.System) process.Error!void {
    const uid = process.user();
    const gid = process.group();
    process.leaveNetwork(system, false) catch |failure| {
        if (failure != error.Permission) return failure;
        try process.leaveNetwork(system, true);
        try process.writeFile(system, "/proc/self/setgroups", "deny");
        try mapOne(system, "/proc/self/uid_map", uid);
        try mapOne(system, "/proc/self/gid_map", gid);
    };
}

fn mapOne(system: *sys.System, path: [*:0]const u8, id: u32) process.Error!void {
    var line: [32]u8 = undefined;
    try process.writeFile(system, path, std.fmt.bufPrint(&line, "{d} {d} 1", .{ id, id }) catch unreachable);
}
