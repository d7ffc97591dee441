//! Where the run directory is and what is served in it: calls that need no context.

const std = @import("std");
const ipc = @import("ipc");
const sys = @import("sys");
const codes = @import("code.zig");
const options = @import("options.zig");

/// The variables are handed over by the caller, whose runtime may keep an environment of its own. An empty one counts
/// as unset. Returns the length of the path.
pub fn resolve(
    option: [*]const u8,
    option_bytes: u32,
    earshot_rundir: [*]const u8,
    earshot_rundir_bytes: u32,
    rundir: [*]const u8,
    rundir_bytes: u32,
    xdg_runtime_dir: [*]const u8,
    xdg_runtime_dir_bytes: u32,
    out: [*]u8,
    out_bytes: u32,
) callconv(.c) i32 {
    var system: sys.System = .{};
    var buffer: [ipc.run_directory.path_bytes_max]u8 = undefined;
    const path = ipc.run_directory.resolve(
        &buffer,
        if (option_bytes == 0) null else option[0..option_bytes],
        .{
            .EARSHOT_RUNDIR = earshot_rundir[0..earshot_rundir_bytes],
            .RUNDIR = rundir[0..rundir_bytes],
            .XDG_RUNTIME_DIR = xdg_runtime_dir[0..xdg_runtime_dir_bytes],
        },
        system.userId(),
    ) catch |failure| return codes.of(failure);
    if (path.len > out_bytes) return codes.of(error.PathTooLong);
    @memcpy(out[0..path.len], path);
    return @intCast(path.len);
}

/// How it stands with a service; one that is live notices nothing.
pub fn inspect(
    directory_path: [*]const u8,
    directory_bytes: u32,
    shared: u32,
    name: [*]const u8,
    name_bytes: u32,
    out: *options.Inspection,
    failure_out: *options.Failure,
) callconv(.c) i32 {
    var system: sys.System = .{};
    failure_out.* = .{};
    const path = directory_path[0..directory_bytes];
    const name_given = name[0..name_bytes];
    var directory = ipc.RunDirectory.open(&system, path, .{ .shared = shared != 0 }) catch |failure| {
        failure_out.* = .of(system.failure, options.directoryDetail(&system, failure, path, name_given));
        return codes.of(failure);
    };
    defer directory.close(&system);
    const found = ipc.claim.inspect(&system, &directory, name_given) catch |failure| {
        failure_out.* = .of(system.failure, options.nameDetail(failure, &directory, name_given));
        return codes.of(failure);
    };
    out.* = .{
        .state = switch (found.state) {
            .live => .live,
            .stale => .stale,
            .foreign => .foreign,
            .unknown => .unknown,
        },
        .pid = found.pid,
        .uid = found.uid,
    };
    return 0;
}
