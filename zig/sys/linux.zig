//! What Linux does in its own way: sockets that are non-blocking from the start, eventfd, peer
//! credentials with a descriptor for the process, locks that belong to an open file, ppoll.

const std = @import("std");
const sys = @import("sys.zig");
const posix = @import("posix.zig");
const assert = std.debug.assert;
const c = std.c;
const linux = std.os.linux;

const Fd = sys.Fd;
const System = sys.System;

/// Does not count the time a machine sleeps, which is what timers and time limits want.
pub const monotonic_clock: c.clockid_t = .MONOTONIC;

pub const send_flags = c.MSG.NOSIGNAL;

pub const has_launchd = false;

const socket_flags = c.SOCK.NONBLOCK | c.SOCK.CLOEXEC;

pub fn openSocket() Fd {
    return c.socket(c.AF.UNIX, c.SOCK.STREAM | socket_flags, 0);
}

pub fn openInternet(family: u32) Fd {
    return c.socket(family, c.SOCK.STREAM | socket_flags, 0);
}

/// netinet/tcp.h and netinet/in.h.
pub const tcp_nodelay = 1;
pub const ipv6_only = 26;

pub fn openPair(fds: *[2]Fd) c_int {
    return c.socketpair(c.AF.UNIX, c.SOCK.STREAM | socket_flags, 0, fds);
}

pub fn acceptSocket(fd: Fd) Fd {
    return c.accept4(fd, null, null, socket_flags);
}

// The calls of every message go to the kernel directly: glibc's own are points at which a thread can
// be cancelled, and making them so costs some 15 ns a call wherever a process has several threads.

/// One read, and what came beside its bytes, as far as `control` holds it.
pub fn recvMessage(fd: Fd, buffer: []u8, control: []u8, beside: *posix.Beside) isize {
    var part: std.posix.iovec = .{ .base = buffer.ptr, .len = buffer.len };
    var message: linux.msghdr = .{
        .name = null,
        .namelen = 0,
        .iov = @ptrCast(&part),
        .iovlen = 1,
        .control = if (control.len == 0) null else control.ptr,
        .controllen = control.len,
        .flags = 0,
    };
    const count = result(linux.recvmsg(fd, &message, linux.MSG.CMSG_CLOEXEC));
    beside.* = .{ .bytes = message.controllen, .cut = message.flags & linux.MSG.CTRUNC != 0 };
    return count;
}

pub fn sendMessage(fd: Fd, parts: []const std.posix.iovec_const, control: []const u8) isize {
    const message: linux.msghdr_const = .{
        .name = null,
        .namelen = 0,
        .iov = parts.ptr,
        .iovlen = parts.len,
        .control = if (control.len == 0) null else control.ptr,
        .controllen = control.len,
        .flags = 0,
    };
    return result(linux.sendmsg(fd, &message, send_flags));
}

pub fn send(fd: Fd, bytes: []const u8) isize {
    return result(linux.sendto(fd, bytes.ptr, bytes.len, send_flags, null, 0));
}

/// What the C library would have returned, with errno as it would have left it.
pub fn result(returned: usize) isize {
    const errno = linux.errno(returned);
    if (errno == .SUCCESS) return @intCast(returned);
    c._errno().* = @intFromEnum(errno);
    return -1;
}

pub const splices = true;

pub fn openPipe(bytes: u31) ?[2]Fd {
    var ends: [2]Fd = undefined;
    if (openEnds(&ends) != 0) return null;
    // The system may allow less, and then it stays what it was.
    _ = c.fcntl(ends[1], linux.F.SETPIPE_SZ, @as(c_int, bytes));
    return ends;
}

pub fn openEnds(ends: *[2]Fd) c_int {
    return c.pipe2(ends, .{ .CLOEXEC = true, .NONBLOCK = true });
}

/// uapi/linux/fs.h, RWF_NOSIGNAL: since Linux 6.18 a write can say by itself that it wants no signal, as a send can.
const no_signal = 0x100;
pub var writes_say_so: std.atomic.Value(bool) = .init(true);

/// What write(2) returns, but that a pipe that nobody reads raises no signal; null where that cannot be asked for.
pub fn writeWithoutSignal(fd: Fd, bytes: []const u8) ?isize {
    // Whether this system can is the same for every thread, and found out by any of them.
    if (!writes_say_so.load(.monotonic)) return null;
    const part: std.posix.iovec_const = .{ .base = bytes.ptr, .len = bytes.len };
    const anywhere: usize = @bitCast(@as(isize, -1));
    const count = result(linux.syscall6(
        .pwritev2,
        @as(usize, @bitCast(@as(isize, fd))),
        @intFromPtr(&part),
        1,
        anywhere,
        anywhere,
        no_signal,
    ));
    if (count >= 0) return count;
    switch (posix.lastError()) {
        .OPNOTSUPP, .NOSYS, .PERM => writes_say_so.store(false, .monotonic),
        else => return count,
    }
    return null;
}

/// SPLICE_F_MOVE and SPLICE_F_NONBLOCK, splice(2).
const splice_flags = 1 | 2;

pub fn splice(from: Fd, to: Fd, count: usize) isize {
    return result(linux.syscall6(
        .splice,
        @as(usize, @bitCast(@as(isize, from))),
        0,
        @as(usize, @bitCast(@as(isize, to))),
        0,
        count,
        splice_flags,
    ));
}

/// Each send says by itself that it wants no signal.
pub fn quieten(_: Fd) void {}

/// Takes away what a socket that was made elsewhere may tell beside its bytes: credentials, labels and times take up
/// room that is meant for descriptors, and without room look like descriptors that were cut.
pub fn keepToBytes(fd: Fd) void {
    // asm-generic/socket.h: SO_PASSCRED, SO_TIMESTAMP, SO_PASSSEC, SO_TIMESTAMPING, SO_PASSPIDFD. A kernel that lacks
    // one of them cannot have it set.
    const off: c_int = 0;
    for ([_]u32{ 16, 29, 34, 37, 76 }) |option| _ = c.setsockopt(fd, c.SOL.SOCKET, option, &off, @sizeOf(c_int));
}

pub fn threadId() u64 {
    return @intCast(linux.gettid());
}

/// The kernel can be built for 8192 processors at most, and refuses a mask that is too short for
/// those it was built for; the C library's own type stops at 1024.
const processors_max = 8192;

pub fn processorsUsable() u32 {
    var mask: [processors_max / 64]u64 = @splat(0);
    const set: *c.cpu_set_t = @ptrCast(&mask);
    if (c.sched_getaffinity(0, @sizeOf(@TypeOf(mask)), set) != 0) return 1;
    var count: u32 = 0;
    for (mask) |word| count += @popCount(word);
    return count;
}

/// One page of 2 MiB comes for one fault instead of 512, where the system lets programs ask for it (madvise(2),
/// MADV_HUGEPAGE). `memory` begins at a page's beginning.
pub fn preferLargePages(memory: []u8) void {
    _ = linux.madvise(memory.ptr, memory.len, linux.MADV.HUGEPAGE);
}

pub fn pollDescriptors(fds: []sys.PollFd, timeout_ns: ?u64) c_int {
    const timeout: c.timespec = posix.timespecOf(timeout_ns orelse 0);
    const bound = if (timeout_ns == null) null else &timeout;
    return c.ppoll(fds.ptr, @intCast(fds.len), bound, null);
}

pub fn credentials(system: *System, fd: Fd) sys.CredentialsError!sys.Credentials {
    // unix(7), SO_PEERCRED: struct ucred.
    var peer: extern struct { pid: i32, uid: u32, gid: u32 } = undefined;
    var bytes: c.socklen_t = @sizeOf(@TypeOf(peer));
    if (c.getsockopt(fd, c.SOL.SOCKET, c.SO.PEERCRED, &peer, &bytes) != 0) {
        _ = system.record(.getsockopt);
        return error.Unexpected;
    }
    // A socket without a peer answers with nobody rather than with an error.
    if (peer.uid == std.math.maxInt(u32)) {
        system.failure = .{ .errno = @intFromEnum(c.E.NOTCONN), .syscall = .getsockopt };
        return error.NotConnected;
    }
    return .{ .uid = peer.uid, .gid = peer.gid, .pid = peer.pid };
}

/// SO_PEERPIDFD, asm-generic/socket.h, since Linux 6.5; the architectures we build for share it.
const so_peerpidfd = 77;

pub fn processDescriptor(system: *System, fd: Fd, pid: i32) ?Fd {
    var peer: Fd = undefined;
    var bytes: c.socklen_t = @sizeOf(Fd);
    if (c.getsockopt(fd, c.SOL.SOCKET, so_peerpidfd, &peer, &bytes) == 0) return peer;
    // Only an older kernel sends us on: any other answer, such as ESRCH for a process that is gone,
    // means that the number may already be somebody else's.
    if (system.record(.getsockopt) != .NOPROTOOPT) return null;
    if (pid <= 0) return null;
    const opened = linux.pidfd_open(pid, 0);
    return switch (linux.errno(opened)) {
        .SUCCESS => @intCast(opened),
        else => |errno| {
            system.failure = .{ .errno = @intFromEnum(errno), .syscall = .pidfd_open };
            return null;
        },
    };
}

pub fn statAt(dir: Fd, name: [*:0]const u8, stat: *sys.Stat) c_int {
    return statx(dir, name, linux.AT.SYMLINK_NOFOLLOW, stat);
}

pub fn statFd(fd: Fd, stat: *sys.Stat) c_int {
    return statx(fd, "", linux.AT.EMPTY_PATH, stat);
}

fn statx(dir: Fd, name: [*:0]const u8, flags: u32, stat: *sys.Stat) c_int {
    var found: linux.Statx = undefined;
    // Not the C library's: it has had this only since glibc 2.28, and we run on older ones.
    switch (linux.errno(linux.statx(dir, name, flags, linux.STATX.BASIC_STATS, &found))) {
        .SUCCESS => {},
        else => |errno| {
            c._errno().* = @intFromEnum(errno);
            return -1;
        },
    }
    stat.* = .{
        .kind = posix.statKindOf(found.mode),
        .uid = found.uid,
        .gid = found.gid,
        .mode = found.mode & 0o7777,
        .device = @as(u64, found.dev_major) << 32 | found.dev_minor,
        .inode = found.ino,
        .links = found.nlink,
        .bytes = found.size,
    };
    return 0;
}

/// fcntl(2), struct flock for 64-bit offsets. The lock belongs to the open file, not to the
/// process: two contexts of one process exclude each other as well.
const Lock = extern struct {
    type: i16,
    whence: i16 = c.SEEK.SET,
    start: i64 = 0,
    /// To the end of the file, however long it grows.
    bytes: i64 = 0,
    /// Must be zero for locks of open files.
    pid: i32 = 0,
};

pub fn lockTake(system: *System, fd: Fd) sys.LockError!bool {
    var lock: Lock = .{ .type = linux.F.WRLCK };
    while (c.fcntl(fd, linux.F.OFD_SETLK, &lock) != 0) {
        switch (posix.lastError()) {
            .AGAIN, .ACCES => return false,
            .INTR => continue,
            else => {},
        }
        _ = system.record(.fcntl);
        return error.Unexpected;
    }
    return true;
}

pub fn lockHeld(system: *System, fd: Fd) sys.LockError!bool {
    var lock: Lock = .{ .type = linux.F.WRLCK };
    if (c.fcntl(fd, linux.F.OFD_GETLK, &lock) != 0) {
        _ = system.record(.fcntl);
        return error.Unexpected;
    }
    return lock.type != linux.F.UNLCK;
}

/// A descriptor that any thread can make readable. Any number of rings make one wake-up.
pub const Wake = struct {
    fd: Fd,

    /// How many it holds.
    pub const descriptors = 1;

    pub fn create(system: *System) sys.WakeError!Wake {
        const fd = c.eventfd(0, linux.EFD.CLOEXEC | linux.EFD.NONBLOCK);
        if (fd >= 0) return .{ .fd = fd };
        return switch (system.record(.eventfd)) {
            .MFILE, .NFILE, .NOMEM, .NODEV => error.DescriptorLimit,
            else => error.Unexpected,
        };
    }

    pub fn descriptor(wake: Wake) Fd {
        return wake.fd;
    }

    pub fn ring(wake: Wake) void {
        const one: u64 = 1;
        while (c.write(wake.fd, std.mem.asBytes(&one), @sizeOf(u64)) < 0) {
            switch (posix.lastError()) {
                .INTR => continue,
                // The counter is full, so it is readable, which is all that a ring wants.
                .AGAIN => return,
                else => |errno| return assert(errno != .BADF),
            }
        }
    }

    /// One read takes every ring so far.
    pub fn clear(wake: Wake) void {
        var count: u64 = undefined;
        while (c.read(wake.fd, std.mem.asBytes(&count), @sizeOf(u64)) < 0) {
            switch (posix.lastError()) {
                .INTR => continue,
                .AGAIN => return,
                else => |errno| return assert(errno != .BADF),
            }
        }
    }

    pub fn close(wake: Wake) void {
        posix.closeDescriptor(wake.fd);
    }
};
