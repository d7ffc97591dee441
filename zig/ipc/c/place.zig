//! Where a service is, as a C program says it, and the numbers that explain what is wrong with that.

const ipc = @import("ipc");
const sys = @import("sys");
const argument = @import("library").argument;
const codes = @import("code.zig");

pub const Place = struct {
    /// Of the run directory.
    path: []const u8,
    name: []const u8,

    pub fn of(
        directory_path: ?[*]const u8,
        directory_bytes: u32,
        name: ?[*]const u8,
        name_bytes: u32,
    ) error{InvalidArgument}!Place {
        return .{
            .path = try argument.list(u8, directory_path, directory_bytes),
            .name = try argument.list(u8, name, name_bytes),
        };
    }

    /// The number that explains a run directory's fault: its owner, its mode, the length of the path.
    pub fn directoryDetail(place: *const Place, system: *sys.System, failure: ipc.run_directory.OpenError) i64 {
        switch (failure) {
            error.Owner, error.Writable => {
                const met = system.failure;
                defer system.failure = met;
                const stat = system.statPath(place.path) catch return 0;
                return if (failure == error.Owner) stat.uid else stat.mode;
            },
            error.PathTooLong => return @intCast(place.path.len + "/".len + place.name.len),
            else => return 0,
        }
    }
};

/// The number that explains a name's fault: the rule, or the length of the path.
pub fn nameDetail(failure: codes.Error, directory: *const ipc.RunDirectory, name: []const u8) i64 {
    return switch (failure) {
        error.NameInvalid => @intFromEnum(ipc.name.find(name).?),
        error.PathTooLong => @intCast(directory.socketPathBytes(name)),
        else => 0,
    };
}
