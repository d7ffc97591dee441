//! A service's hold on its name, and what others can do with the name: connect to it, ask about it.
//!
//!     DIR/NAME.lock    held for life: who has it serves the name
//!     DIR/NAME         the socket; it outlives a killed owner, and then leads nowhere
//!
//! `make` takes the lock first, so only one at a time ever looks at the socket's place, clears or
//! fills it. A LibIPC service keeps no lock: one that answers there counts as serving all the same.
//! What is not a socket is never deleted, nor is a socket of somebody else's, nor a file in the
//! lock's place that is no lock.

const std = @import("std");
const sys = @import("sys");
const locks = @import("lock.zig");
const Lock = locks.Lock;
const RunDirectory = @import("run_directory.zig").RunDirectory;

/// How many connections may wait to be accepted. Systems cut this to a limit of their own, which is
/// 4096 on Linux since 5.4 (net.core.somaxconn), so more would change nothing.
pub const backlog_max = 4096;

pub const Options = struct {
    /// Who may connect, as far as the file system has a say.
    mode: u16 = 0o600,
    backlog: u31 = backlog_max,
    /// Has, after `AlreadyServed`, the process id of who serves; 0 if it cannot be told.
    owner: ?*i32 = null,
};

pub const ClaimError = error{
    NameInvalid,
    /// `RunDirectory.socketPathBytes` says how long the path is; it may have
    /// `sys.socket_path_bytes_max`.
    PathTooLong,
    AlreadyServed,
    /// Something other than a socket has the socket's place. It is left there.
    NotSocket,
    /// A socket that nobody answers on has the place, but it is somebody else's to take away.
    SocketOwner,
    LockNotFile,
    LockOwner,
    LockForeign,
    DirectoryGone,
    Permission,
    NoSpace,
    DescriptorLimit,
    Unexpected,
};

/// A name that is held, with a socket that listens. It owns its descriptors, and what it holds is
/// given up by `release` alone.
pub const Claim = struct {
    directory: RunDirectory,
    lock: Lock,
    socket: sys.Fd,
    identity: sys.Stat,

    /// How many it owns: those of directory, lock and socket.
    pub const descriptors = 3;

    /// Claims `name` in a directory, which the caller still closes. Fails without leaving anything
    /// behind, but for an empty lock file if the system cannot tell whose the lock is.
    /// `system` is a `*sys.System`, or stands in for one.
    pub fn make(
        system: anytype,
        place: *const RunDirectory,
        name: []const u8,
        options: Options,
    ) ClaimError!Claim {
        var nobody: i32 = 0;
        const owner = options.owner orelse &nobody;
        owner.* = 0;
        system.failure = .{};
        var path_buffer: [sys.socket_path_bytes_max]u8 = undefined;
        const socket_path = try place.socketPath(&path_buffer, name);

        var directory = try place.again(system);
        errdefer directory.close(system);
        var lock = try Lock.take(system, directory.descriptor, name, owner);
        errdefer lock.release(system);
        try makeWay(system, directory.descriptor, name, socket_path, owner);

        const socket = try system.socket();
        errdefer system.close(socket);
        try bind(system, socket, socket_path);
        errdefer system.unlinkAt(directory.descriptor, name) catch {};
        const identity = try statName(system, directory.descriptor, name) orelse
            return error.DirectoryGone;
        // Before it listens, so that nobody gets in under the mode it was born with.
        try setMode(system, directory.descriptor, name, options.mode);
        try system.listen(socket, @min(options.backlog, backlog_max));
        return .{ .directory = directory, .lock = lock, .socket = socket, .identity = identity };
    }

    /// Gives the name up. In a process forked from the owner this only closes what was inherited, and so it does when
    /// another process goes on with copies of it.
    pub fn release(claim: *Claim, system: anytype) void {
        const directory = claim.directory.descriptor;
        const name = claim.lock.name();
        const is_own = claim.lock.isOwn(system) and !claim.lock.wasTakenOver(system);
        if (is_own and locks.leadsTo(system, directory, name, claim.identity)) {
            // Left behind, it is what a killed owner leaves: the next one replaces it.
            system.unlinkAt(directory, name) catch {};
        }
        system.close(claim.socket);
        claim.lock.release(system);
        claim.directory.close(system);
        claim.* = undefined;
    }

    /// Closes what is held without giving the name up: somebody else goes on with copies of it.
    pub fn leave(claim: *Claim, system: anytype) void {
        system.close(claim.socket);
        system.close(claim.lock.descriptor);
        claim.directory.close(system);
        claim.* = undefined;
    }

    /// Goes on with the name of another process, by copies of what that one listens on and holds. They are the claim's
    /// on success, and the caller's on failure. Whoever had them leaves when this is done.
    pub fn takeOver(
        system: anytype,
        place: *const RunDirectory,
        name: []const u8,
        socket: sys.Fd,
        lock_descriptor: sys.Fd,
    ) TakeOverError!Claim {
        system.failure = .{};
        var path_buffer: [sys.socket_path_bytes_max]u8 = undefined;
        const socket_path = try place.socketPath(&path_buffer, name);
        var bound_buffer: [sys.socket_path_bytes_max + 1]u8 = undefined;
        if (!std.mem.eql(u8, socket_path, system.socketPath(socket, &bound_buffer))) return error.NotService;
        const kind = system.socketKind(socket) catch return error.NotService;
        if (!kind.listens) return error.NotService;

        var directory = try place.again(system);
        errdefer directory.close(system);
        const identity = try statName(system, directory.descriptor, name) orelse return error.NotService;
        if (identity.kind != .socket) return error.NotService;
        system.adopt(socket) catch return error.NotService;
        system.adopt(lock_descriptor) catch return error.NotService;
        const lock = try Lock.takeOver(system, directory.descriptor, name, lock_descriptor);
        return .{ .directory = directory, .lock = lock, .socket = socket, .identity = identity };
    }

    /// That of the lock. It stays the claim's.
    pub fn lockDescriptor(claim: *const Claim) ?sys.Fd {
        return claim.lock.descriptor;
    }

    /// The descriptor to accept connections from. It stays the claim's.
    pub fn listener(claim: *const Claim) sys.Fd {
        return claim.socket;
    }

    pub fn serviceName(claim: *const Claim) []const u8 {
        return claim.lock.name();
    }

    /// Where the service can be found.
    pub fn path(claim: *const Claim, buffer: *[sys.socket_path_bytes_max]u8) []const u8 {
        // It was short enough for the socket to be bound.
        return claim.directory.socketPath(buffer, claim.lock.name()) catch unreachable;
    }
};

pub const TakeOverError = error{
    NameInvalid,
    PathTooLong,
    /// What was given does not listen under this name, or does not hold its lock.
    NotService,
    DirectoryGone,
    Permission,
    NoSpace,
    DescriptorLimit,
    Unexpected,
};

pub const ConnectError = error{
    NameInvalid,
    PathTooLong,
    /// Nothing has this name.
    NotFound,
    /// The owner of this socket is gone. (A BSD system says so of a full backlog, too.)
    Refused,
    /// More connections wait already than the service lets wait.
    Busy,
    /// What has this name is not a socket, or not one of our kind.
    NotService,
    Permission,
    DescriptorLimit,
    Unexpected,
};

/// Connects to the service `name`. The descriptor is the caller's.
pub fn connectTo(
    system: anytype,
    directory: *const RunDirectory,
    name: []const u8,
) ConnectError!sys.Fd {
    system.failure = .{};
    var buffer: [sys.socket_path_bytes_max]u8 = undefined;
    const path = try directory.socketPath(&buffer, name);
    const socket = try system.socket();
    errdefer system.close(socket);
    system.connect(socket, path) catch |failure| {
        // Linux refuses for a plain file in the words it has for a dead owner.
        if (failure == error.Refused and !isSocket(system, directory.descriptor, name)) {
            return error.NotService;
        }
        return failure;
    };
    return socket;
}

fn isSocket(system: anytype, directory: sys.Fd, name: []const u8) bool {
    const refused = system.failure;
    defer system.failure = refused;
    const found = system.statAt(directory, name) catch return true;
    return found.kind == .socket or found.kind == .link;
}

pub const State = enum {
    live,
    /// A socket left by an owner who is gone.
    stale,
    /// It answers but keeps no lock, as LibIPC's services do.
    foreign,
    /// We lack the permission to find out.
    unknown,
};

pub const Service = struct {
    state: State,
    /// Who serves; 0 if nobody does, or it cannot be told.
    pid: i32,
    /// Whose socket it is.
    uid: u32,
};

pub const InspectError = error{
    NameInvalid,
    PathTooLong,
    NotFound,
    NotSocket,
    Permission,
    DescriptorLimit,
    Unexpected,
};

/// Tells how it stands with the service `name`. One that holds its lock notices nothing of it;
/// otherwise finding out takes a connection, which is closed again at once.
pub fn inspect(
    system: anytype,
    directory: *const RunDirectory,
    name: []const u8,
) InspectError!Service {
    system.failure = .{};
    var buffer: [sys.socket_path_bytes_max]u8 = undefined;
    const path = try directory.socketPath(&buffer, name);
    const found = try statName(system, directory.descriptor, name) orelse return error.NotFound;
    if (found.kind != .socket) return error.NotSocket;
    const unknown: Service = .{ .state = .unknown, .pid = 0, .uid = found.uid };

    const before = holder(system, directory.descriptor, name) catch |failure| switch (failure) {
        error.Permission => return unknown,
        else => |other| return other,
    };
    if (before == .held) return .{ .state = .live, .pid = before.held, .uid = found.uid };

    const answer = probe(system, path) catch |failure| switch (failure) {
        error.Permission => return unknown,
        else => |other| return other,
    };
    // A service of ours that has started since would seem to be a foreign one.
    const after = try holder(system, directory.descriptor, name);
    if (after == .held) return .{ .state = .live, .pid = after.held, .uid = found.uid };
    return switch (answer) {
        .silence => .{ .state = .stale, .pid = 0, .uid = found.uid },
        .from => |pid| .{ .state = .foreign, .pid = pid, .uid = found.uid },
    };
}

const HolderError = error{ NameInvalid, Permission, DescriptorLimit, Unexpected };

fn holder(system: anytype, directory: sys.Fd, name: []const u8) HolderError!locks.Holder {
    return locks.inspect(system, directory, name) catch |failure| switch (failure) {
        // With this in the lock's place no service of ours can be running.
        error.LockNotFile, error.LockForeign => .free,
        else => |other| other,
    };
}

/// Takes away what a dead owner left in the socket's place, if that is what is there.
fn makeWay(
    system: anytype,
    directory: sys.Fd,
    name: []const u8,
    path: []const u8,
    owner: *i32,
) ClaimError!void {
    const found = try statName(system, directory, name) orelse return;
    system.failure = .{};
    if (found.kind != .socket) return error.NotSocket;
    const is_own = found.uid == system.userId();
    const answer = probe(system, path) catch |failure| switch (failure) {
        error.NotFound => return,
        error.Permission => return if (is_own) error.Permission else error.SocketOwner,
        error.DescriptorLimit => return error.DescriptorLimit,
        error.Unexpected => return error.Unexpected,
    };
    system.failure = .{};
    switch (answer) {
        .silence => {},
        .from => |pid| {
            owner.* = pid;
            return error.AlreadyServed;
        },
    }
    if (!is_own) return error.SocketOwner;
    // Somebody without a lock may have come since, and then this is no longer what was asked.
    if (!locks.leadsTo(system, directory, name, found)) return error.AlreadyServed;
    system.unlinkAt(directory, name) catch |failure| switch (failure) {
        error.NotFound => {},
        error.NotFile => return error.NotSocket,
        error.Permission => return error.Permission,
        error.PathTooLong, error.Unexpected => return error.Unexpected,
    };
}

const Answer = union(enum) {
    silence,
    /// Somebody is there; the process id, or 0 if it cannot be told.
    from: i32,
};

const ProbeError = error{ NotFound, Permission, DescriptorLimit, Unexpected };

/// Whether anybody answers at `path`.
fn probe(system: anytype, path: []const u8) ProbeError!Answer {
    const socket = try system.socket();
    defer system.close(socket);
    system.connect(socket, path) catch |failure| switch (failure) {
        error.Refused => return .silence,
        // A full backlog, or a socket of another kind: somebody has them open.
        error.Busy, error.NotService => return .{ .from = 0 },
        error.NotFound => return error.NotFound,
        error.Permission => return error.Permission,
        error.PathTooLong, error.Unexpected => return error.Unexpected,
    };
    const peer = system.credentials(socket) catch return .{ .from = 0 };
    return .{ .from = peer.pid };
}

fn bind(system: anytype, socket: sys.Fd, path: []const u8) ClaimError!void {
    system.bind(socket, path) catch |failure| switch (failure) {
        // The place was free, so this is somebody who came without a lock.
        error.InUse => return error.AlreadyServed,
        error.NotFound => return error.DirectoryGone,
        error.Permission => return error.Permission,
        error.PathTooLong => return error.PathTooLong,
        error.Unexpected => return error.Unexpected,
    };
}

/// Null if there is nothing of that name.
fn statName(
    system: anytype,
    directory: sys.Fd,
    name: []const u8,
) error{ Permission, Unexpected }!?sys.Stat {
    return system.statAt(directory, name) catch |failure| switch (failure) {
        error.NotFound => null,
        error.Permission => error.Permission,
        error.PathTooLong, error.Unexpected => error.Unexpected,
    };
}

fn setMode(system: anytype, directory: sys.Fd, name: []const u8, mode: u32) ClaimError!void {
    system.setMode(directory, name, mode) catch |failure| switch (failure) {
        error.NotFound => return error.DirectoryGone,
        error.Permission => return error.Permission,
        error.PathTooLong, error.Unexpected => return error.Unexpected,
    };
}

const builtin = @import("builtin");
const testing = std.testing;
const FailingSystem = @import("failing.zig").FailingSystem;
const Forked = @import("forked.zig").Forked;
const Scratch = @import("scratch.zig").Scratch;
const run_directories = @import("run_directory.zig");

/// A run directory for one test.
const Place = struct {
    scratch: Scratch,
    system: sys.System = .{},
    directory: RunDirectory,

    fn init() !Place {
        return initWith(0o700, .{});
    }

    fn initWith(mode: u32, options: run_directories.Options) !Place {
        var place: Place = .{ .scratch = try .init(), .directory = undefined };
        errdefer place.scratch.deinit();
        place.scratch.makeDirectory("run", mode);
        const path = place.scratch.path("run");
        place.directory = try RunDirectory.open(&place.system, path, options);
        return place;
    }

    fn deinit(place: *Place) void {
        place.directory.close(&place.system);
        place.scratch.deinit();
    }

    fn claim(place: *Place, name: []const u8) ClaimError!Claim {
        return Claim.make(&place.system, &place.directory, name, .{});
    }

    fn release(place: *Place, claimed: *Claim) void {
        claimed.release(&place.system);
    }

    fn connect(place: *Place, name: []const u8) ConnectError!sys.Fd {
        return connectTo(&place.system, &place.directory, name);
    }

    fn expectRefused(place: *Place, name: []const u8, expected: ClaimError, owner: i32) !void {
        var told: i32 = -1;
        const options: Options = .{ .owner = &told };
        try testing.expectError(
            expected,
            Claim.make(&place.system, &place.directory, name, options),
        );
        try testing.expectEqual(owner, told);
    }

    fn expectState(place: *Place, name: []const u8, state: State, pid: i32) !void {
        const service = try inspect(&place.system, &place.directory, name);
        try testing.expectEqual(state, service.state);
        try testing.expectEqual(pid, service.pid);
        try testing.expectEqual(place.system.userId(), service.uid);
    }

    /// That a client gets through to the socket that listens on `socket`.
    fn expectAnswer(place: *Place, name: []const u8, socket: sys.Fd) !void {
        const client = try place.connect(name);
        defer place.system.close(client);
        const server = try place.system.accept(socket) orelse return error.NobodyCame;
        place.system.close(server);
    }

    /// A socket as a service makes it that knows nothing of locks.
    fn foreign(place: *Place, name: []const u8, backlog: u31) !sys.Fd {
        var buffer: [sys.socket_path_bytes_max]u8 = undefined;
        const socket = try place.system.socket();
        errdefer place.system.close(socket);
        try place.system.bind(socket, try place.directory.socketPath(&buffer, name));
        try place.system.listen(socket, backlog);
        return socket;
    }

    /// What a dead owner leaves.
    fn stale(place: *Place, name: []const u8) !void {
        place.system.close(try place.foreign(name, 1));
    }
};

test "a claimed name can be connected to, and leaves nothing behind" {
    var place = try Place.init();
    defer place.deinit();
    const before = Scratch.descriptors();
    var claim = try place.claim("pong");
    try testing.expectEqual(before + Claim.descriptors, Scratch.descriptors());
    var buffer: [sys.socket_path_bytes_max]u8 = undefined;
    try testing.expectEqualStrings(place.scratch.path("run/pong"), claim.path(&buffer));
    try testing.expectEqualStrings("pong", claim.serviceName());
    try place.expectAnswer("pong", claim.listener());
    try testing.expectEqual(2, place.scratch.entries("run"));
    place.release(&claim);
    try testing.expectEqual(0, place.scratch.entries("run"));
    try testing.expectError(error.NotFound, place.connect("pong"));
}

test "the socket has the mode that was asked for, whatever the process masks" {
    var place = try Place.init();
    defer place.deinit();
    for ([_]std.c.mode_t{ 0o000, 0o022, 0o777 }) |mask| {
        for ([_]u16{ 0o600, 0o660, 0o666 }) |mode| {
            const masked = std.c.umask(mask);
            defer _ = std.c.umask(masked);
            var claim = try Claim.make(&place.system, &place.directory, "pong", .{ .mode = mode });
            defer place.release(&claim);
            const stat = try place.system.statPath(place.scratch.path("run/pong"));
            try testing.expectEqual(mode, stat.mode);
        }
    }
}

test "a second claim is refused with the owner's process id, and the first goes on" {
    var place = try Place.init();
    defer place.deinit();
    var claim = try place.claim("pong");
    defer place.release(&claim);
    try place.expectRefused("pong", error.AlreadyServed, place.system.processId());
    try place.expectAnswer("pong", claim.listener());
    var other = try place.claim("ping");
    place.release(&other);
    try testing.expectEqual(2, place.scratch.entries("run"));
}

test "a bad name or too long a path is refused before anything is touched" {
    var place = try Place.init();
    defer place.deinit();
    for ([_][]const u8{ "", "..", "a/b", "a\x00b", "n" ** 300, "pong.lock" }) |name| {
        try place.expectRefused(name, error.NameInvalid, 0);
        try testing.expectError(error.NameInvalid, place.connect(name));
        try testing.expectError(
            error.NameInvalid,
            inspect(&place.system, &place.directory, name),
        );
    }
    const long = "d" ** 60;
    place.scratch.makeDirectory("run/" ++ long, 0o700);
    const path = place.scratch.path("run/" ++ long);
    var deep = try RunDirectory.open(&place.system, path, .{});
    defer deep.close(&place.system);
    const name = "n" ** 40;
    try testing.expect(deep.socketPathBytes(name) > sys.socket_path_bytes_max);
    try testing.expectError(error.PathTooLong, Claim.make(&place.system, &deep, name, .{}));
    try testing.expectError(error.PathTooLong, connectTo(&place.system, &deep, name));
    try testing.expectError(error.PathTooLong, inspect(&place.system, &deep, name));
    try testing.expectEqual(0, place.scratch.entries("run/" ++ long));
}

test "a socket left by a dead owner is replaced" {
    var place = try Place.init();
    defer place.deinit();
    try place.stale("pong");
    try testing.expectError(error.Refused, place.connect("pong"));
    var claim = try place.claim("pong");
    try place.expectAnswer("pong", claim.listener());
    place.release(&claim);
    try testing.expectEqual(0, place.scratch.entries("run"));
}

test "a socket that was stale only a moment ago is not taken away" {
    var place = try Place.init();
    defer place.deinit();
    try place.stale("pong");
    var newcomer: Newcomer = .{ .place = &place };
    defer place.system.close(newcomer.socket);
    var system: FailingSystem = .{
        .meanwhile = .{ .syscall = .connect, .context = &newcomer, .run = Newcomer.come },
    };
    try testing.expectError(
        error.AlreadyServed,
        Claim.make(&system, &place.directory, "pong", .{}),
    );
    try place.expectAnswer("pong", newcomer.socket);
    try testing.expectEqual(1, place.scratch.entries("run"));
}

/// A service without a lock, which replaces a stale socket as we are about to.
const Newcomer = struct {
    place: *Place,
    socket: sys.Fd = -1,

    fn come(context: *anyopaque) void {
        const newcomer: *Newcomer = @ptrCast(@alignCast(context));
        // Kept under another name, so that the new one cannot get its number.
        newcomer.place.scratch.rename("run/pong", "was-pong");
        newcomer.socket = newcomer.place.foreign("pong", 1) catch @panic("not bound");
    }
};

test "a service that answers without a lock keeps its name" {
    var place = try Place.init();
    defer place.deinit();
    const own = place.system.processId();
    const foreign = try place.foreign("pong", 1);
    defer place.system.close(foreign);
    try place.expectRefused("pong", error.AlreadyServed, own);
    // The question itself came as a connection.
    place.system.close((try place.system.accept(foreign)).?);
    try place.expectAnswer("pong", foreign);
    try testing.expectEqual(1, place.scratch.entries("run"));
}

test "a foreign service too busy to answer keeps its name" {
    // The other systems refuse when a backlog is full, so there it cannot be told from a dead one.
    if (builtin.os.tag != .linux) return error.SkipZigTest;
    var place = try Place.init();
    defer place.deinit();
    const foreign = try place.foreign("pong", 0);
    defer place.system.close(foreign);
    const client = try place.connect("pong");
    defer place.system.close(client);
    try testing.expectError(error.Busy, place.connect("pong"));
    try place.expectRefused("pong", error.AlreadyServed, 0);
    try place.expectState("pong", .foreign, 0);
}

test "a socket of another kind that is open keeps its name" {
    var place = try Place.init();
    defer place.deinit();
    var buffer: [sys.socket_path_bytes_max]u8 = undefined;
    const path = try place.directory.socketPath(&buffer, "pong");
    const datagram = std.c.socket(std.c.AF.UNIX, std.c.SOCK.DGRAM, 0);
    try testing.expect(datagram >= 0);
    try place.system.bind(datagram, path);
    try place.expectRefused("pong", error.AlreadyServed, 0);
    try testing.expectError(error.NotService, place.connect("pong"));
    place.system.close(datagram);
    var claim = try place.claim("pong");
    place.release(&claim);
}

test "what is not a socket keeps its place" {
    var place = try Place.init();
    defer place.deinit();
    const scratch = &place.scratch;
    const socket = try place.foreign("socket", 1);
    defer place.system.close(socket);
    scratch.file("run/file", "kept");
    scratch.makeDirectory("run/directory", 0o700);
    scratch.link("run/file", "run/link");
    scratch.link("run/socket", "run/socket-link");
    scratch.link("run/nowhere", "run/dangling");
    scratch.pipe("run/pipe");
    const entries = scratch.entries("run");
    const names = [_][]const u8{ "file", "directory", "link", "socket-link", "dangling", "pipe" };
    for (names) |name| {
        try place.expectRefused(name, error.NotSocket, 0);
        try testing.expectError(
            error.NotSocket,
            inspect(&place.system, &place.directory, name),
        );
    }
    for ([_][]const u8{ "file", "directory", "pipe" }) |name| {
        try testing.expectError(error.NotService, place.connect(name));
    }
    try testing.expectEqual(entries, scratch.entries("run"));
    var buffer: [8]u8 = undefined;
    try testing.expectEqualStrings("kept", scratch.read("run/file", &buffer));
}

test "a lock file that is a link is not followed" {
    var place = try Place.init();
    defer place.deinit();
    place.scratch.file("kept", "kept");
    place.scratch.link("kept", "run/pong.lock");
    try place.stale("pong");
    try place.expectRefused("pong", error.LockNotFile, 0);
    try place.expectState("pong", .stale, 0);
    var buffer: [8]u8 = undefined;
    try testing.expectEqualStrings("kept", place.scratch.read("kept", &buffer));
    try testing.expectEqual(2, place.scratch.entries("run"));
}

test "a file in the lock's place that is no lock is left alone, whatever is in the socket's" {
    var place = try Place.init();
    defer place.deinit();
    const own = place.system.processId();
    place.scratch.file("run/yarn.lock", "# yarn lockfile v1\n");
    try place.expectRefused("yarn", error.LockForeign, 0);
    place.scratch.file("run/yarn", "kept");
    try place.expectRefused("yarn", error.LockForeign, 0);
    place.scratch.remove("run/yarn");
    try place.stale("yarn");
    try place.expectRefused("yarn", error.LockForeign, 0);
    try place.expectState("yarn", .stale, 0);
    place.scratch.remove("run/yarn");
    const foreign = try place.foreign("yarn", 4);
    defer place.system.close(foreign);
    try place.expectRefused("yarn", error.LockForeign, 0);
    try place.expectState("yarn", .foreign, own);
    // Whoever has locked it is not the service.
    const fd = try place.system.openLock(place.directory.descriptor, "yarn.lock");
    defer place.system.close(fd);
    try testing.expect(try place.system.lockTake(fd));
    try place.expectState("yarn", .foreign, own);

    try testing.expectEqual(2, place.scratch.entries("run"));
    var buffer: [64]u8 = undefined;
    try testing.expectEqualStrings("# yarn lockfile v1\n", place.scratch.read("run/yarn.lock", &buffer));
}

test "another user's socket is not taken away" {
    try Scratch.needRoot("only root can give a socket away");
    var place = try Place.init();
    defer place.deinit();
    try place.stale("pong");
    place.scratch.give("run/pong", 12345);
    try place.expectRefused("pong", error.SocketOwner, 0);
    try testing.expectEqual(1, place.scratch.entries("run"));
    const service = try inspect(&place.system, &place.directory, "pong");
    try testing.expectEqual(Service{ .state = .stale, .pid = 0, .uid = 12345 }, service);
}

test "a directory that is no longer where it was is not served in" {
    var place = try Place.init();
    defer place.deinit();
    place.scratch.rename("run", "moved");
    try place.expectRefused("pong", error.DirectoryGone, 0);
    place.scratch.makeDirectory("run", 0o700);
    try place.expectRefused("pong", error.DirectoryGone, 0);
    try testing.expectEqual(0, place.scratch.entries("run"));
    try testing.expectEqual(0, place.scratch.entries("moved"));
}

test "a release takes away only the socket that was bound" {
    var place = try Place.init();
    defer place.deinit();
    var claim = try place.claim("pong");
    place.scratch.remove("run/pong");
    const foreign = try place.foreign("pong", 1);
    defer place.system.close(foreign);
    place.release(&claim);
    try place.expectAnswer("pong", foreign);
    try testing.expect(!place.scratch.exists("run/pong.lock"));
    place.scratch.remove("run/pong");

    claim = try place.claim("pong");
    place.scratch.remove("run/pong");
    place.scratch.file("run/pong", "kept");
    place.release(&claim);
    try testing.expectEqual(1, place.scratch.entries("run"));
    place.scratch.remove("run/pong");

    claim = try place.claim("pong");
    place.scratch.remove("run/pong");
    place.release(&claim);
    try testing.expectEqual(0, place.scratch.entries("run"));
}

test "a live service is told apart from a dead and a foreign one, and left in peace" {
    var place = try Place.init();
    defer place.deinit();
    const own = place.system.processId();
    try testing.expectError(error.NotFound, inspect(&place.system, &place.directory, "pong"));
    var claim = try place.claim("pong");
    defer place.release(&claim);
    try place.expectState("pong", .live, own);
    try testing.expectEqual(null, try place.system.accept(claim.listener()));

    try place.stale("dead");
    try place.expectState("dead", .stale, 0);
    const foreign = try place.foreign("foreign", 1);
    defer place.system.close(foreign);
    try place.expectState("foreign", .foreign, own);
}

test "every error of every call is passed on, and leaves nothing behind" {
    var place = try Place.init();
    defer place.deinit();
    try FailingSystem.forEach(&place, claimUnderFailure);
    try FailingSystem.forEach(&place, replaceUnderFailure);
    try FailingSystem.forEach(&place, connectUnderFailure);
    try FailingSystem.forEach(&place, inspectUnderFailure);
    try FailingSystem.forEach(&place, openUnderFailure);
}

fn claimUnderFailure(place: *Place, system: *FailingSystem) !void {
    const before = Scratch.descriptors();
    if (Claim.make(system, &place.directory, "pong", .{})) |made| {
        var claim = made;
        try place.expectAnswer("pong", claim.listener());
        claim.release(&place.system);
    } else |_| {}
    try testing.expectEqual(before, Scratch.descriptors());
    removeUnheldLock(place);
    try testing.expectEqual(0, place.scratch.entries("run"));
}

/// A lock file may stay if not even the lock could be tried: whoever does not hold it cannot know
/// that it is nobody else's. It is empty, because only an owner writes to it, and does no harm.
fn removeUnheldLock(place: *Place) void {
    if (!place.scratch.exists("run/pong.lock")) return;
    var buffer: [8]u8 = undefined;
    const text = place.scratch.read("run/pong.lock", &buffer);
    if (text.len == 0) place.scratch.remove("run/pong.lock");
}

/// What a failure leaves here is the stale socket it found, and nothing else.
fn replaceUnderFailure(place: *Place, system: *FailingSystem) !void {
    try place.stale("pong");
    const before = Scratch.descriptors();
    if (Claim.make(system, &place.directory, "pong", .{})) |made| {
        var claim = made;
        try place.expectAnswer("pong", claim.listener());
        claim.release(&place.system);
    } else |_| {}
    try testing.expectEqual(before, Scratch.descriptors());
    removeUnheldLock(place);
    try testing.expect(!place.scratch.exists("run/pong.lock"));
    if (place.scratch.exists("run/pong")) place.scratch.remove("run/pong");
}

fn connectUnderFailure(place: *Place, system: *FailingSystem) !void {
    const foreign = try place.foreign("pong", 1);
    defer place.scratch.remove("run/pong");
    defer place.system.close(foreign);
    const before = Scratch.descriptors();
    if (connectTo(system, &place.directory, "pong")) |fd| system.close(fd) else |_| {}
    try testing.expectEqual(before, Scratch.descriptors());
}

fn inspectUnderFailure(place: *Place, system: *FailingSystem) !void {
    try place.stale("pong");
    place.scratch.file("run/pong.lock", "1\n");
    const before = Scratch.descriptors();
    _ = inspect(system, &place.directory, "pong") catch {};
    try testing.expectEqual(before, Scratch.descriptors());
    try testing.expectEqual(2, place.scratch.entries("run"));
    place.scratch.remove("run/pong.lock");
    place.scratch.remove("run/pong");
}

fn openUnderFailure(place: *Place, system: *FailingSystem) !void {
    const before = Scratch.descriptors();
    const path = place.scratch.path("run/made");
    if (RunDirectory.open(system, path, .{ .make = true })) |opened| {
        var directory = opened;
        directory.close(system);
    } else |_| {}
    try testing.expectEqual(before, Scratch.descriptors());
    if (place.scratch.exists("run/made")) place.scratch.remove("run/made");
}

const races = 100;

test "of two threads that claim a name at the same moment one gets it" {
    var place = try Place.init();
    defer place.deinit();
    for (0..races) |_| {
        var race: ThreadRace = .{ .place = &place };
        const threads = [_]std.Thread{
            try .spawn(.{}, ThreadRace.run, .{ &race, 0 }),
            try .spawn(.{}, ThreadRace.run, .{ &race, 1 }),
        };
        for (threads) |thread| thread.join();
        try testing.expectEqual(1, race.winners());
        for (&race.results, race.owners) |*result, owner| {
            if (result.*) |*claim| {
                try place.expectAnswer("pong", claim.listener());
                place.release(claim);
            } else |failure| {
                try testing.expectEqual(error.AlreadyServed, failure);
                try testing.expectEqual(place.system.processId(), owner);
            }
        }
        try testing.expectEqual(0, place.scratch.entries("run"));
    }
}

const ThreadRace = struct {
    place: *Place,
    /// How many are ready. Acquire and release, so that they see what the test has prepared.
    ready: std.atomic.Value(u32) = .init(0),
    results: [2]ClaimError!Claim = @splat(error.Unexpected),
    owners: [2]i32 = @splat(0),

    fn run(race: *ThreadRace, index: usize) void {
        var system: sys.System = .{};
        const options: Options = .{ .owner = &race.owners[index] };
        _ = race.ready.fetchAdd(1, .acq_rel);
        while (race.ready.load(.acquire) < race.results.len) system.yield();
        race.results[index] = Claim.make(&system, &race.place.directory, "pong", options);
    }

    fn winners(race: *const ThreadRace) usize {
        var count: usize = 0;
        for (race.results) |result| count += @intFromBool(if (result) |_| true else |_| false);
        return count;
    }
};

test "of two processes that claim a name at the same moment one gets it, after a kill as well" {
    var place = try Place.init();
    defer place.deinit();
    for (0..races) |round| {
        var children = [_]Forked{
            try Forked.start(claimInChild, &place),
            try Forked.start(claimInChild, &place),
        };
        for (children) |child| try testing.expectEqual(child_ready, child.hear());
        for (children) |child| child.say(1);
        // Each says who serves: itself, if it has won.
        const owners = [_]i32{ children[0].hear(), children[1].hear() };
        try testing.expectEqual(owners[0], owners[1]);
        const winner: usize = if (owners[0] == children[0].pid) 0 else 1;
        try testing.expectEqual(children[winner].pid, owners[0]);
        try place.expectState("pong", .live, children[winner].pid);
        children[1 - winner].finish();
        // Every other round leaves the next one what a killed owner leaves.
        if (round % 2 == 0) children[winner].finish() else children[winner].kill();
        try testing.expectEqual((round % 2) * 2, place.scratch.entries("run"));
    }
}

const child_ready = 1;

fn claimInChild(parent: Forked.Channel, place: *Place) void {
    var owner: i32 = -1;
    parent.say(child_ready);
    _ = parent.hear();
    const options: Options = .{ .owner = &owner };
    if (Claim.make(&place.system, &place.directory, "pong", options)) |made| {
        var claim = made;
        parent.say(place.system.processId());
        _ = parent.hear();
        claim.release(&place.system);
    } else |failure| {
        parent.say(if (failure == error.AlreadyServed) owner else -1);
        _ = parent.hear();
    }
}

test "the name of a killed owner can be claimed again at once" {
    var place = try Place.init();
    defer place.deinit();
    var child = try Forked.start(claimInChild, &place);
    try testing.expectEqual(child_ready, child.hear());
    child.say(1);
    try testing.expectEqual(child.pid, child.hear());
    try place.expectRefused("pong", error.AlreadyServed, child.pid);
    child.kill();
    try place.expectState("pong", .stale, 0);
    try testing.expectError(error.Refused, place.connect("pong"));
    var claim = try place.claim("pong");
    try place.expectAnswer("pong", claim.listener());
    place.release(&claim);
    try testing.expectEqual(0, place.scratch.entries("run"));
}

test "a process forked from the owner does not take the service down" {
    var place = try Place.init();
    defer place.deinit();
    var claim = try place.claim("pong");
    defer place.release(&claim);
    var inherited: Inherited = .{ .place = &place, .claim = claim };
    var child = try Forked.start(Inherited.release, &inherited);
    try testing.expectEqual(1, child.hear());
    child.finish();
    try place.expectState("pong", .live, place.system.processId());
    try place.expectAnswer("pong", claim.listener());
}

const Inherited = struct {
    place: *Place,
    claim: Claim,

    fn release(parent: Forked.Channel, inherited: *Inherited) void {
        inherited.place.release(&inherited.claim);
        parent.say(1);
    }
};

test "users of a shared directory cannot take each other's names" {
    try Scratch.needRoot("only root can act as several users");
    var place = try Place.initWith(0o1777, .{ .shared = true });
    defer place.deinit();
    place.scratch.setMode("", 0o711);
    var owner: AnotherUser = .{ .place = &place, .uid = 12345 };
    var child = try Forked.start(AnotherUser.claim, &owner);
    try testing.expectEqual(1, child.hear());

    var other: AnotherUser = .{ .place = &place, .uid = 12346 };
    var rival = try Forked.start(AnotherUser.rival, &other);
    try testing.expectEqual(@intFromError(@as(ClaimError, error.LockOwner)), rival.hear());
    try testing.expectEqual(@intFromError(@as(ConnectError, error.Permission)), rival.hear());
    try testing.expectEqual(@intFromEnum(State.unknown), rival.hear());
    rival.finish();
    child.kill();

    // What the dead one left is still its own.
    rival = try Forked.start(AnotherUser.rival, &other);
    try testing.expectEqual(@intFromError(@as(ClaimError, error.LockOwner)), rival.hear());
    rival.finish();
    try testing.expectEqual(2, place.scratch.entries("run"));
}

const AnotherUser = struct {
    place: *Place,
    uid: u32,

    fn become(user: *AnotherUser) void {
        if (std.c.setgid(user.uid) != 0) @panic("cannot change group");
        if (std.c.setuid(user.uid) != 0) @panic("cannot change user");
    }

    fn claim(parent: Forked.Channel, user: *AnotherUser) void {
        user.become();
        _ = user.place.claim("pong") catch return parent.say(-1);
        parent.say(1);
        _ = parent.hear();
    }

    fn rival(parent: Forked.Channel, user: *AnotherUser) void {
        user.become();
        const place = user.place;
        if (place.claim("pong")) |_| {} else |failure| parent.say(@intFromError(failure));
        if (place.connect("pong")) |_| {} else |failure| parent.say(@intFromError(failure));
        const service = inspect(&place.system, &place.directory, "pong") catch return;
        parent.say(@intFromEnum(service.state));
    }
};
