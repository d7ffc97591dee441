//! What an operating system must give us, and the words we use for it.
//!
//! This file routes: it picks the system and fixes the types that every system, and the fake that
//! stands in for one in tests, shares. `posix.zig` holds what all systems do alike, `linux.zig` and
//! `darwin.zig` what they do each in their own way, and `suite.zig` the one body of tests for all.
//!
//! An operation's failure is an error of that operation's own closed set; what the system said
//! stays in `System.failure`. Outcomes that belong to the ordinary course of things (would block,
//! end of stream) are values. Nothing that a peer or the system does ends in a panic.

const std = @import("std");
const builtin = @import("builtin");
const posix = @import("posix.zig");

pub const platform = switch (builtin.os.tag) {
    .linux => @import("linux.zig"),
    .macos, .freebsd => @import("darwin.zig"),
    else => @compileError("earshot does not know this operating system yet"),
};

pub const System = posix.System;
/// Says that memory of its own mapping is going to be filled from end to end. Nothing depends on its being heeded.
pub const preferLargePages = platform.preferLargePages;
pub const Wake = platform.Wake;
pub const epoll = @import("epoll.zig");
pub const kqueue = @import("kqueue.zig");
pub const internet = @import("internet.zig");
pub const manager = @import("manager.zig");
pub const process = @import("process.zig");
pub const registration = @import("registration.zig");
pub const timer = @import("timer.zig");
pub const processor = @import("processor.zig");
pub const random = @import("random.zig");
pub const rights = @import("rights.zig");
pub const shared = @import("shared.zig");
pub const Yielder = @import("yielder.zig").Yielder;

pub const Fd = std.posix.fd_t;
pub const PollFd = std.c.pollfd;
pub const POLL = std.c.POLL;

/// The longest path a socket can have, without its closing zero byte.
pub const socket_path_bytes_max = posix.socket_path_bytes_max;

/// How many parts one `send` passes on; further ones wait for the next. IOV_MAX is 1024 on Linux,
/// macOS and FreeBSD alike, and a longer list is refused as a whole.
pub const send_parts_max = 1024;

/// What the last failed operation left behind. It says nothing after a success.
pub const Failure = struct {
    errno: i32 = 0,
    syscall: Syscall = .none,
};

/// The call that failed, by the name its manual page has.
pub const Syscall = enum(u8) {
    none,
    socket,
    bind,
    listen,
    accept,
    connect,
    recv,
    send,
    close,
    poll,
    epoll_create1,
    epoll_ctl,
    epoll_wait,
    kqueue,
    kevent,
    eventfd,
    pipe,
    mmap,
    open,
    mkdir,
    fstat,
    flock,
    unlink,
    chmod,
    getsockopt,
    setsockopt,
    fcntl,
    clock_gettime,
    socketpair,
    pidfd_open,
    read,
    write,
    splice,
    launch_activate_socket,
    memfd_create,
    ftruncate,
    fork,
    dup3,
    close_range,
    timerfd,
    setrlimit,
    prctl,
    unshare,
    setgroups,
    setgid,
    setuid,
    pidfd_send_signal,
    waitid,
};

/// Who is at the other end, as the kernel saw it when the connection was made.
pub const Credentials = struct {
    uid: u32,
    gid: u32,
    /// 0 where the system does not tell.
    pid: i32,

    /// Of a peer from another machine. The number stands for no user (chown(2)).
    pub const nobody: Credentials = .{ .uid = std.math.maxInt(u32), .gid = std.math.maxInt(u32), .pid = 0 };

    pub fn isNobody(credentials: Credentials) bool {
        return credentials.uid == nobody.uid;
    }
};

pub const Received = union(enum) {
    bytes: usize,
    would_block,
    /// The peer will send no more.
    end,
    /// The peer is gone, and what it had not yet read is lost.
    reset,
    failed,
};

pub const Sent = union(enum) {
    bytes: usize,
    would_block,
    /// Nobody will read any more.
    broken,
    failed,
};

/// What became of bytes that were to pass from one descriptor to another.
pub const Spliced = union(enum) {
    bytes: usize,
    /// Nothing is there, or there is no room.
    would_block,
    end,
    reset,
    broken,
    /// It cannot be done with these two.
    unable,
    failed,
};

/// What became of bytes that descriptors were to go along with.
pub const Passed = union(enum) {
    /// All of them went, if that is more than none.
    bytes: usize,
    would_block,
    broken,
    failed,
    /// One of them is not open, or cannot be passed. Nothing was sent.
    unpassable,
    /// As many descriptors of this user are on their way as may be. Nothing was sent.
    crowded,
};

/// What is known of a socket.
pub const SocketKind = struct {
    /// Between processes of one machine, so that the kernel knows who is at the other end.
    local: bool,
    listens: bool,
};

/// What may be done with a descriptor.
pub const Access = struct { reads: bool, writes: bool, blocks: bool };

/// What a name in the file system stands for; links are not followed.
pub const Stat = struct {
    kind: Kind,
    uid: u32,
    gid: u32,
    /// The permission bits alone.
    mode: u32,
    device: u64,
    inode: u64,
    /// By how many names the file can be reached.
    links: u32 = 1,
    bytes: u64 = 0,

    pub const Kind = enum { file, directory, link, socket, pipe, device, other };

    pub fn same(a: Stat, b: Stat) bool {
        return a.device == b.device and a.inode == b.inode;
    }
};

pub const SocketError = error{ DescriptorLimit, Unexpected };
pub const DuplicateError = error{ DescriptorLimit, Unexpected };
pub const BindError = error{ PathTooLong, InUse, NotFound, Permission, Unexpected };
pub const ListenError = error{Unexpected};
pub const AcceptError = error{ DescriptorLimit, Unexpected };
pub const ConnectError = error{
    PathTooLong,
    NotFound,
    Refused,
    Busy,
    Permission,
    NotService,
    Unexpected,
};
pub const AccessError = error{Unexpected};
pub const SocketKindError = error{NotStream};
pub const CredentialsError = error{ NotConnected, Unexpected };
pub const WakeError = error{ DescriptorLimit, Unexpected };
pub const MapError = error{OutOfMemory};
pub const PollError = error{Unexpected};

pub const OpenDirectoryError = error{
    PathTooLong,
    NotFound,
    NotDirectory,
    Permission,
    DescriptorLimit,
    Unexpected,
};
pub const MakeDirectoryError = error{
    PathTooLong,
    Exists,
    NotFound,
    Permission,
    NoSpace,
    Unexpected,
};
pub const StatError = error{ PathTooLong, NotFound, Permission, Unexpected };
pub const OpenFileError = error{
    PathTooLong,
    NotFound,
    NotFile,
    Permission,
    NoSpace,
    DescriptorLimit,
    Unexpected,
};
pub const LockError = error{Unexpected};
pub const UnlinkError = error{ PathTooLong, NotFound, NotFile, Permission, Unexpected };
pub const SetModeError = error{ PathTooLong, NotFound, Permission, Unexpected };
pub const ReadError = error{Unexpected};
pub const WriteError = error{ NoSpace, Unexpected };

test {
    _ = internet;
    _ = manager;
    _ = process;
    _ = registration;
    _ = timer;
    _ = processor;
    _ = random;
    _ = rights;
    _ = shared;
    _ = Yielder;
    _ = @import("suite.zig");
}
