//! What waits for descriptors: poll, epoll or kqueue behind one interface, chosen at run time.
//!
//! All are level-triggered: a descriptor that is still ready is reported again by the next wait.
//! A descriptor that has no readiness to wait for (a plain file, /dev/null) is always ready, on
//! each of them. A descriptor is removed before it is closed. Nothing here closes one.
//!
//! `suite.zig` holds the tests, one body for all.

const std = @import("std");
const builtin = @import("builtin");
const sys = @import("sys");
const assert = std.debug.assert;

const Allocator = std.mem.Allocator;
const Fd = sys.Fd;

const has_epoll = builtin.os.tag == .linux;
const has_kqueue = sys.kqueue.available;

pub const Poll = @import("poll.zig").Poll;
pub const Epoll = if (has_epoll) @import("epoll.zig").Epoll else noreturn;
pub const Kqueue = if (has_kqueue) @import("kqueue.zig").Kqueue else noreturn;

pub const Kind = enum(u8) {
    poll = 1,
    epoll = 2,
    kqueue = 3,

    /// The one that costs the same at ten thousand idle descriptors as at one.
    pub const default: Kind = if (has_epoll) .epoll else .kqueue;

    pub fn isAvailable(kind: Kind) bool {
        return switch (kind) {
            .poll => true,
            .epoll => has_epoll,
            .kqueue => has_kqueue,
        };
    }
};

/// What to wait for. Without either only the end of the conversation is reported.
pub const Interest = packed struct {
    readable: bool = false,
    writable: bool = false,

    pub fn isEmpty(interest: Interest) bool {
        return !interest.readable and !interest.writable;
    }
};

/// What a descriptor is ready for. `ended` is a hang-up or an error; it may come without either of
/// the others, and the next read or write says more. A peer that only stopped sending has not
/// ended the conversation: its descriptor is readable, and reads as end of stream.
pub const Ready = struct {
    token: u64,
    readable: bool,
    writable: bool,
    ended: bool,
};

pub const InitError = error{ NotAvailable, OutOfMemory, DescriptorLimit, Unexpected };
pub const AddError = error{ OutOfMemory, WatchLimit, Unexpected };
pub const WaitError = sys.PollError;

/// One that the system lacks is a field that nothing can ever be in.
pub const Poller = union(Kind) {
    poll: Poll,
    epoll: Epoll,
    kqueue: Kqueue,

    /// `system` keeps what failed, and stays where it is for as long as the poller lives.
    pub fn init(kind: Kind, system: *sys.System, allocator: Allocator) InitError!Poller {
        switch (kind) {
            inline else => |known| {
                if (comptime !known.isAvailable()) return error.NotAvailable;
                const Backend = @FieldType(Poller, @tagName(known));
                return @unionInit(Poller, @tagName(known), try Backend.init(system, allocator));
            },
        }
    }

    pub fn deinit(poller: *Poller) void {
        switch (poller.*) {
            inline else => |*backend| backend.deinit(),
        }
        poller.* = undefined;
    }

    /// Watches `fd` until it is removed. One that is not open, or is watched already, is refused.
    pub fn add(poller: *Poller, fd: Fd, token: u64, interest: Interest) AddError!void {
        switch (poller.*) {
            inline else => |*backend| return backend.add(fd, token, interest),
        }
    }

    pub fn modify(poller: *Poller, fd: Fd, token: u64, interest: Interest) AddError!void {
        switch (poller.*) {
            inline else => |*backend| return backend.modify(fd, token, interest),
        }
    }

    /// No later wait reports `fd`. What the last one reported is in the caller's hands, and so is
    /// forgetting it.
    pub fn remove(poller: *Poller, fd: Fd) void {
        switch (poller.*) {
            inline else => |*backend| backend.remove(fd),
        }
    }

    /// Fills `ready` and says how far. Null waits for ever. Never comes back early without reason,
    /// but a signal is one, and so is what comes to a descriptor without interest: zero does not
    /// mean that the time is over, and the caller looks at the clock. What does not fit into `ready`
    /// is not lost, and later waits come to everybody.
    pub fn wait(poller: *Poller, ready: []Ready, timeout_ns: ?u64) WaitError!usize {
        assert(ready.len > 0);
        switch (poller.*) {
            inline else => |*backend| return backend.wait(ready, timeout_ns),
        }
    }

    /// How many descriptors it holds of its own.
    pub fn held(poller: *const Poller) u32 {
        switch (poller.*) {
            inline else => |*backend| return backend.held(),
        }
    }

    /// A descriptor that is readable whenever `wait` would return at once, so that another thread
    /// or loop can sleep on it; null where there is none, and `descriptors` is there instead.
    pub fn waitable(poller: *const Poller) ?Fd {
        switch (poller.*) {
            inline else => |*backend| return backend.waitable(),
        }
    }

    /// What poll waits on, for another thread to copy and wait on too; good until the next add,
    /// modify or remove. Null where there is a `waitable`.
    pub fn descriptors(poller: *const Poller) ?[]const sys.PollFd {
        return switch (poller.*) {
            .poll => |*poll| poll.descriptors(),
            .epoll, .kqueue => null,
        };
    }

    /// Whether whoever copied `descriptors` has one that was removed since this was last asked.
    pub fn takeRemoved(poller: *Poller) bool {
        switch (poller.*) {
            .poll => |*poll| {
                defer poll.removed = false;
                return poll.removed;
            },
            .epoll, .kqueue => return false,
        }
    }
};

/// Whoever writes another backend learns here, and not from a stranger's build, what it lacks.
fn check(comptime Backend: type) void {
    if (Backend == noreturn) return;
    const interface = .{
        .{ "init", fn (*sys.System, Allocator) InitError!Backend },
        .{ "deinit", fn (*Backend) void },
        .{ "add", fn (*Backend, Fd, u64, Interest) AddError!void },
        .{ "modify", fn (*Backend, Fd, u64, Interest) AddError!void },
        .{ "remove", fn (*Backend, Fd) void },
        .{ "wait", fn (*Backend, []Ready, ?u64) WaitError!usize },
        .{ "held", fn (*const Backend) u32 },
        .{ "waitable", fn (*const Backend) ?Fd },
    };
    for (interface) |entry| {
        const name, const Expected = entry;
        if (!@hasDecl(Backend, name)) {
            @compileError(@typeName(Backend) ++ " lacks " ++ name);
        }
        if (@TypeOf(@field(Backend, name)) != Expected) {
            @compileError(@typeName(Backend) ++ "." ++ name ++ " is not " ++ @typeName(Expected));
        }
    }
}

comptime {
    check(Poll);
    check(Epoll);
    check(Kqueue);
}

test {
    _ = @import("suite.zig");
}
