//! The lock of a service: the file `NAME.lock` beside its socket, held for as long as it serves.
//!
//! It is the kernel's lock on an open file, not the file's existence, that counts: it goes when its
//! owner does, however that ends. The file holds the owner's process id, for people to read. One that
//! holds anything else is somebody's own, as `yarn.lock` may be where a service `yarn` would have its
//! lock: it is neither written to nor taken away.
//!
//!     take     open, lock, look again whether the name still leads to the file that was locked
//!     release  take the file away, then close it
//!
//! A release takes the file away under whoever has just opened it and waits for nothing but the
//! lock; the second look is what keeps such a one from holding the lock of a file nobody can find.

const std = @import("std");
const sys = @import("sys");
const name_rules = @import("name.zig");

/// How often `take` begins anew because the file was taken away meanwhile. Each time means that an
/// owner has ended in just that moment; so many in a row are owners that come and go without pause.
pub const take_attempts_max = 100;

/// How long a refused claimant waits for the owner to write its process id, which it does first
/// thing. Far more than that takes on a busy machine, and bearable before an error message.
pub const owner_wait_ns_max = std.time.ns_per_s;
const owner_wait_step_ns = std.time.ns_per_ms;

pub const TakeError = error{
    NameInvalid,
    /// Somebody serves the name.
    AlreadyServed,
    /// What is called `NAME.lock` is not a plain file.
    LockNotFile,
    /// The lock file belongs to somebody else, or has further names.
    LockOwner,
    /// What is called `NAME.lock` holds something else than a lock does.
    LockForeign,
    /// The run directory has been taken away since it was opened.
    DirectoryGone,
    Permission,
    NoSpace,
    DescriptorLimit,
    Unexpected,
};

pub const TakeOverError = error{
    NameInvalid,
    /// It is not what holds the lock of this name.
    NotService,
    NoSpace,
    Unexpected,
};

pub const InspectError = error{
    NameInvalid,
    LockNotFile,
    LockForeign,
    Permission,
    DescriptorLimit,
    Unexpected,
};

pub const Holder = union(enum) {
    free,
    /// The owner's process id; 0 if it cannot be told, or not yet.
    held: i32,
};

/// A lock that is held. It owns its descriptor, and borrows that of the directory.
pub const Lock = struct {
    descriptor: sys.Fd,
    directory: sys.Fd,
    identity: sys.Stat,
    /// Who took it. A process forked from that one has the descriptor too, but must not give up
    /// what is not its own.
    process: i32,
    file_name: FileName,

    /// Takes the lock of `name` below the open directory, and never waits for it. After
    /// `AlreadyServed`, `owner` has the owner's process id, or 0 if it cannot be told.
    pub fn take(
        system: anytype,
        directory: sys.Fd,
        service_name: []const u8,
        owner: *i32,
    ) TakeError!Lock {
        owner.* = 0;
        const file_name = try FileName.of(service_name);
        for (0..take_attempts_max) |_| {
            return try attempt(system, directory, file_name, owner) orelse continue;
        }
        system.failure = .{};
        return error.AlreadyServed;
    }

    /// Goes on with a lock that another process holds, by a copy of its descriptor: the lock belongs to what both stand
    /// for, and is held until both are closed. On failure the copy stays the caller's.
    pub fn takeOver(
        system: anytype,
        directory: sys.Fd,
        service_name: []const u8,
        fd: sys.Fd,
    ) TakeOverError!Lock {
        const file_name = try FileName.of(service_name);
        // Who may not read and write it cannot hold the lock, and is told so by the system in the words for a descriptor
        // that is not open.
        const access = system.access(fd) catch return error.NotService;
        if (!access.reads or !access.writes) return error.NotService;
        const identity = system.statFd(fd) catch return error.NotService;
        if (!leadsTo(system, directory, file_name.text(), identity)) return error.NotService;
        if (identity.uid != system.userId() or !try system.lockTake(fd)) return error.NotService;
        if (try readText(system, fd) == .foreign) return error.NotService;
        try writeOwner(system, fd);
        return .{
            .descriptor = fd,
            .directory = directory,
            .identity = identity,
            .process = system.processId(),
            .file_name = file_name,
        };
    }

    pub fn release(lock: *Lock, system: anytype) void {
        if (lock.isOwn(system) and lock.isUnchanged(system)) {
            // Left behind, the file does no harm: nobody holds a lock on it.
            system.unlinkAt(lock.directory, lock.file_name.text()) catch {};
        }
        system.close(lock.descriptor);
        lock.* = undefined;
    }

    pub fn isOwn(lock: *const Lock, system: anytype) bool {
        return lock.process == system.processId();
    }

    /// Whether another process, which goes on with a copy, has written its number over ours.
    pub fn wasTakenOver(lock: *const Lock, system: anytype) bool {
        return switch (readText(system, lock.descriptor) catch return false) {
            .owner => |owner| owner != lock.process and system.processAlive(owner),
            .nothing, .foreign => false,
        };
    }

    /// Whether the file is still where it was made, and still ours: who does not know of us may have
    /// put something of its own into it since.
    fn isUnchanged(lock: *const Lock, system: anytype) bool {
        if (!leadsTo(system, lock.directory, lock.file_name.text(), lock.identity)) return false;
        return switch (readText(system, lock.descriptor) catch return false) {
            .owner => |owner| owner == lock.process,
            .nothing, .foreign => false,
        };
    }

    /// The name of the service.
    pub fn name(lock: *const Lock) []const u8 {
        const text = lock.file_name.text();
        return text[0 .. text.len - name_rules.lock_ending.len];
    }
};

/// Tells who holds the lock, without taking it even for a moment: a service that starts meanwhile
/// is not refused because somebody looked.
pub fn inspect(system: anytype, directory: sys.Fd, name: []const u8) InspectError!Holder {
    const file_name = try FileName.of(name);
    const fd = system.openRead(directory, file_name.text()) catch |failure| switch (failure) {
        error.NotFound => return .free,
        error.NotFile => return error.LockNotFile,
        error.Permission => return error.Permission,
        error.DescriptorLimit => return error.DescriptorLimit,
        error.NoSpace, error.PathTooLong, error.Unexpected => return error.Unexpected,
    };
    defer system.close(fd);
    if (!try system.lockHeld(fd)) return .free;
    return switch (readText(system, fd) catch .nothing) {
        .owner => |owner| .{ .held = if (system.processAlive(owner)) owner else 0 },
        .nothing => .{ .held = 0 },
        .foreign => error.LockForeign,
    };
}

/// Whether `name` in the directory stands for the very thing that `identity` was read from.
pub fn leadsTo(system: anytype, directory: sys.Fd, name: []const u8, identity: sys.Stat) bool {
    const found = system.statAt(directory, name) catch return false;
    return found.same(identity);
}

const FileName = struct {
    bytes: [name_rules.name_bytes_max + name_rules.lock_ending.len]u8,
    length: u8,

    fn of(name: []const u8) error{NameInvalid}!FileName {
        try name_rules.check(name);
        var file_name: FileName = .{ .bytes = undefined, .length = undefined };
        const all = std.fmt.bufPrint(&file_name.bytes, "{s}" ++ name_rules.lock_ending, .{name});
        file_name.length = @intCast((all catch unreachable).len);
        return file_name;
    }

    fn text(file_name: *const FileName) []const u8 {
        return file_name.bytes[0..file_name.length];
    }
};

/// Null if the file was taken away before it could be locked.
fn attempt(
    system: anytype,
    directory: sys.Fd,
    file_name: FileName,
    owner: *i32,
) TakeError!?Lock {
    const file = file_name.text();
    const fd = try openLock(system, directory, file);
    const lock = lockOpen(system, directory, file_name, fd, owner) catch |failure| {
        system.close(fd);
        return failure;
    };
    if (lock == null) system.close(fd);
    return lock;
}

fn openLock(system: anytype, directory: sys.Fd, file: []const u8) TakeError!sys.Fd {
    return system.openLock(directory, file) catch |failure| switch (failure) {
        error.NotFound => error.DirectoryGone,
        error.NotFile => error.LockNotFile,
        error.Permission => whyDenied(system, directory, file),
        error.NoSpace => error.NoSpace,
        error.DescriptorLimit => error.DescriptorLimit,
        error.PathTooLong, error.Unexpected => error.Unexpected,
    };
}

/// The system has refused to open the file; this only finds the right word for it. Linux denies
/// even root what belongs to others in a directory with the sticky bit (sysctl
/// fs.protected_regular).
fn whyDenied(system: anytype, directory: sys.Fd, file: []const u8) TakeError {
    const denied = system.failure;
    defer system.failure = denied;
    const found = system.statAt(directory, file) catch return error.Permission;
    if (found.kind != .file) return error.LockNotFile;
    if (found.uid != system.userId()) return error.LockOwner;
    return error.Permission;
}

fn lockOpen(
    system: anytype,
    directory: sys.Fd,
    file_name: FileName,
    fd: sys.Fd,
    owner: *i32,
) TakeError!?Lock {
    const identity = system.statFd(fd) catch return error.Unexpected;
    // A file with several names may be anything that somebody has linked to here, to have us write
    // over it. Without any, its owner has just taken it away, which shows below.
    if (identity.uid != system.userId() or identity.links > 1) {
        system.failure = .{};
        return error.LockOwner;
    }
    if (!try system.lockTake(fd)) {
        defer system.failure = .{};
        owner.* = try awaitOwner(system, fd);
        return error.AlreadyServed;
    }
    const found = system.statAt(directory, file_name.text()) catch |failure| switch (failure) {
        error.NotFound => return null,
        error.Permission => return error.Permission,
        error.PathTooLong, error.Unexpected => return error.Unexpected,
    };
    if (!found.same(identity)) return null;
    if (try readText(system, fd) == .foreign) {
        system.failure = .{};
        return error.LockForeign;
    }

    // From here on the file is ours, and goes if we do not keep it.
    errdefer system.unlinkAt(directory, file_name.text()) catch {};
    try writeOwner(system, fd);
    return .{
        .descriptor = fd,
        .directory = directory,
        .identity = identity,
        .process = system.processId(),
        .file_name = file_name,
    };
}

fn writeOwner(system: anytype, fd: sys.Fd) sys.WriteError!void {
    var buffer: [owner_bytes_max]u8 = undefined;
    const text = std.fmt.bufPrint(&buffer, "{d}\n", .{system.processId()}) catch unreachable;
    // Whoever is killed here leaves nothing, or a whole line: a shorter one with rests of the last
    // owner's behind it would be taken for somebody else's file by the next.
    try system.writeAll(fd, "");
    try system.writeAll(fd, text);
}

/// A process id in decimal, and the end of its line.
const owner_bytes_max = "2147483647\n".len;

/// The owner's process id, for which it waits a little if the owner has only just come. 0 if it stays
/// unknown, as that of an owner in another container does, whose number means nothing here.
fn awaitOwner(system: anytype, fd: sys.Fd) error{LockForeign}!i32 {
    const deadline = system.monotonic() + owner_wait_ns_max;
    while (true) {
        const text = readText(system, fd) catch .nothing;
        if (text == .owner and system.processAlive(text.owner)) return text.owner;
        if (system.monotonic() >= deadline) return if (text == .foreign) error.LockForeign else 0;
        _ = system.poll(&.{}, owner_wait_step_ns) catch return 0;
    }
}

/// What a lock file holds.
const Text = union(enum) {
    /// Its owner has not written yet.
    nothing,
    /// The process id of its owner, who may be dead.
    owner: i32,
    /// What no owner writes.
    foreign,
};

fn readText(system: anytype, fd: sys.Fd) sys.ReadError!Text {
    // One byte more than any of ours, so that a longer file does not pass for its beginning.
    var buffer: [owner_bytes_max + 1]u8 = undefined;
    return parseText(try system.readAll(fd, &buffer));
}

fn parseText(text: []const u8) Text {
    if (text.len == 0) return .nothing;
    if (text[text.len - 1] != '\n') return .foreign;
    const digits = text[0 .. text.len - 1];
    for (digits) |byte| if (!std.ascii.isDigit(byte)) return .foreign;
    const owner = std.fmt.parseInt(i32, digits, 10) catch return .foreign;
    return if (owner > 0) .{ .owner = owner } else .foreign;
}

const testing = std.testing;
const Scratch = @import("scratch.zig").Scratch;
const FailingSystem = @import("failing.zig").FailingSystem;
const Forked = @import("forked.zig").Forked;
const RunDirectory = @import("run_directory.zig").RunDirectory;

/// A run directory for one test.
const Place = struct {
    scratch: Scratch,
    system: sys.System = .{},
    directory: RunDirectory,

    fn init() !Place {
        var place: Place = .{ .scratch = try .init(), .directory = undefined };
        errdefer place.scratch.deinit();
        const path = place.scratch.path("run");
        place.directory = try RunDirectory.open(&place.system, path, .{ .make = true });
        return place;
    }

    fn deinit(place: *Place) void {
        place.directory.close(&place.system);
        place.scratch.deinit();
    }

    fn take(place: *Place, name: []const u8) TakeError!Lock {
        var owner: i32 = undefined;
        return Lock.take(&place.system, place.directory.descriptor, name, &owner);
    }

    fn holder(place: *Place, name: []const u8) InspectError!Holder {
        return inspect(&place.system, place.directory.descriptor, name);
    }
};

test "a lock is held by one, says whose it is, and leaves nothing behind" {
    var place = try Place.init();
    defer place.deinit();
    const own = place.system.processId();
    try testing.expectEqual(.free, try place.holder("pong"));
    try testing.expectEqual(0, place.scratch.entries("run"));

    var lock = try place.take("pong");
    try testing.expectEqualStrings("pong", lock.name());
    try testing.expectEqual(Holder{ .held = own }, try place.holder("pong"));
    try testing.expectEqual(.free, try place.holder("ping"));
    const stat = try place.system.statPath(place.scratch.path("run/pong.lock"));
    try testing.expectEqual(0o600, stat.mode);
    var owner: i32 = undefined;
    try testing.expectError(
        error.AlreadyServed,
        Lock.take(&place.system, place.directory.descriptor, "pong", &owner),
    );
    try testing.expectEqual(own, owner);
    var other = try place.take("ping");
    other.release(&place.system);

    lock.release(&place.system);
    try testing.expectEqual(.free, try place.holder("pong"));
    try testing.expectEqual(0, place.scratch.entries("run"));
    lock = try place.take("pong");
    lock.release(&place.system);
}

test "a name that would leave the directory is refused first" {
    var place = try Place.init();
    defer place.deinit();
    try testing.expectError(error.NameInvalid, place.take("../pong"));
    try testing.expectError(error.NameInvalid, place.holder("../pong"));
    try testing.expect(!place.scratch.exists("pong.lock"));
}

test "what a dead owner has left is written over, however long it is" {
    var place = try Place.init();
    defer place.deinit();
    for ([_][]const u8{ "", "1\n", "2147483647\n" }) |text| {
        place.scratch.file("run/pong.lock", text);
        var lock = try place.take("pong");
        var expected: [owner_bytes_max]u8 = undefined;
        var buffer: [64]u8 = undefined;
        try testing.expectEqualStrings(
            try std.fmt.bufPrint(&expected, "{d}\n", .{place.system.processId()}),
            place.scratch.read("run/pong.lock", &buffer),
        );
        lock.release(&place.system);
        try testing.expectEqual(0, place.scratch.entries("run"));
    }
}

/// What is in files that happen to be called as a lock would be.
const foreign_texts = [_][]const u8{
    "# yarn lockfile v1\n", "x",             "x\n",            "12",                     "12\n\n", "12\n34\n", "\n",
    "0\n",                  "-1\n",          "+7\n",           " 7\n",                   "1_0\n",  "7\r\n",    "\x00",
    "2147483648\n",         "99999999999\n", "2147483647\n\n", "2147483647\nand more\n",
};

test "a file that is no lock is neither written to nor taken away" {
    var place = try Place.init();
    defer place.deinit();
    for (foreign_texts) |text| {
        place.scratch.file("run/pong.lock", text);
        const before = try place.system.statPath(place.scratch.path("run/pong.lock"));
        try testing.expectError(error.LockForeign, place.take("pong"));
        try testing.expectEqual(.free, try place.holder("pong"));
        var buffer: [64]u8 = undefined;
        try testing.expectEqualStrings(text, place.scratch.read("run/pong.lock", &buffer));
        const after = try place.system.statPath(place.scratch.path("run/pong.lock"));
        try testing.expectEqual(before, after);
    }
}

test "a file that is no lock is none while somebody else has locked it" {
    var place = try Place.init();
    defer place.deinit();
    place.scratch.file("run/pong.lock", "# yarn lockfile v1\n");
    const fd = try place.system.openLock(place.directory.descriptor, "pong.lock");
    defer place.system.close(fd);
    try testing.expect(try place.system.lockTake(fd));
    try testing.expectError(error.LockForeign, place.take("pong"));
    try testing.expectError(error.LockForeign, place.holder("pong"));
}

test "a lock file that somebody has since written to is left to him" {
    var place = try Place.init();
    defer place.deinit();
    for ([_][]const u8{ "# yarn lockfile v1\n", "" }) |text| {
        var lock = try place.take("pong");
        place.scratch.file("run/pong.lock", text);
        lock.release(&place.system);
        var buffer: [64]u8 = undefined;
        try testing.expectEqualStrings(text, place.scratch.read("run/pong.lock", &buffer));
        place.scratch.remove("run/pong.lock");
    }
}

test "what is not a plain file is refused and stays" {
    var place = try Place.init();
    defer place.deinit();
    place.scratch.file("kept", "kept");
    place.scratch.link("kept", "run/link.lock");
    place.scratch.link("missing", "run/dangling.lock");
    place.scratch.makeDirectory("run/directory.lock", 0o700);
    place.scratch.pipe("run/pipe.lock");
    for ([_][]const u8{ "link", "dangling", "directory", "pipe" }) |name| {
        try testing.expectError(error.LockNotFile, place.take(name));
    }
    for ([_][]const u8{ "link", "dangling", "directory", "pipe" }) |name| {
        try testing.expectError(error.LockNotFile, place.holder(name));
    }
    try testing.expectEqual(4, place.scratch.entries("run"));
    try testing.expect(!place.scratch.exists("missing"));
    var buffer: [8]u8 = undefined;
    try testing.expectEqualStrings("kept", place.scratch.read("kept", &buffer));
}

test "a file with a second name is not written to" {
    var place = try Place.init();
    defer place.deinit();
    place.scratch.file("precious", "kept");
    place.scratch.hardLink("precious", "run/pong.lock");
    try testing.expectError(error.LockOwner, place.take("pong"));
    var buffer: [8]u8 = undefined;
    try testing.expectEqualStrings("kept", place.scratch.read("precious", &buffer));
}

test "another user's lock file is refused and stays" {
    try Scratch.needRoot("only root can give a file away");
    var place = try Place.init();
    defer place.deinit();
    place.scratch.file("run/pong.lock", "1\n");
    place.scratch.give("run/pong.lock", 12345);
    try testing.expectError(error.LockOwner, place.take("pong"));
    // The same where the system itself denies it, as it does with fs.protected_regular.
    place.scratch.setMode("run", 0o1777);
    try testing.expectError(error.LockOwner, place.take("pong"));
    try testing.expect(place.scratch.exists("run/pong.lock"));
}

test "a directory that is gone has no locks" {
    var place = try Place.init();
    defer place.deinit();
    place.scratch.remove("run");
    try testing.expectError(error.DirectoryGone, place.take("pong"));
    try testing.expectEqual(.free, try place.holder("pong"));
}

test "a lock whose file was taken away does not take away another's" {
    var place = try Place.init();
    defer place.deinit();
    var first = try place.take("pong");
    place.scratch.remove("run/pong.lock");
    var second = try place.take("pong");
    first.release(&place.system);
    try testing.expect(place.scratch.exists("run/pong.lock"));
    try testing.expectError(error.AlreadyServed, place.take("pong"));
    second.release(&place.system);
    try testing.expectEqual(0, place.scratch.entries("run"));
}

test "an owner that has not written its process id is unknown" {
    var place = try Place.init();
    defer place.deinit();
    const fd = try place.system.openLock(place.directory.descriptor, "pong.lock");
    defer place.system.close(fd);
    try testing.expect(try place.system.lockTake(fd));
    try testing.expectEqual(Holder{ .held = 0 }, try place.holder("pong"));
}

test "an owner that writes its process id late is waited for" {
    var place = try Place.init();
    defer place.deinit();
    var late: LateOwner = .{
        .fd = try place.system.openLock(place.directory.descriptor, "pong.lock"),
    };
    defer place.system.close(late.fd);
    try testing.expect(try place.system.lockTake(late.fd));
    var system: FailingSystem = .{
        .meanwhile = .{ .syscall = .poll, .context = &late, .run = LateOwner.write },
    };
    var owner: i32 = undefined;
    try testing.expectError(
        error.AlreadyServed,
        Lock.take(&system, place.directory.descriptor, "pong", &owner),
    );
    try testing.expectEqual(place.system.processId(), owner);
}

const LateOwner = struct {
    fd: sys.Fd,

    fn write(context: *anyopaque) void {
        const late: *LateOwner = @ptrCast(@alignCast(context));
        var system: sys.System = .{};
        var buffer: [owner_bytes_max]u8 = undefined;
        const text = std.fmt.bufPrint(&buffer, "{d}\n", .{system.processId()});
        system.writeAll(late.fd, text catch unreachable) catch @panic("not written");
    }
};

test "the lock of a killed owner is free at once, and its number is nobody's" {
    var place = try Place.init();
    defer place.deinit();
    var child = try Forked.start(takeInChild, &place);
    try testing.expectEqual(1, child.hear());
    try testing.expectEqual(Holder{ .held = child.pid }, try place.holder("pong"));
    child.kill();
    try testing.expect(place.scratch.exists("run/pong.lock"));
    try testing.expectEqual(.free, try place.holder("pong"));

    // Held again, but not yet written anew: the dead owner is not named.
    const fd = try place.system.openLock(place.directory.descriptor, "pong.lock");
    try testing.expect(try place.system.lockTake(fd));
    try testing.expectEqual(Holder{ .held = 0 }, try place.holder("pong"));
    place.system.close(fd);

    var lock = try place.take("pong");
    lock.release(&place.system);
    try testing.expectEqual(0, place.scratch.entries("run"));
}

fn takeInChild(child: Forked.Channel, place: *Place) void {
    _ = place.take("pong") catch return child.say(0);
    child.say(1);
    _ = child.hear();
}

test "a process forked from the owner does not give up the owner's lock" {
    var place = try Place.init();
    defer place.deinit();
    var lock = try place.take("pong");
    var context: Inherited = .{ .place = &place, .lock = lock };
    var child = try Forked.start(Inherited.release, &context);
    try testing.expectEqual(1, child.hear());
    child.finish();
    try testing.expect(place.scratch.exists("run/pong.lock"));
    try testing.expectError(error.AlreadyServed, place.take("pong"));
    lock.release(&place.system);
    try testing.expect(!place.scratch.exists("run/pong.lock"));
}

const Inherited = struct {
    place: *Place,
    lock: Lock,

    fn release(child: Forked.Channel, inherited: *Inherited) void {
        inherited.lock.release(&inherited.place.system);
        child.say(1);
    }
};

test "a lock that comes and goes is never held by two at once" {
    var place = try Place.init();
    defer place.deinit();
    var crowd: Crowd = .{ .place = &place };
    var threads: [4]std.Thread = undefined;
    for (&threads) |*thread| thread.* = try std.Thread.spawn(.{}, Crowd.run, .{&crowd});
    for (threads) |thread| thread.join();
    try testing.expectEqual(0, crowd.mistakes.load(.acquire));
    try testing.expect(crowd.taken.load(.acquire) > 0);
    try testing.expectEqual(0, place.scratch.entries("run"));
}

const Crowd = struct {
    place: *Place,
    // Nothing but their own values is read through these; the end of the threads orders the rest.
    holders: std.atomic.Value(u32) = .init(0),
    mistakes: std.atomic.Value(u32) = .init(0),
    taken: std.atomic.Value(u32) = .init(0),

    const rounds = 2000;

    fn run(crowd: *Crowd) void {
        var system: sys.System = .{};
        var owner: i32 = undefined;
        for (0..rounds) |_| {
            const directory = crowd.place.directory.descriptor;
            var lock = Lock.take(&system, directory, "pong", &owner) catch |failure| {
                if (failure != error.AlreadyServed) _ = crowd.mistakes.fetchAdd(1, .monotonic);
                continue;
            };
            const others = crowd.holders.fetchAdd(1, .monotonic);
            if (others != 0) _ = crowd.mistakes.fetchAdd(1, .monotonic);
            system.yield();
            _ = crowd.holders.fetchSub(1, .monotonic);
            lock.release(&system);
            _ = crowd.taken.fetchAdd(1, .monotonic);
        }
    }
};
