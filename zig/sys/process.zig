//! What a process can do to itself and to those that it forks: count its threads, fork, give up rights, watch over its
//! children. All of it is Linux's own, and `NotAvailable` elsewhere, but for reading and writing, and the limits.

const std = @import("std");
const builtin = @import("builtin");
const sys = @import("sys.zig");
const posix = @import("posix.zig");
const direct = @import("linux.zig");
const c = std.c;
const linux = std.os.linux;

const Fd = sys.Fd;
const System = sys.System;

/// Whether the system has what it takes.
pub const available = builtin.os.tag == .linux;

pub const Error = error{
    /// The system has no such thing.
    NotAvailable,
    Permission,
    DescriptorLimit,
    /// As many processes as the user may have.
    ProcessLimit,
    OutOfMemory,
    InvalidArgument,
    /// There is no such process any more.
    Gone,
    Unexpected,
};

fn failed(system: *System, syscall: sys.Syscall, errno: c.E) Error {
    system.failure = .{ .errno = @intFromEnum(errno), .syscall = syscall };
    return switch (errno) {
        .NOSYS, .OPNOTSUPP => error.NotAvailable,
        .PERM, .ACCES => error.Permission,
        .MFILE, .NFILE => error.DescriptorLimit,
        // ENOSPC is what unshare says where no more namespaces may be made.
        .AGAIN, .NOSPC => error.ProcessLimit,
        .NOMEM => error.OutOfMemory,
        .INVAL => error.InvalidArgument,
        .SRCH, .CHILD => error.Gone,
        else => error.Unexpected,
    };
}

/// What a direct call returned.
pub fn check(system: *System, syscall: sys.Syscall, returned: usize) Error!usize {
    return switch (linux.errno(returned)) {
        .SUCCESS => returned,
        else => |errno| failed(system, syscall, @enumFromInt(@intFromEnum(errno))),
    };
}

fn checkC(system: *System, syscall: sys.Syscall, returned: c_int) Error!void {
    if (returned < 0) return failed(system, syscall, posix.lastError());
}

// Files of /proc

/// The whole of a file that says how many bytes it has only when it is read. What does not fit is left out.
pub fn readFile(system: *System, path: [*:0]const u8, buffer: []u8) Error![]u8 {
    const fd = c.open(path, .{ .CLOEXEC = true });
    try checkC(system, .open, fd);
    defer posix.closeDescriptor(fd);
    var filled: usize = 0;
    while (filled < buffer.len) {
        const count = c.read(fd, buffer[filled..].ptr, buffer.len - filled);
        if (count < 0) {
            if (posix.lastError() == .INTR) continue;
            return failed(system, .read, posix.lastError());
        }
        if (count == 0) break;
        filled += @intCast(count);
    }
    return buffer[0..filled];
}

pub fn writeFile(system: *System, path: [*:0]const u8, text: []const u8) Error!void {
    const fd = c.open(path, .{ .ACCMODE = .WRONLY, .CLOEXEC = true });
    try checkC(system, .open, fd);
    defer posix.closeDescriptor(fd);
    if (c.write(fd, text.ptr, text.len) < 0) return failed(system, .write, posix.lastError());
}

/// The names of what is in a directory of /proc/self, which are numbers.
pub const Numbers = struct {
    fd: Fd,
    buffer: [4096]u8 align(8) = undefined,
    filled: usize = 0,
    at: usize = 0,

    pub fn open(system: *System, path: [*:0]const u8) Error!Numbers {
        if (!available) return error.NotAvailable;
        const fd = c.open(path, .{ .DIRECTORY = true, .CLOEXEC = true });
        try checkC(system, .open, fd);
        return .{ .fd = fd };
    }

    pub fn close(numbers: *Numbers) void {
        posix.closeDescriptor(numbers.fd);
    }

    pub fn next(numbers: *Numbers) ?i32 {
        if (!available) return null;
        while (true) {
            if (numbers.at >= numbers.filled) {
                const returned = linux.getdents64(numbers.fd, &numbers.buffer, numbers.buffer.len);
                if (linux.errno(returned) != .SUCCESS or returned == 0) return null;
                numbers.filled = returned;
                numbers.at = 0;
            }
            // struct linux_dirent64, getdents64(2): two words of 64 bits, the length, the type, the name.
            const record = numbers.buffer[numbers.at..];
            numbers.at += std.mem.readInt(u16, record[16..18], .native);
            const name = std.mem.sliceTo(record[19..], 0);
            return std.fmt.parseInt(i32, name, 10) catch continue;
        }
    }
};

// Before a fork

/// Has a fork copy these pages, even if somebody has asked for the opposite. Says whether they can be.
pub fn copyOnFork(address: usize, bytes: usize) bool {
    if (!available) return false;
    const pages: [*]align(std.heap.page_size_min) u8 = @ptrFromInt(address);
    return linux.errno(linux.madvise(pages, bytes, linux.MADV.DOFORK)) == .SUCCESS;
}

/// <linux/mman.h>, which the standard library has without it.
const madv_collapse = 25;

/// Makes these pages one, which is copied in one piece. Says whether that could be done.
pub fn unitePages(address: usize, bytes: usize) bool {
    if (!available) return false;
    const pages: [*]align(std.heap.page_size_min) u8 = @ptrFromInt(address);
    return linux.errno(linux.madvise(pages, bytes, madv_collapse)) == .SUCCESS;
}

/// Which of the pages from `address` on are in memory: as many as the system tells of, or null if it does not tell.
pub fn presentPages(address: usize, pages: []bool) ?[]const bool {
    const fd = c.open("/proc/self/pagemap", .{ .CLOEXEC = true });
    if (fd < 0) return null;
    defer posix.closeDescriptor(fd);
    // proc_pid_pagemap(5): a word for each page, whose highest bit says that it is there.
    var words: [512]u64 = undefined;
    const wanted: usize = @min(words.len, pages.len);
    const offset = address / std.heap.page_size_min * @sizeOf(u64);
    const count = c.pread(fd, @ptrCast(&words), wanted * @sizeOf(u64), @intCast(offset));
    if (count < 0) return null;
    const told = @as(usize, @intCast(count)) / @sizeOf(u64);
    for (words[0..told], pages[0..told]) |word, *page| page.* = word >> 63 == 1;
    return pages[0..told];
}

const forking = struct {
    extern "c" fn fork() c.pid_t;
    extern "c" fn setgroups(count: usize, groups: ?[*]const c.gid_t) c_int;
};

/// The C library's, which keeps its own locks, and those of whoever has asked it to, safe. 0 in the child.
pub fn fork(system: *System) Error!i32 {
    if (!available) return error.NotAvailable;
    const pid = forking.fork();
    try checkC(system, .fork, pid);
    return pid;
}

/// The same, which fails unless so many more processes and threads of this user could be made after it.
pub fn forkSparing(system: *System, spared: u32) Error!i32 {
    if (!available) return error.NotAvailable;
    var limits: c.rlimit = undefined;
    const limited = c.getrlimit(.NPROC, &limits) == 0 and limits.cur != c.RLIM.INFINITY;
    if (limited) {
        const lowered: c.rlimit = .{ .cur = limits.cur -| spared, .max = limits.max };
        try checkC(system, .setrlimit, c.setrlimit(.NPROC, &lowered));
    }
    const pid = fork(system);
    // In the child as well.
    if (limited) _ = c.setrlimit(.NPROC, &limits);
    return pid;
}

pub fn parent() i32 {
    return c.getppid();
}

// In the child

/// Leaves no signal blocked.
pub fn unblockSignals() void {
    const none = std.posix.sigemptyset();
    var before: c.sigset_t = undefined;
    _ = c.pthread_sigmask(c.SIG.SETMASK, &none, &before);
}

/// A session of its own: what a terminal sends to the one that it was in does not reach it.
pub fn leaveSession() void {
    _ = c.setsid();
}

/// The signal that comes when the thread that forked this process has ended; 0 for none.
pub fn setParentDeathSignal(signal: u32) void {
    if (available) _ = linux.prctl(@intFromEnum(linux.PR.SET_PDEATHSIG), signal, 0, 0, 0);
}

/// What it is; giving up rights clears it (prctl(2)).
pub fn parentDeathSignal() u32 {
    if (!available) return 0;
    var signal: c_int = 0;
    _ = linux.prctl(@intFromEnum(linux.PR.GET_PDEATHSIG), @intFromPtr(&signal), 0, 0, 0);
    return @intCast(signal);
}

/// Closes the descriptors from `first` to `last`, both among them.
pub fn closeRange(system: *System, first: u32, last: u32) Error!void {
    if (!available) return error.NotAvailable;
    if (first > last) return;
    _ = try check(system, .close_range, linux.syscall3(.close_range, first, last, 0));
}

/// Puts a copy of `fd` in the place of `number`.
pub fn replace(system: *System, fd: Fd, number: Fd) Error!void {
    if (!available) return error.NotAvailable;
    const flags: u32 = @bitCast(linux.O{ .CLOEXEC = true });
    while (true) {
        const returned = linux.dup3(fd, number, flags);
        if (linux.errno(returned) == .INTR) continue;
        _ = try check(system, .dup3, returned);
        return;
    }
}

pub fn createEventCounter(system: *System, count: u32, flags: u32) Error!Fd {
    if (!available) return error.NotAvailable;
    return @intCast(try check(system, .eventfd, linux.eventfd(count, flags | linux.EFD.CLOEXEC)));
}

pub const eventCounterFlags = struct {
    pub const semaphore: u32 = 1;
    pub const nonblock: u32 = 0o4000;
};

/// A second opening of what `fd` stands for, with an owner and a signal of its own.
pub fn reopen(system: *System, fd: Fd) Error!Fd {
    if (!available) return error.NotAvailable;
    var path: [32]u8 = undefined;
    const name = std.fmt.bufPrintSentinel(&path, "/proc/self/fd/{d}", .{fd}, 0) catch unreachable;
    const copy = c.open(name, .{ .NONBLOCK = true, .CLOEXEC = true });
    try checkC(system, .open, copy);
    return copy;
}

/// Has the system kill this process when something comes of `fd`, as the end of a pipe does (fcntl(2), F_SETSIG).
pub fn dieWith(system: *System, fd: Fd) Error!void {
    if (!available) return error.NotAvailable;
    // asm-generic/fcntl.h; the architectures we build for share them.
    const set_owner = 8;
    const set_signal = 10;
    const asynchronous = 0o20000;
    try checkC(system, .fcntl, c.fcntl(fd, set_owner, @as(c_int, c.getpid())));
    try checkC(system, .fcntl, c.fcntl(fd, set_signal, @as(c_int, @intFromEnum(c.SIG.KILL))));
    try checkC(system, .fcntl, c.fcntl(fd, c.F.SETFL, @as(c_int, asynchronous | 0o4000)));
}

// Limits and rights

pub const Resource = enum { memory, cpu, files, core };

/// Lowers a limit, and never raises it. `soft` may be reached once, with a signal where there is one.
pub fn limit(system: *System, resource: Resource, soft: u64, hard: u64) Error!void {
    const which: c.rlimit_resource = switch (resource) {
        .memory => .DATA,
        .cpu => .CPU,
        .files => .NOFILE,
        .core => .CORE,
    };
    var now: c.rlimit = undefined;
    try checkC(system, .setrlimit, c.getrlimit(which, &now));
    const most = @min(@as(u64, @intCast(now.max)), hard);
    const wanted: c.rlimit = .{ .cur = @intCast(@min(@min(@as(u64, @intCast(now.cur)), soft), most)), .max = @intCast(most) };
    try checkC(system, .setrlimit, c.setrlimit(which, &wanted));
}

/// Bytes that this process may write to and that are its own, there or not: what the limit on memory counts.
pub fn dataBytes(system: *System) Error!u64 {
    if (!available) return error.NotAvailable;
    var buffer: [256]u8 = undefined;
    const text = try readFile(system, "/proc/self/statm", &buffer);
    // proc(5): size, resident, shared, text, lib, data, in pages. The sixth has the stack in it as well.
    var words = std.mem.tokenizeScalar(u8, text, ' ');
    var word: []const u8 = "0";
    for (0..6) |_| word = words.next() orelse return error.Unexpected;
    const pages = std.fmt.parseInt(u64, word, 10) catch return error.Unexpected;
    return pages * std.heap.pageSize();
}

/// From now on no program that is started can have rights that this process lacks.
pub fn forbidNewPrivileges(system: *System) Error!void {
    if (!available) return error.NotAvailable;
    _ = try check(system, .prctl, linux.prctl(@intFromEnum(linux.PR.SET_NO_NEW_PRIVS), 1, 0, 0, 0));
}

/// From now on no core is written of this process, and nobody else of its user looks into its memory.
pub fn forbidDumps(system: *System) Error!void {
    if (!available) return error.NotAvailable;
    _ = try check(system, .prctl, linux.prctl(@intFromEnum(linux.PR.SET_DUMPABLE), 0, 0, 0, 0));
}

/// Keeps all memory of this process, now and later, from being swapped out; pages count from when they are first used, so
/// that what is only set aside takes up nothing (mlock2(2)). False where that is not allowed.
pub fn lockMemory() bool {
    if (!available) return false;
    // asm-generic/mman.h: MCL_CURRENT, MCL_FUTURE, MCL_ONFAULT.
    return linux.errno(linux.syscall1(.mlockall, 1 | 2 | 4)) == .SUCCESS;
}

/// A network of its own, in which there is nothing. `as_user` makes it in a namespace of users as well, for which it takes
/// no rights.
pub fn leaveNetwork(system: *System, as_user: bool) Error!void {
    if (!available) return error.NotAvailable;
    const users: usize = if (as_user) linux.CLONE.NEWUSER else 0;
    _ = try check(system, .unshare, linux.unshare(linux.CLONE.NEWNET | users));
}

/// Of all threads of the process.
pub fn setGroup(system: *System, gid: u32) Error!void {
    try checkC(system, .setgroups, forking.setgroups(0, null));
    try checkC(system, .setgid, c.setgid(gid));
}

pub fn setUser(system: *System, uid: u32) Error!void {
    try checkC(system, .setuid, c.setuid(uid));
}

pub fn user() u32 {
    return c.geteuid();
}

pub fn group() u32 {
    return c.getegid();
}

// Children

pub fn openProcess(system: *System, pid: i32) Error!Fd {
    if (!available) return error.NotAvailable;
    return @intCast(try check(system, .pidfd_open, linux.pidfd_open(pid, 0)));
}

/// With 0 it is sent nothing, and `Gone` says that it has ended, though its parent may not have heard of that.
pub fn signalProcess(system: *System, fd: Fd, signal: u32) Error!void {
    if (!available) return error.NotAvailable;
    if (signal == 0 and hasEnded(fd)) return error.Gone;
    const number: linux.SIG = @enumFromInt(signal);
    _ = try check(system, .pidfd_send_signal, linux.pidfd_send_signal(fd, number, null, 0));
}

/// There is something to read from the descriptor of a process when it has ended (pidfd_open(2)).
fn hasEnded(fd: Fd) bool {
    var polled = [_]sys.PollFd{.{ .fd = fd, .events = c.POLL.IN, .revents = 0 }};
    return direct.pollDescriptors(&polled, 0) > 0;
}

/// How a process ended: with a code, or by a signal.
pub const Ending = union(enum) { code: u8, signal: u8 };

/// How a child has ended, which is thereby gone for good; null while it has not.
pub fn reap(system: *System, fd: Fd) Error!?Ending {
    if (!available) return error.NotAvailable;
    var info: linux.siginfo_t = std.mem.zeroes(linux.siginfo_t);
    while (true) {
        const returned = linux.waitid(.PIDFD, fd, &info, linux.W.EXITED | linux.W.NOHANG, null);
        if (linux.errno(returned) == .INTR) continue;
        _ = try check(system, .waitid, returned);
        break;
    }
    const code: linux.CLD = @enumFromInt(info.code);
    const status: u8 = @truncate(@as(u32, @bitCast(info.fields.common.second.sigchld.status)));
    return switch (code) {
        .EXITED => .{ .code = status },
        .KILLED, .DUMPED => .{ .signal = status },
        else => null,
    };
}

/// What a link of /proc stands for; null if there is none, or it is longer than `buffer`.
pub fn readLink(path: [*:0]const u8, buffer: []u8) ?[]const u8 {
    const count = c.readlink(path, buffer.ptr, buffer.len);
    if (count < 0 or count == buffer.len) return null;
    return buffer[0..@intCast(count)];
}

/// Ends this process at once: nothing of what it has of its parent's is run any more.
pub fn leave(code: u8) noreturn {
    c._exit(code);
}

pub fn ownId() i32 {
    return c.getpid();
}

/// Whether the calling thread is the one that the process began with.
pub fn isFirstThread() bool {
    return available and linux.gettid() == c.getpid();
}
