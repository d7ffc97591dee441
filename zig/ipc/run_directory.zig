//! The run directory: where it is, and whether it can be trusted.
//!
//! Whoever can write to the directory decides which process a name leads to, so it is opened
//! before it is judged: what is judged is then what is used, and nothing can be put in its place
//! between the two. From there on names are looked up below the open descriptor.
//!
//!     private (the default)    ours alone: our user's, and not writable by group or others
//!     shared (asked for)       ours or root's; if others may write, then with the sticky bit,
//!                              so that nobody can take away what somebody else has put there

const std = @import("std");
const sys = @import("sys");
const name_rules = @import("name.zig");

/// The variables that say where the run directory is. One that is empty counts as unset.
pub const Environment = struct {
    EARSHOT_RUNDIR: ?[]const u8 = null,
    RUNDIR: ?[]const u8 = null,
    XDG_RUNTIME_DIR: ?[]const u8 = null,

    /// Those of the process. The bytes stay the environment's.
    pub fn of(system: anytype) Environment {
        return .{
            .EARSHOT_RUNDIR = system.environment("EARSHOT_RUNDIR"),
            .RUNDIR = system.environment("RUNDIR"),
            .XDG_RUNTIME_DIR = system.environment("XDG_RUNTIME_DIR"),
        };
    }
};

/// PATH_MAX of Linux, the largest of our systems. It is far more than a socket's path can have, so
/// that what is too long for a socket is still there to be shown when `open` refuses it.
pub const path_bytes_max = 4096;

/// Where the run directory is, by the first of these that is set: the caller's own option,
/// EARSHOT_RUNDIR, RUNDIR (LibIPC's), `earshot` in XDG_RUNTIME_DIR, and else `/tmp/earshot-UID`.
/// Whether such a path will do is for `RunDirectory.open` to say.
pub fn resolve(
    buffer: *[path_bytes_max]u8,
    option: ?[]const u8,
    environment: Environment,
    uid: u32,
) error{PathTooLong}![]const u8 {
    const print = std.fmt.bufPrint;
    return if (option) |path|
        print(buffer, "{s}", .{try bounded(path)}) catch error.PathTooLong
    else if (set(environment.EARSHOT_RUNDIR) orelse set(environment.RUNDIR)) |path|
        print(buffer, "{s}", .{try bounded(path)}) catch error.PathTooLong
    else if (set(environment.XDG_RUNTIME_DIR)) |path|
        print(buffer, "{s}/earshot", .{withoutEnding(try bounded(path))}) catch error.PathTooLong
    else
        print(buffer, "/tmp/earshot-{d}", .{uid}) catch error.PathTooLong;
}

/// A length that is no path's is none of the bytes behind it either: they are not looked at.
fn bounded(path: []const u8) error{PathTooLong}![]const u8 {
    return if (path.len > path_bytes_max) error.PathTooLong else path;
}

fn set(variable: ?[]const u8) ?[]const u8 {
    const value = variable orelse return null;
    return if (value.len == 0) null else value;
}

pub const Options = struct {
    /// Make the directory, with mode 0700, if it is missing. Its parent must be there.
    make: bool = false,
    /// The user has asked for a directory that others use as well.
    shared: bool = false,
    /// How long the name is of what is to be found there: where that makes the path of its socket too long, nothing is
    /// made.
    name_bytes: usize = 1,
};

pub const OpenError = error{
    /// The path does not start with a slash: what it means would depend on where a process is.
    PathRelative,
    /// The path holds a zero byte, where the system would cut it.
    PathInvalid,
    /// No socket can have a path that long: `Options.name_bytes` is part of it.
    PathTooLong,
    /// There is no such directory, and it was not to be made.
    Missing,
    /// The directory cannot be made, because the one it should lie in is missing.
    ParentMissing,
    Link,
    NotDirectory,
    /// It belongs to somebody else.
    Owner,
    /// Others can write to it.
    Writable,
    Permission,
    NoSpace,
    DescriptorLimit,
    Unexpected,
};

pub const AgainError = error{ DirectoryGone, Permission, DescriptorLimit, Unexpected };

/// An open directory that has been found good. It owns its descriptor.
pub const RunDirectory = struct {
    descriptor: sys.Fd,
    identity: sys.Stat,
    path_buffer: [sys.socket_path_bytes_max]u8,
    path_bytes: usize,

    /// `system` is a `*sys.System`, or stands in for one. After an error of our own rules (a link,
    /// an owner, …) there is no failure of the system's to be read.
    pub fn open(system: anytype, path_given: []const u8, options: Options) OpenError!RunDirectory {
        system.failure = .{};
        const trimmed = withoutEnding(try bounded(path_given));
        if (trimmed.len == 0 or trimmed[0] != '/') return error.PathRelative;
        if (std.mem.findScalar(u8, trimmed, 0) != null) return error.PathInvalid;
        if (trimmed.len + "/".len + options.name_bytes > sys.socket_path_bytes_max) return error.PathTooLong;

        const descriptor = openPath(system, trimmed) catch |failure| made: {
            if (failure != error.Missing or !options.make) return failure;
            try make(system, trimmed);
            break :made try openPath(system, trimmed);
        };
        errdefer system.close(descriptor);

        var directory: RunDirectory = .{
            .descriptor = descriptor,
            .identity = system.statFd(descriptor) catch return error.Unexpected,
            .path_buffer = undefined,
            .path_bytes = trimmed.len,
        };
        @memcpy(directory.path_buffer[0..trimmed.len], trimmed);
        system.failure = .{};
        try judge(directory.identity, system.userId(), options.shared);
        return directory;
    }

    pub fn close(directory: *RunDirectory, system: anytype) void {
        system.close(directory.descriptor);
        directory.* = undefined;
    }

    pub fn path(directory: *const RunDirectory) []const u8 {
        return directory.path_buffer[0..directory.path_bytes];
    }

    /// The same directory with a descriptor of its own, and proof that the path still leads here:
    /// a socket is bound by its path, not below a descriptor.
    pub fn again(directory: *const RunDirectory, system: anytype) AgainError!RunDirectory {
        const descriptor = openPath(system, directory.path()) catch |failure| switch (failure) {
            error.Missing, error.Link, error.NotDirectory => return error.DirectoryGone,
            else => |other| return other,
        };
        errdefer system.close(descriptor);
        const identity = system.statFd(descriptor) catch return error.Unexpected;
        if (!identity.same(directory.identity)) {
            system.failure = .{};
            return error.DirectoryGone;
        }
        var copy = directory.*;
        copy.descriptor = descriptor;
        return copy;
    }

    /// The path of the service `name`, whose rules it checks.
    pub fn socketPath(
        directory: *const RunDirectory,
        buffer: *[sys.socket_path_bytes_max]u8,
        name: []const u8,
    ) error{ NameInvalid, PathTooLong }![]const u8 {
        try name_rules.check(name);
        return std.fmt.bufPrint(buffer, "{s}/{s}", .{ directory.path(), name }) catch
            error.PathTooLong;
    }

    /// How long that path is. It may not be longer than `sys.socket_path_bytes_max`.
    pub fn socketPathBytes(directory: *const RunDirectory, name: []const u8) usize {
        return directory.path_bytes + "/".len + name.len;
    }
};

/// A slash or a `.` at the end would have the system follow a link that stands before it.
fn withoutEnding(path: []const u8) []const u8 {
    var rest = path;
    while (rest.len > 1) {
        if (rest[rest.len - 1] == '/') {
            rest = rest[0 .. rest.len - 1];
        } else if (std.mem.endsWith(u8, rest, "/.")) {
            rest = rest[0 .. rest.len - 1];
        } else break;
    }
    return rest;
}

const OpenPathError = error{
    Missing,
    Link,
    NotDirectory,
    Permission,
    DescriptorLimit,
    Unexpected,
};

fn openPath(system: anytype, path: []const u8) OpenPathError!sys.Fd {
    return system.openDirectory(path) catch |failure| switch (failure) {
        error.NotFound => error.Missing,
        // The system has refused; this only finds the right word for it.
        error.NotDirectory => if (isLink(system, path)) error.Link else error.NotDirectory,
        error.Permission => error.Permission,
        error.DescriptorLimit => error.DescriptorLimit,
        error.PathTooLong, error.Unexpected => error.Unexpected,
    };
}

fn isLink(system: anytype, path: []const u8) bool {
    const refused = system.failure;
    defer system.failure = refused;
    const stat = system.statPath(path) catch return false;
    return stat.kind == .link;
}

fn make(system: anytype, path: []const u8) OpenError!void {
    system.makeDirectory(path, 0o700) catch |failure| return switch (failure) {
        // Another service that starts at this moment was faster, which is as good.
        error.Exists => {},
        error.NotFound => error.ParentMissing,
        error.Permission => error.Permission,
        error.NoSpace => error.NoSpace,
        error.PathTooLong, error.Unexpected => error.Unexpected,
    };
}

const sticky = 0o1000;
const writable_by_others = 0o022;

fn judge(stat: sys.Stat, uid: u32, shared: bool) error{ Owner, Writable }!void {
    if (stat.uid != uid and !(shared and stat.uid == 0)) return error.Owner;
    if (stat.mode & writable_by_others == 0) return;
    if (!(shared and stat.mode & sticky != 0)) return error.Writable;
}

const testing = std.testing;
const Scratch = @import("scratch.zig").Scratch;

fn expectResolved(expected: []const u8, option: ?[]const u8, environment: Environment) !void {
    var buffer: [path_bytes_max]u8 = undefined;
    try testing.expectEqualStrings(expected, try resolve(&buffer, option, environment, 1234));
}

test "the option comes first, then the variables in their order, then a path of the user's own" {
    var environment: Environment = .{
        .EARSHOT_RUNDIR = "/ears",
        .RUNDIR = "/libipc",
        .XDG_RUNTIME_DIR = "/run/user/1234",
    };
    try expectResolved("/option", "/option", environment);
    try expectResolved("/ears", null, environment);
    environment.EARSHOT_RUNDIR = "";
    try expectResolved("/libipc", null, environment);
    environment.RUNDIR = null;
    try expectResolved("/run/user/1234/earshot", null, environment);
    environment.XDG_RUNTIME_DIR = "/run/user/1234/";
    try expectResolved("/run/user/1234/earshot", null, environment);
    environment.XDG_RUNTIME_DIR = "";
    try expectResolved("/tmp/earshot-1234", null, environment);
    try expectResolved("/tmp/earshot-1234", null, .{});
}

test "the environment is read from the process" {
    var system: sys.System = .{};
    const expected = system.environment("XDG_RUNTIME_DIR");
    try testing.expectEqualDeep(expected, Environment.of(&system).XDG_RUNTIME_DIR);
}

test "a path longer than any is an error and not an overrun" {
    var buffer: [path_bytes_max]u8 = undefined;
    const long = "/" ++ "d" ** path_bytes_max;
    const environment: Environment = .{ .XDG_RUNTIME_DIR = long[0..path_bytes_max] };
    try testing.expectError(error.PathTooLong, resolve(&buffer, long, .{}, 0));
    try testing.expectError(error.PathTooLong, resolve(&buffer, null, environment, 0));
}

test "slashes and dots at the end are taken away" {
    const cases = [_][2][]const u8{
        .{ "/a", "/a" },              .{ "/a/", "/a" },      .{ "/a///", "/a" },
        .{ "/a/.", "/a" },            .{ "/a/./", "/a" },    .{ "/a/.//./", "/a" },
        .{ "/", "/" },                .{ "//", "/" },        .{ "/.", "/" },
        .{ "/a.", "/a." },            .{ "/a/..", "/a/.." }, .{ "/a/.b/", "/a/.b" },
        .{ "relative/", "relative" }, .{ "", "" },           .{ ".", "." },
    };
    for (cases) |case| try testing.expectEqualStrings(case[1], withoutEnding(case[0]));
}

/// Opens and closes again, and sees that either way no descriptor stays behind.
fn tryOpen(path: []const u8, options: Options) !void {
    var system: sys.System = .{};
    const before = Scratch.descriptors();
    defer testing.expectEqual(before, Scratch.descriptors()) catch @panic("a descriptor leaked");
    var directory = try RunDirectory.open(&system, path, options);
    directory.close(&system);
}

test "only an absolute path that fits a socket's address is tried" {
    try testing.expectError(error.PathRelative, tryOpen("", .{ .make = true }));
    try testing.expectError(error.PathRelative, tryOpen("run", .{ .make = true }));
    try testing.expectError(error.PathRelative, tryOpen("./run", .{ .make = true }));
    try testing.expectError(error.PathInvalid, tryOpen("/tmp\x00/run", .{ .make = true }));
    const long = "/" ++ "d" ** sys.socket_path_bytes_max;
    try testing.expectError(error.PathTooLong, tryOpen(long, .{ .make = true }));
    try testing.expectError(
        error.PathTooLong,
        tryOpen(long[0 .. sys.socket_path_bytes_max - 1], .{ .make = true }),
    );
    try testing.expectError(
        error.Missing,
        tryOpen(long[0 .. sys.socket_path_bytes_max - 2], .{}),
    );
}

test "a missing directory is made for a service only, closed to others, one level deep" {
    var scratch = try Scratch.init();
    defer scratch.deinit();
    var system: sys.System = .{};
    const path = scratch.path("run");
    try testing.expectError(error.Missing, tryOpen(path, .{}));
    try testing.expect(!scratch.exists("run"));
    try tryOpen(path, .{ .make = true });
    const stat = try system.statPath(path);
    try testing.expectEqual(.directory, stat.kind);
    try testing.expectEqual(0o700, stat.mode);
    try tryOpen(path, .{});
    try tryOpen(path, .{ .make = true });
    try testing.expectError(error.ParentMissing, tryOpen(scratch.path("a/b"), .{ .make = true }));
    try testing.expect(!scratch.exists("a"));
}

test "a link is refused, whatever it leads to and whatever ends the path" {
    var scratch = try Scratch.init();
    defer scratch.deinit();
    scratch.makeDirectory("real", 0o700);
    scratch.link("real", "link");
    scratch.link("nowhere", "dangling");
    for ([_][]const u8{ "link", "link/", "link//", "link/.", "link/./", "dangling" }) |ending| {
        const path = scratch.path(ending);
        try testing.expectError(error.Link, tryOpen(path, .{ .make = true }));
        try testing.expectError(error.Link, tryOpen(path, .{ .shared = true }));
    }
    try testing.expect(!scratch.exists("nowhere"));
}

test "what is not a directory is refused and stays" {
    var scratch = try Scratch.init();
    defer scratch.deinit();
    var system: sys.System = .{};
    scratch.file("plain", "kept");
    scratch.pipe("pipe");
    for ([_][]const u8{ "plain", "pipe", "plain/below" }) |ending| {
        try testing.expectError(
            error.NotDirectory,
            tryOpen(scratch.path(ending), .{ .make = true }),
        );
    }
    try testing.expectEqual(.file, (try system.statPath(scratch.path("plain"))).kind);
}

test "a directory that group or others can write to is refused" {
    var scratch = try Scratch.init();
    defer scratch.deinit();
    for ([_]u32{ 0o700, 0o755, 0o750, 0o711 }) |mode| {
        scratch.makeDirectory("run", mode);
        try tryOpen(scratch.path("run"), .{});
        scratch.remove("run");
    }
    for ([_]u32{ 0o770, 0o720, 0o702, 0o777, 0o1777, 0o1770 }) |mode| {
        scratch.makeDirectory("run", mode);
        try testing.expectError(error.Writable, tryOpen(scratch.path("run"), .{ .make = true }));
        scratch.remove("run");
    }
}

test "a shared directory may be written to by others if it is sticky" {
    var scratch = try Scratch.init();
    defer scratch.deinit();
    for ([_]u32{ 0o1777, 0o1770, 0o755 }) |mode| {
        scratch.makeDirectory("run", mode);
        try tryOpen(scratch.path("run"), .{ .shared = true });
        scratch.remove("run");
    }
    for ([_]u32{ 0o777, 0o770 }) |mode| {
        scratch.makeDirectory("run", mode);
        try testing.expectError(error.Writable, tryOpen(scratch.path("run"), .{ .shared = true }));
        scratch.remove("run");
    }
}

test "who owns a directory decides" {
    const directory: sys.Stat = .{
        .kind = .directory,
        .uid = 7,
        .gid = 7,
        .mode = 0o700,
        .device = 1,
        .inode = 1,
    };
    try judge(directory, 7, false);
    try judge(directory, 7, true);
    try testing.expectError(error.Owner, judge(directory, 8, false));
    try testing.expectError(error.Owner, judge(directory, 8, true));
    try testing.expectError(error.Owner, judge(directory, 0, false));
    try testing.expectError(error.Owner, judge(directory, 0, true));
    var roots = directory;
    roots.uid = 0;
    try testing.expectError(error.Owner, judge(roots, 7, false));
    try judge(roots, 7, true);
}

test "another user's directory is refused" {
    try Scratch.needRoot("only root can give a directory away");
    var scratch = try Scratch.init();
    defer scratch.deinit();
    scratch.makeDirectory("run", 0o700);
    scratch.give("run", 12345);
    try testing.expectError(error.Owner, tryOpen(scratch.path("run"), .{ .make = true }));
    try testing.expectError(error.Owner, tryOpen(scratch.path("run"), .{ .shared = true }));
}

test "a directory opened again is the same one, or gone" {
    var scratch = try Scratch.init();
    defer scratch.deinit();
    var system: sys.System = .{};
    const before = Scratch.descriptors();
    var directory = try RunDirectory.open(&system, scratch.path("run"), .{ .make = true });
    var second = try directory.again(&system);
    try testing.expect(second.descriptor != directory.descriptor);
    try testing.expectEqualStrings(directory.path(), second.path());
    second.close(&system);

    scratch.rename("run", "moved");
    try testing.expectError(error.DirectoryGone, directory.again(&system));
    scratch.makeDirectory("run", 0o700);
    try testing.expectError(error.DirectoryGone, directory.again(&system));
    scratch.remove("run");
    scratch.link("moved", "run");
    try testing.expectError(error.DirectoryGone, directory.again(&system));
    directory.close(&system);
    try testing.expectEqual(before, Scratch.descriptors());
}

test "the path of a socket is checked and measured" {
    var scratch = try Scratch.init();
    defer scratch.deinit();
    var system: sys.System = .{};
    var directory = try RunDirectory.open(&system, scratch.path("run"), .{ .make = true });
    defer directory.close(&system);
    var buffer: [sys.socket_path_bytes_max]u8 = undefined;

    const path = try directory.socketPath(&buffer, "pong");
    try testing.expectEqualStrings(scratch.path("run/pong"), path);
    try testing.expectEqual(path.len, directory.socketPathBytes("pong"));
    try testing.expectError(error.NameInvalid, directory.socketPath(&buffer, "../pong"));

    // As long as a path can be, and one byte longer.
    const name = "n" ** name_rules.name_bytes_max;
    directory.path_bytes = sys.socket_path_bytes_max - 1 - name.len;
    @memset(directory.path_buffer[0..directory.path_bytes], 'd');
    try testing.expectEqual(
        sys.socket_path_bytes_max,
        (try directory.socketPath(&buffer, name)).len,
    );
    directory.path_bytes += 1;
    directory.path_buffer[directory.path_bytes - 1] = 'd';
    try testing.expectError(error.PathTooLong, directory.socketPath(&buffer, name));
    try testing.expectEqual(sys.socket_path_bytes_max + 1, directory.socketPathBytes(name));
}

test "the shared vectors: where it is, and whom it is safe from" {
    const Vectors = struct {
        version: u32,
        places: []const struct {
            what: []const u8,
            option: ?[]const u8 = null,
            environment: Environment,
            /// `{uid}` stands for the user's number.
            path: []const u8,
        },
        trust: []const struct {
            /// In octal.
            mode: []const u8,
            shared: bool,
            fault: ?enum { writable },
        },
    };
    const vectors = try @import("vectors.zig").read(Vectors, "run-directory");
    defer vectors.deinit();
    for (vectors.value.places) |place| {
        var buffer: [path_bytes_max]u8 = undefined;
        const bytes = std.mem.replace(u8, place.path, "{uid}", "1234", &buffer);
        const length = place.path.len - bytes * ("{uid}".len - "1234".len);
        try expectResolved(buffer[0..length], place.option, place.environment);
    }
    var scratch = try Scratch.init();
    defer scratch.deinit();
    for (vectors.value.trust) |case| {
        scratch.makeDirectory("run", try std.fmt.parseInt(u32, case.mode, 8));
        defer scratch.remove("run");
        const opened = tryOpen(scratch.path("run"), .{ .shared = case.shared });
        if (case.fault == null) try opened else try testing.expectError(error.Writable, opened);
    }
}
