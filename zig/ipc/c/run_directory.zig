//! Where the run directory is and what is served in it: calls that need no context.

const std = @import("std");
const ipc = @import("ipc");
const sys = @import("sys");
const argument = @import("library").argument;
const codes = @import("code.zig");
const options = @import("options.zig");
const places = @import("place.zig");
const Place = places.Place;

/// The caller may hand over the variables, since its runtime may keep an environment of its own: an
/// empty one counts as unset. For one that it leaves out, the process's own is taken. Returns the
/// length of the path.
pub fn resolve(
    option: ?[*]const u8,
    option_bytes: u32,
    earshot_rundir: ?[*]const u8,
    earshot_rundir_bytes: u32,
    rundir: ?[*]const u8,
    rundir_bytes: u32,
    xdg_runtime_dir: ?[*]const u8,
    xdg_runtime_dir_bytes: u32,
    out: ?[*]u8,
    out_bytes: u32,
) callconv(.c) i32 {
    const into = out orelse return codes.of(error.InvalidArgument);
    var system: sys.System = .{};
    var environment: ipc.run_directory.Environment = .of(&system);
    const given = .{
        .{ &environment.EARSHOT_RUNDIR, earshot_rundir, earshot_rundir_bytes },
        .{ &environment.RUNDIR, rundir, rundir_bytes },
        .{ &environment.XDG_RUNTIME_DIR, xdg_runtime_dir, xdg_runtime_dir_bytes },
    };
    inline for (given) |variable| {
        const value = argument.list(u8, variable[1], variable[2]) catch |failure|
            return codes.of(failure);
        if (variable[1] != null) variable[0].* = value;
    }
    const own = argument.list(u8, option, option_bytes) catch |failure| return codes.of(failure);
    var buffer: [ipc.run_directory.path_bytes_max]u8 = undefined;
    const path = ipc.run_directory.resolve(
        &buffer,
        if (own.len == 0) null else own,
        environment,
        system.userId(),
    ) catch |failure| return codes.of(failure);
    if (path.len > out_bytes) return codes.of(error.PathTooLong);
    @memcpy(into[0..path.len], path);
    return @intCast(path.len);
}

/// How it stands with a service; one that is live notices nothing.
pub fn inspect(
    directory_path: ?[*]const u8,
    directory_bytes: u32,
    shared: u32,
    name: ?[*]const u8,
    name_bytes: u32,
    out: ?*options.Inspection,
    failure_out: ?*options.Failure,
) callconv(.c) i32 {
    var system: sys.System = .{};
    var unwanted: options.Failure = undefined;
    const met = failure_out orelse &unwanted;
    met.* = .{};
    const inspection = out orelse return codes.of(error.InvalidArgument);
    const place = Place.of(directory_path, directory_bytes, name, name_bytes) catch |failure|
        return codes.of(failure);
    var directory = ipc.RunDirectory.open(&system, place.path, .{
        .shared = shared != 0,
    }) catch |failure| {
        const detail = place.directoryDetail(&system, failure);
        met.* = .of(system.failure, detail);
        return codes.of(failure);
    };
    defer directory.close(&system);
    const found = ipc.claim.inspect(&system, &directory, place.name) catch |failure| {
        met.* = .of(system.failure, places.nameDetail(failure, &directory, place.name));
        return codes.of(failure);
    };
    inspection.* = .{
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
