//! What macOS does in its own way, and FreeBSD with it where the two agree: descriptors that are
//! made non-blocking after the fact, a pipe as wake-up, locks by flock(2), no descriptor for a
//! process.

const std = @import("std");
const builtin = @import("builtin");
const sys = @import("sys.zig");
const posix = @import("posix.zig");
const assert = std.debug.assert;
const c = std.c;

const Fd = sys.Fd;
const System = sys.System;

const is_freebsd = builtin.os.tag == .freebsd;

/// On macOS CLOCK_MONOTONIC has microseconds only, and goes on while the machine sleeps.
pub const monotonic_clock: c.clockid_t = if (is_freebsd) .MONOTONIC else .UPTIME_RAW;

/// macOS has no such flag: there the socket itself is told, in `prepareSocket`.
pub const send_flags = if (is_freebsd) c.MSG.NOSIGNAL else 0;

pub const has_launchd = !is_freebsd;

const launchd = struct {
    /// launch.h: a list that the caller frees, or an error number.
    extern "c" fn launch_activate_socket(name: [*:0]const u8, fds: *?[*]Fd, count: *usize) c_int;
};

pub fn launchSockets(
    system: *System,
    name: [*:0]const u8,
    out: *[sys.manager.launch_sockets_max]Fd,
) sys.manager.LaunchError![]Fd {
    var list: ?[*]Fd = null;
    var count: usize = 0;
    const errno = launchd.launch_activate_socket(name, &list, &count);
    if (errno != 0) {
        system.failure = .{ .errno = errno, .syscall = .launch_activate_socket };
        return switch (@as(c.E, @enumFromInt(errno))) {
            .NOENT, .SRCH => error.NotFound,
            .ALREADY => error.AlreadyServed,
            .MFILE, .NFILE => error.DescriptorLimit,
            else => error.Unexpected,
        };
    }
    defer c.free(@ptrCast(list));
    const made = if (list) |fds| fds[0..count] else &.{};
    for (made, 0..) |fd, index| {
        if (index < out.len) out[index] = fd else posix.closeDescriptor(fd);
    }
    return out[0..@min(count, out.len)];
}

pub fn openSocket() Fd {
    if (is_freebsd) return c.socket(c.AF.UNIX, c.SOCK.STREAM | c.SOCK.NONBLOCK | c.SOCK.CLOEXEC, 0);
    return prepareSocket(c.socket(c.AF.UNIX, c.SOCK.STREAM, 0));
}

pub fn openInternet(family: u32) Fd {
    if (is_freebsd) return c.socket(family, c.SOCK.STREAM | c.SOCK.NONBLOCK | c.SOCK.CLOEXEC, 0);
    return prepareSocket(c.socket(family, c.SOCK.STREAM, 0));
}

/// netinet/tcp.h and netinet6/in6.h.
pub const tcp_nodelay = 1;
pub const ipv6_only = 27;

pub fn openPair(fds: *[2]Fd) c_int {
    if (is_freebsd) {
        const kind = c.SOCK.STREAM | c.SOCK.NONBLOCK | c.SOCK.CLOEXEC;
        return c.socketpair(c.AF.UNIX, kind, 0, fds);
    }
    if (c.socketpair(c.AF.UNIX, c.SOCK.STREAM, 0, fds) != 0) return -1;
    if (prepareSocket(fds[0]) < 0) {
        posix.closeAfterFailure(fds[1]);
        return -1;
    }
    if (prepareSocket(fds[1]) < 0) {
        posix.closeAfterFailure(fds[0]);
        return -1;
    }
    return 0;
}

pub fn acceptSocket(fd: Fd) Fd {
    if (is_freebsd) return c.accept4(fd, null, null, c.SOCK.NONBLOCK | c.SOCK.CLOEXEC);
    return prepareSocket(c.accept(fd, null, null));
}

/// Gives a new socket what other systems give at birth, or closes it. Passes a failed call through.
fn prepareSocket(fd: Fd) Fd {
    if (prepare(fd) < 0) return -1;
    const on: c_int = 1;
    if (c.setsockopt(fd, c.SOL.SOCKET, c.SO.NOSIGPIPE, &on, @sizeOf(c_int)) == 0) return fd;
    // The peer of an accepted socket is gone already, which makes macOS refuse every option. What
    // it sent can still be read, and the option is there: it comes from the listening socket.
    if (posix.lastError() == .INVAL) return fd;
    posix.closeAfterFailure(fd);
    return -1;
}

pub const splices = false;

pub fn openEnds(fds: *[2]Fd) c_int {
    if (c.pipe(fds) != 0) return -1;
    if (prepare(fds[0]) < 0) {
        posix.closeAfterFailure(fds[1]);
        return -1;
    }
    if (prepare(fds[1]) < 0) {
        posix.closeAfterFailure(fds[0]);
        return -1;
    }
    return 0;
}

pub fn writeWithoutSignal(_: Fd, _: []const u8) ?isize {
    return null;
}

pub fn openPipe(_: u31) ?[2]Fd {
    return null;
}

pub fn splice(_: Fd, _: Fd, _: usize) isize {
    unreachable; // See `splices`.
}

/// A socket that was made elsewhere is to raise no signal either.
pub fn quieten(fd: Fd) void {
    const on: c_int = 1;
    if (!is_freebsd) _ = c.setsockopt(fd, c.SOL.SOCKET, c.SO.NOSIGPIPE, &on, @sizeOf(c_int));
}

fn prepare(fd: Fd) Fd {
    if (fd < 0) return -1;
    if (c.fcntl(fd, c.F.SETFD, @as(c_int, c.FD_CLOEXEC)) >= 0) {
        const nonblock: c_int = @bitCast(c.O{ .NONBLOCK = true });
        const flags = c.fcntl(fd, c.F.GETFL);
        if (flags >= 0 and c.fcntl(fd, c.F.SETFL, flags | nonblock) >= 0) return fd;
    }
    posix.closeAfterFailure(fd);
    return -1;
}

const threads = struct {
    extern "c" fn pthread_getthreadid_np() c_int;
};

/// One read, and what came beside its bytes, as far as `control` holds it.
pub fn recvMessage(fd: Fd, buffer: []u8, control: []u8, beside: *posix.Beside) isize {
    var part: std.posix.iovec = .{ .base = buffer.ptr, .len = buffer.len };
    var message: c.msghdr = .{
        .name = null,
        .namelen = 0,
        .iov = @ptrCast(&part),
        .iovlen = 1,
        .control = control.ptr,
        .controllen = @intCast(control.len),
        .flags = 0,
    };
    const count = messages.recvmsg(fd, &message, if (is_freebsd) c.MSG.CMSG_CLOEXEC else 0);
    beside.* = .{ .bytes = message.controllen, .cut = message.flags & c.MSG.CTRUNC != 0 };
    return count;
}

const messages = struct {
    extern "c" fn recvmsg(fd: Fd, message: *c.msghdr, flags: c_int) isize;
};

pub fn sendMessage(fd: Fd, parts: []const std.posix.iovec_const, control: []const u8) isize {
    const message: c.msghdr_const = .{
        .name = null,
        .namelen = 0,
        .iov = parts.ptr,
        .iovlen = @intCast(parts.len),
        .control = if (control.len == 0) null else control.ptr,
        .controllen = @intCast(control.len),
        .flags = 0,
    };
    return c.sendmsg(fd, &message, send_flags);
}

pub fn send(fd: Fd, bytes: []const u8) isize {
    return c.send(fd, bytes.ptr, bytes.len, send_flags);
}

/// What macOS and FreeBSD tell beside the bytes of a stream is asked for by nobody (LOCAL_CREDS), and passed over.
pub fn keepToBytes(_: Fd) void {}

pub fn threadId() u64 {
    if (is_freebsd) return @intCast(threads.pthread_getthreadid_np());
    var id: u64 = 0;
    assert(c.pthread_threadid_np(null, &id) == 0);
    return id;
}

pub fn processorsUsable() u32 {
    return @intCast(std.Thread.getCpuCount() catch 1);
}

/// These systems see to it by themselves, or not at all.
pub fn preferLargePages(_: []u8) void {}

pub fn pollDescriptors(fds: []sys.PollFd, timeout_ns: ?u64) c_int {
    if (is_freebsd) {
        const timeout = posix.timespecOf(timeout_ns orelse 0);
        const bound = if (timeout_ns == null) null else &timeout;
        return c.ppoll(fds.ptr, @intCast(fds.len), bound, null);
    }
    return c.poll(fds.ptr, @intCast(fds.len), posix.millisecondsOf(timeout_ns));
}

/// sys/un.h: the level and names of options of Unix sockets.
const sol_local = 0;
const local_peercred = 1;
const local_peerpid = 2;

const peers = struct {
    extern "c" fn getpeereid(fd: Fd, uid: *c.uid_t, gid: *c.gid_t) c_int;
};

pub fn credentials(system: *System, fd: Fd) sys.CredentialsError!sys.Credentials {
    var peer: sys.Credentials = .{ .uid = undefined, .gid = undefined, .pid = 0 };
    if (peers.getpeereid(fd, &peer.uid, &peer.gid) != 0) return credentialsFailed(system);
    peer.pid = if (is_freebsd) try freebsdPid(system, fd) else try darwinPid(system, fd);
    return peer;
}

fn darwinPid(system: *System, fd: Fd) sys.CredentialsError!i32 {
    var pid: i32 = 0;
    var bytes: c.socklen_t = @sizeOf(i32);
    if (c.getsockopt(fd, sol_local, local_peerpid, &pid, &bytes) == 0) return pid;
    return credentialsFailed(system);
}

fn freebsdPid(system: *System, fd: Fd) sys.CredentialsError!i32 {
    // FreeBSD's sys/ucred.h, struct xucred; the process id came with FreeBSD 13.
    var peer: extern struct {
        version: c_uint,
        uid: c.uid_t,
        groups_count: c_short,
        groups: [16]c.gid_t,
        process: extern union { none: ?*anyopaque, pid: i32 },
    } = undefined;
    var bytes: c.socklen_t = @sizeOf(@TypeOf(peer));
    if (c.getsockopt(fd, sol_local, local_peercred, &peer, &bytes) == 0) return peer.process.pid;
    return credentialsFailed(system);
}

fn credentialsFailed(system: *System) sys.CredentialsError {
    return switch (system.record(.getsockopt)) {
        .NOTCONN, .INVAL => error.NotConnected,
        else => error.Unexpected,
    };
}

pub fn processDescriptor(system: *System, fd: Fd, pid: i32) ?Fd {
    _ = system;
    _ = fd;
    _ = pid;
    return null;
}

pub fn statAt(dir: Fd, name: [*:0]const u8, stat: *sys.Stat) c_int {
    var found: c.Stat = undefined;
    if (c.fstatat(dir, name, &found, c.AT.SYMLINK_NOFOLLOW) != 0) return -1;
    stat.* = statOf(found);
    return 0;
}

pub fn statFd(fd: Fd, stat: *sys.Stat) c_int {
    var found: c.Stat = undefined;
    if (c.fstat(fd, &found) != 0) return -1;
    stat.* = statOf(found);
    return 0;
}

fn statOf(found: c.Stat) sys.Stat {
    return .{
        .kind = posix.statKindOf(found.mode),
        .uid = found.uid,
        .gid = found.gid,
        .mode = found.mode & 0o7777,
        // Signed on macOS; only ever compared with another one.
        .device = @bitCast(@as(i64, @intCast(found.dev))),
        .inode = found.ino,
        .links = std.math.lossyCast(u32, found.nlink),
        .bytes = std.math.lossyCast(u64, found.size),
    };
}

pub fn lockTake(system: *System, fd: Fd) sys.LockError!bool {
    while (c.flock(fd, c.LOCK.EX | c.LOCK.NB) != 0) {
        switch (posix.lastError()) {
            .AGAIN => return false,
            .INTR => continue,
            else => {},
        }
        _ = system.record(.flock);
        return error.Unexpected;
    }
    return true;
}

/// The kernel keeps both kinds of lock in one list, so F_GETLK sees those of flock. To it the
/// holder's own descriptor is no exception: who holds the lock must not ask.
pub fn lockHeld(system: *System, fd: Fd) sys.LockError!bool {
    var lock = std.mem.zeroes(c.Flock);
    lock.type = c.F.WRLCK;
    lock.whence = c.SEEK.SET;
    if (c.fcntl(fd, c.F.GETLK, &lock) != 0) {
        _ = system.record(.fcntl);
        return error.Unexpected;
    }
    return lock.type != c.F.UNLCK;
}

/// A descriptor that any thread can make readable. Any number of rings make one wake-up.
pub const Wake = struct {
    source: Fd,
    target: Fd,

    /// How many it holds.
    pub const descriptors = 2;

    pub fn create(system: *System) sys.WakeError!Wake {
        var fds: [2]Fd = undefined;
        if (openEnds(&fds) != 0) return createFailed(system);
        return .{ .source = fds[1], .target = fds[0] };
    }

    fn createFailed(system: *System) sys.WakeError {
        return switch (system.record(.pipe)) {
            .MFILE, .NFILE, .NOMEM, .NOBUFS => error.DescriptorLimit,
            else => error.Unexpected,
        };
    }

    pub fn descriptor(wake: Wake) Fd {
        return wake.target;
    }

    pub fn ring(wake: Wake) void {
        const byte = [1]u8{1};
        while (c.write(wake.source, &byte, 1) < 0) {
            switch (posix.lastError()) {
                .INTR => continue,
                // The pipe is full, so it is readable, which is all that a ring wants.
                .AGAIN => return,
                else => |errno| return assert(errno != .BADF),
            }
        }
    }

    /// Reads until nothing is left, which takes every ring so far.
    pub fn clear(wake: Wake) void {
        var rings: [512]u8 = undefined;
        while (true) {
            const count = c.read(wake.target, &rings, rings.len);
            if (count >= 0 and count < rings.len) return;
            if (count >= 0) continue;
            switch (posix.lastError()) {
                .INTR => continue,
                .AGAIN => return,
                else => |errno| return assert(errno != .BADF),
            }
        }
    }

    pub fn close(wake: Wake) void {
        posix.closeDescriptor(wake.source);
        posix.closeDescriptor(wake.target);
    }
};
