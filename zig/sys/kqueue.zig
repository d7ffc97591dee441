//! The calls of kqueue(2), for the poller that stands on them. The two functions come from the C
//! library on macOS and FreeBSD. On Linux the same two come from a library that emulates them, which
//! test programs are linked with when `-Dkqueue-library` says so; nothing else is.

const std = @import("std");
const builtin = @import("builtin");
const options = @import("options");
const sys = @import("sys.zig");
const posix = @import("posix.zig");

const Fd = sys.Fd;

/// Whether the system itself has kqueue.
const native = switch (builtin.os.tag) {
    .macos, .freebsd => true,
    else => false,
};

/// Whether anybody has it here.
pub const available = native or options.kqueue != .system;

/// Whether a library of others has it. libkqueue never learns that a descriptor was closed, opens
/// some of its own beside each queue, and closes those in a thread of its own when it finds the queue
/// closed. So tests neither count what is open nor close what is watched.
pub const foreign = options.kqueue == .library;

/// libkqueue has the layout that macOS has, and the stand-in takes this one.
pub const Kevent = if (native) std.c.Kevent else extern struct {
    ident: usize,
    filter: i16,
    flags: u16,
    fflags: u32,
    data: isize,
    udata: usize,
};

const c = struct {
    extern "c" fn kqueue() c_int;
    extern "c" fn kevent(
        queue: c_int,
        changes: [*]const Kevent,
        changes_count: c_int,
        events: [*]Kevent,
        events_count: c_int,
        timeout: ?*const std.c.timespec,
    ) c_int;
};

// sys/event.h; the numbers are the same on macOS, FreeBSD and in libkqueue, except for USER.

pub const filter_read = -1;
pub const filter_write = -2;
/// Fires when told to, and, without EV_CLEAR, for as long as it stays.
pub const filter_user = if (builtin.os.tag == .macos) -10 else -11;

pub const flag_add = 0x0001;
pub const flag_delete = 0x0002;
/// Does nothing to a filter that is there, and so tells whether it is.
pub const flag_enable = 0x0004;
/// Report what comes once, and not for as long as it stays. An add of what is there already does not
/// change it.
pub const flag_clear = 0x0020;
/// Report how each change went, one event a change, and nothing else.
pub const flag_receipt = 0x0040;
pub const flag_error = 0x4000;
pub const flag_eof = 0x8000;
pub const note_trigger = 0x01000000;

pub const CreateError = error{ DescriptorLimit, OutOfMemory, Unexpected };

pub fn create(system: *sys.System) CreateError!Fd {
    const fd = c.kqueue();
    if (fd >= 0) {
        // A fork does not inherit a kqueue, but an exec without a fork would.
        _ = std.c.fcntl(fd, std.c.F.SETFD, @as(c_int, std.c.FD_CLOEXEC));
        return fd;
    }
    return switch (system.record(.kqueue)) {
        .MFILE, .NFILE => error.DescriptorLimit,
        .NOMEM => error.OutOfMemory,
        else => error.Unexpected,
    };
}

pub fn change(ident: usize, filter: i16, flags: u16, fflags: u32) Kevent {
    return .{
        .ident = ident,
        .filter = filter,
        .flags = flags,
        .fflags = fflags,
        .data = 0,
        .udata = 0,
    };
}

pub const ApplyError = error{
    /// The descriptor has no readiness to wait for.
    NotWatchable,
    WatchLimit,
    OutOfMemory,
    Unexpected,
};

/// Makes one change.
pub fn apply(system: *sys.System, queue: Fd, wanted: Kevent) ApplyError!void {
    var request = [1]Kevent{wanted};
    request[0].flags |= flag_receipt;
    var receipt: [1]Kevent = undefined;
    const at_once: std.c.timespec = .{ .sec = 0, .nsec = 0 };
    const errno: std.c.E = while (true) {
        const count = c.kevent(queue, &request, 1, &receipt, 1, &at_once);
        if (count < 0) {
            const errno = posix.lastError();
            if (errno == .INTR) continue;
            break errno;
        }
        if (count == 0 or receipt[0].flags & flag_error == 0) return;
        if (receipt[0].data == 0) return;
        break @enumFromInt(receipt[0].data);
    };
    system.failure = .{ .errno = @intFromEnum(errno), .syscall = .kevent };
    return switch (errno) {
        // The last is of a pipe that nobody reads, and a write into it need not wait to fail.
        .PERM, .NODEV, .INVAL, .OPNOTSUPP, .NXIO, .PIPE => error.NotWatchable,
        .NOSPC, .MFILE, .NFILE => error.WatchLimit,
        .NOMEM => error.OutOfMemory,
        else => error.Unexpected,
    };
}

/// Waits and says how many events there are; a signal ends the wait with none.
pub fn wait(
    system: *sys.System,
    queue: Fd,
    events: []Kevent,
    timeout_ns: ?u64,
) sys.PollError!usize {
    const timeout = posix.timespecOf(timeout_ns orelse 0);
    const none: [0]Kevent = .{};
    const count = c.kevent(
        queue,
        &none,
        0,
        events.ptr,
        @intCast(events.len),
        if (timeout_ns == null) null else &timeout,
    );
    if (count >= 0) return @intCast(count);
    if (posix.lastError() == .INTR) return 0;
    _ = system.record(.kevent);
    return error.Unexpected;
}
