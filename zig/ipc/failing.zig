//! The real system, but that one chosen call fails, or that something happens in one chosen
//! moment, so that tests reach every way out of a function and see what only a race would show.
//!
//! Calls that can fail are counted. The one numbered `at` does not reach the real system but
//! answers with the error numbered `error_index` of its set; with an index past the set's end it
//! goes through, and `exhausted` says so.

const std = @import("std");
const sys = @import("sys");
const Fd = sys.Fd;

pub const FailingSystem = struct {
    at: usize = std.math.maxInt(usize),
    error_index: usize = 0,
    calls: usize = 0,
    exhausted: bool = false,
    failure: sys.Failure = .{},
    real: sys.System = .{},
    meanwhile: ?Meanwhile = null,

    /// What happens, once, when the first call of `syscall` has come back.
    pub const Meanwhile = struct {
        syscall: enum { connect, poll },
        context: *anyopaque,
        run: *const fn (context: *anyopaque) void,
    };

    pub fn openDirectory(system: *FailingSystem, path: []const u8) sys.OpenDirectoryError!Fd {
        try system.trip(sys.OpenDirectoryError);
        return system.real.openDirectory(path);
    }

    pub fn makeDirectory(
        system: *FailingSystem,
        path: []const u8,
        mode: u32,
    ) sys.MakeDirectoryError!void {
        try system.trip(sys.MakeDirectoryError);
        return system.real.makeDirectory(path, mode);
    }

    pub fn statPath(system: *FailingSystem, path: []const u8) sys.StatError!sys.Stat {
        try system.trip(sys.StatError);
        return system.real.statPath(path);
    }

    pub fn statAt(system: *FailingSystem, dir: Fd, name: []const u8) sys.StatError!sys.Stat {
        try system.trip(sys.StatError);
        return system.real.statAt(dir, name);
    }

    pub fn statFd(system: *FailingSystem, fd: Fd) sys.StatError!sys.Stat {
        try system.trip(sys.StatError);
        return system.real.statFd(fd);
    }

    pub fn openLock(system: *FailingSystem, dir: Fd, name: []const u8) sys.OpenFileError!Fd {
        try system.trip(sys.OpenFileError);
        return system.real.openLock(dir, name);
    }

    pub fn openRead(system: *FailingSystem, dir: Fd, name: []const u8) sys.OpenFileError!Fd {
        try system.trip(sys.OpenFileError);
        return system.real.openRead(dir, name);
    }

    pub fn lockTake(system: *FailingSystem, fd: Fd) sys.LockError!bool {
        try system.trip(sys.LockError);
        return system.real.lockTake(fd);
    }

    pub fn lockHeld(system: *FailingSystem, fd: Fd) sys.LockError!bool {
        try system.trip(sys.LockError);
        return system.real.lockHeld(fd);
    }

    pub fn unlinkAt(system: *FailingSystem, dir: Fd, name: []const u8) sys.UnlinkError!void {
        try system.trip(sys.UnlinkError);
        return system.real.unlinkAt(dir, name);
    }

    pub fn setMode(
        system: *FailingSystem,
        dir: Fd,
        name: []const u8,
        mode: u32,
    ) sys.SetModeError!void {
        try system.trip(sys.SetModeError);
        return system.real.setMode(dir, name, mode);
    }

    pub fn readAll(system: *FailingSystem, fd: Fd, buffer: []u8) sys.ReadError![]u8 {
        try system.trip(sys.ReadError);
        return system.real.readAll(fd, buffer);
    }

    /// Where it fails, half has been written.
    pub fn writeAll(system: *FailingSystem, fd: Fd, bytes: []const u8) sys.WriteError!void {
        errdefer system.real.writeAll(fd, bytes[0 .. bytes.len / 2]) catch {};
        try system.trip(sys.WriteError);
        return system.real.writeAll(fd, bytes);
    }

    pub fn socket(system: *FailingSystem) sys.SocketError!Fd {
        try system.trip(sys.SocketError);
        return system.real.socket();
    }

    pub fn bind(system: *FailingSystem, fd: Fd, path: []const u8) sys.BindError!void {
        try system.trip(sys.BindError);
        return system.real.bind(fd, path);
    }

    pub fn listen(system: *FailingSystem, fd: Fd, backlog: u31) sys.ListenError!void {
        try system.trip(sys.ListenError);
        return system.real.listen(fd, backlog);
    }

    pub fn connect(system: *FailingSystem, fd: Fd, path: []const u8) sys.ConnectError!void {
        defer system.happen(.connect);
        try system.trip(sys.ConnectError);
        return system.real.connect(fd, path);
    }

    pub fn credentials(
        system: *FailingSystem,
        fd: Fd,
    ) sys.CredentialsError!sys.Credentials {
        try system.trip(sys.CredentialsError);
        return system.real.credentials(fd);
    }

    pub fn poll(
        system: *FailingSystem,
        fds: []sys.PollFd,
        timeout_ns: ?u64,
    ) sys.PollError!usize {
        defer system.happen(.poll);
        try system.trip(sys.PollError);
        return system.real.poll(fds, timeout_ns);
    }

    pub fn access(system: *FailingSystem, fd: Fd) sys.AccessError!sys.Access {
        try system.trip(sys.AccessError);
        return system.real.access(fd);
    }

    // What cannot fail.

    pub fn close(system: *FailingSystem, fd: Fd) void {
        system.real.close(fd);
    }

    pub fn monotonic(system: *FailingSystem) u64 {
        return system.real.monotonic();
    }

    pub fn processId(system: *FailingSystem) i32 {
        return system.real.processId();
    }

    pub fn processAlive(system: *FailingSystem, pid: i32) bool {
        return system.real.processAlive(pid);
    }

    pub fn userId(system: *FailingSystem) u32 {
        return system.real.userId();
    }

    fn happen(system: *FailingSystem, syscall: @FieldType(Meanwhile, "syscall")) void {
        const meanwhile = system.meanwhile orelse return;
        if (meanwhile.syscall != syscall) return;
        system.meanwhile = null;
        meanwhile.run(meanwhile.context);
    }

    fn trip(system: *FailingSystem, comptime Set: type) Set!void {
        defer system.calls += 1;
        if (system.calls != system.at) return;
        inline for (@typeInfo(Set).error_set.?, 0..) |member, index| {
            if (index == system.error_index) return @field(Set, member.name);
        }
        system.exhausted = true;
    }

    /// Runs `attempt(context, system)` once for every error of every call that it makes. Whatever
    /// comes of it, `attempt` must leave behind what it found.
    pub fn forEach(context: anytype, comptime attempt: anytype) !void {
        var at: usize = 0;
        while (true) : (at += 1) {
            var error_index: usize = 0;
            while (true) : (error_index += 1) {
                var system: FailingSystem = .{ .at = at, .error_index = error_index };
                attempt(context, &system) catch |failure| {
                    std.debug.print("with error {d} of call {d}\n", .{ error_index, at });
                    return failure;
                };
                if (system.calls <= at) return;
                if (system.exhausted) break;
            }
        }
    }
};
