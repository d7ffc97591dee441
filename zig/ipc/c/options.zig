//! The structures that calls take and fill. Part of the ABI; `manifest.zig` publishes their layout.

const ipc = @import("ipc");
const sys = @import("sys");
const argument = @import("library").argument;

/// How a context is made.
pub const ContextOptions = extern struct {
    /// `ipc.poller.Kind`, or 0 for the system's best.
    poller: u32 = 0,
    /// 1 overwrites the bytes of a batch when the next begins, so that a stale view shows.
    poison: u32 = 0,
    /// Sizes of the areas, or 0 for the usual ones.
    inbox_bytes: u32 = 0,
    outbox_bytes: u32 = 0,
    /// How long `wait` looks for traffic before it sleeps: 0 for not at all, -1 for the default.
    spin_ns: i64 = -1,
};

pub const ServiceOptions = extern struct {
    limits: ipc.connection.Limits = .{},
    /// The socket's permission bits.
    mode: u32 = 0o600,
    /// How many connections may wait to be accepted.
    backlog: u32 = 4096,
    allow_everyone: u32 = 0,
    /// 1 accepts a run directory that others write to as well (see `run_directory.zig`).
    shared: u32 = 0,
};

pub const ConnectOptions = extern struct {
    limits: ipc.connection.Limits = .{},
    shared: u32 = 0,
    reserved: u32 = 0,
};

/// Who may connect, as the options and two lists say.
pub fn allowOf(
    settings: *const ServiceOptions,
    users: ?[*]const u32,
    users_count: u32,
    groups: ?[*]const u32,
    groups_count: u32,
) error{InvalidArgument}!ipc.service.Allow {
    return .{
        .everyone = settings.allow_everyone != 0,
        .users = try argument.list(u32, users, users_count),
        .groups = try argument.list(u32, groups, groups_count),
    };
}

/// The areas of a context: pointers, and how far they go.
pub const Areas = extern struct {
    control: *ipc.batch.Control,
    events: [*]ipc.event.Event,
    inbox: [*]u8,
    outbox: [*]u8,
    events_bytes: u32,
    inbox_bytes: u32,
    outbox_bytes: u32,
    reserved: u32 = 0,
};

pub const Peer = extern struct {
    uid: u32,
    gid: u32,
    /// 0 where the system does not tell.
    pid: i32,
    reserved: u32 = 0,
};

/// What a call that has no context yet leaves behind; the others leave it in `Control`.
pub const Failure = extern struct {
    errno: i32 = 0,
    syscall: u32 = 0,
    detail: i64 = 0,

    pub fn of(failure: sys.Failure, detail: i64) Failure {
        return .{ .errno = failure.errno, .syscall = @intFromEnum(failure.syscall), .detail = detail };
    }
};

/// What is found at a name in a run directory.
pub const Inspection = extern struct {
    state: State,
    /// The owner's process id, 0 if it does not say.
    pid: i32,
    uid: u32,
    reserved: u32 = 0,

    pub const State = enum(u32) {
        /// Served.
        live = 0,
        /// A socket whose owner is gone.
        stale = 1,
        /// A socket that is served without a lock: not by earshot.
        foreign = 2,
        /// We lack the permission to find out.
        unknown = 3,
    };
};
