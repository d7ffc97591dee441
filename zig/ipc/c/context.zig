//! A context as C sees it: an opaque pointer, and results below zero that are codes. Each function is the thin shape
//! of one in `context.zig`; what they mean is documented in `earshot/ipc.h`.

const std = @import("std");
const ipc = @import("ipc");
const sys = @import("sys");
const codes = @import("code.zig");
const options = @import("options.zig");
const Code = codes.Code;
const Handle = ipc.handle.Handle;
const allocator = std.heap.c_allocator;

pub const Context = struct {
    inner: ipc.Context,
    waiter: ?*ipc.Waiter = null,

    /// Leaves in the control page what the call met, and returns the code.
    fn fail(context: *Context, failure: codes.Error, detail: i64) i32 {
        const control = context.inner.batch.control;
        control.errno = context.inner.system.failure.errno;
        control.syscall = @intFromEnum(context.inner.system.failure.syscall);
        control.detail = detail;
        return codes.of(failure);
    }

    fn failPlain(context: *Context, failure: codes.Error) i32 {
        context.inner.system.failure = .{};
        return context.fail(failure, 0);
    }
};

// ---- making ----

pub fn open(given: *const options.ContextOptions, out: *?*Context, failure_out: *options.Failure) callconv(.c) i32 {
    out.* = null;
    failure_out.* = .{};
    const kind: ?ipc.poller.Kind = if (given.poller == 0)
        null
    else
        std.enums.fromInt(ipc.poller.Kind, given.poller) orelse return codes.of(error.InvalidArgument);
    const context = allocator.create(Context) catch return codes.of(error.OutOfMemory);
    context.waiter = null;
    var sizes: ipc.batch.Sizes = .{};
    if (given.inbox_bytes != 0) sizes.inbox_bytes = given.inbox_bytes;
    if (given.outbox_bytes != 0) sizes.outbox_bytes = given.outbox_bytes;
    context.inner.init(allocator, .{}, .{
        .poller = kind,
        .sizes = sizes,
        .spin_ns = if (given.spin_ns < 0) ipc.context.Options.spin_ns_default else @intCast(given.spin_ns),
        .poison = given.poison != 0,
    }) catch |failure| {
        failure_out.* = .of(context.inner.system.failure, 0);
        allocator.destroy(context);
        return codes.of(failure);
    };
    out.* = context;
    return 0;
}

pub fn close(context: *Context) callconv(.c) i32 {
    context.inner.check() catch |failure| return context.failPlain(failure);
    if (context.waiter) |waiter| {
        waiter.stop();
        allocator.destroy(waiter);
    }
    context.inner.deinit() catch unreachable; // The thread was checked above.
    allocator.destroy(context);
    return 0;
}

pub fn areas(context: *Context, out: *options.Areas) callconv(.c) i32 {
    context.inner.check() catch |failure| return context.failPlain(failure);
    const batch = &context.inner.batch;
    out.* = .{
        .control = batch.control,
        .events = batch.events.ptr,
        .inbox = batch.inbox.ptr,
        .outbox = batch.outbox.ptr,
        .events_bytes = @intCast(batch.control.events_bytes),
        .inbox_bytes = @intCast(batch.inbox.len),
        .outbox_bytes = @intCast(batch.outbox.len),
    };
    return 0;
}

/// Any thread may call this and the next: they keep the areas mapped for whoever still looks at them.
pub fn areaReference(control: *ipc.batch.Control) callconv(.c) void {
    ipc.batch.Batch.reference(control);
}

/// The first argument is the area's own address, as the host's finalizers pass it.
pub fn areaRelease(_: ?*anyopaque, control: *ipc.batch.Control) callconv(.c) void {
    var system: sys.System = .{};
    if (ipc.batch.Batch.unreference(control)) |memory| system.unmapPages(memory);
}

pub fn loanTake(context: *Context, payload: [*]u8) callconv(.c) i32 {
    context.inner.take(payload) catch |failure| return context.failPlain(failure);
    return 0;
}

/// Any thread may call this. The second argument is there for the host's finalizers, which pass two.
pub fn loanRelease(payload: [*]u8, _: ?*anyopaque) callconv(.c) void {
    ipc.loan.Loan.free(allocator, payload);
}

// ---- waiting ----

pub fn wait(context: *Context, timeout_ns: i64, spin_ns: i64, outbox_bytes: u32) callconv(.c) i32 {
    const count = context.inner.wait(timeout_ns, spin_ns, outbox_bytes, codes.of) catch |failure|
        return context.fail(failure, 0);
    return @intCast(count);
}

pub fn flush(context: *Context, outbox_bytes: u32) callconv(.c) i32 {
    context.inner.flush(outbox_bytes, codes.of) catch |failure| return context.fail(failure, 0);
    return 0;
}

/// Returns 1 if there is something to report at once, so that nothing is waited for.
pub fn arm(context: *Context, callback: ipc.waiter.Callback) callconv(.c) i32 {
    context.inner.check() catch |failure| return context.failPlain(failure);
    if (context.inner.pending()) return 1;
    if (context.waiter == null) {
        const waiter = allocator.create(ipc.Waiter) catch return context.failPlain(error.OutOfMemory);
        waiter.start(allocator, callback) catch |failure| {
            allocator.destroy(waiter);
            return context.failPlain(failure);
        };
        context.waiter = waiter;
    }
    const poller = &context.inner.poller;
    const one: [1]sys.PollFd = .{.{ .fd = poller.waitable() orelse -1, .events = sys.POLL.IN, .revents = 0 }};
    context.waiter.?.arm(poller.descriptors() orelse &one, context.inner.deadlines.next()) catch |failure|
        return context.failPlain(failure);
    return 0;
}

/// Any thread may call this.
pub fn ring(context: *Context) callconv(.c) void {
    context.inner.ring();
}

// ---- adding ----

pub fn serve(
    context: *Context,
    directory_path: [*]const u8,
    directory_bytes: u32,
    name: [*]const u8,
    name_bytes: u32,
    given: *const options.ServiceOptions,
    users: [*]const u32,
    users_count: u32,
    groups: [*]const u32,
    groups_count: u32,
) callconv(.c) i32 {
    context.inner.check() catch |failure| return context.failPlain(failure);
    const system = &context.inner.system;
    const name_given = name[0..name_bytes];
    const path = directory_path[0..directory_bytes];
    var directory = ipc.RunDirectory.open(system, path, .{ .make = true, .shared = given.shared != 0 }) catch |failure|
        return context.fail(failure, options.directoryDetail(system, failure, path, name_given));
    defer directory.close(system);
    if (given.mode > 0o777) return context.failPlain(error.InvalidArgument);
    var owner: i32 = 0;
    var claim = ipc.Claim.make(system, &directory, name_given, .{
        .mode = @intCast(given.mode),
        .backlog = std.math.cast(u31, given.backlog) orelse return context.failPlain(error.InvalidArgument),
        .owner = &owner,
    }) catch |failure| return context.fail(failure, switch (failure) {
        error.AlreadyServed => owner,
        else => options.nameDetail(failure, &directory, name_given),
    });
    const handle = context.inner.addService(claim, given.limits, .{
        .everyone = given.allow_everyone != 0,
        .users = users[0..users_count],
        .groups = groups[0..groups_count],
    }) catch |failure| {
        const met = system.failure;
        claim.release(system);
        system.failure = met;
        return context.fail(failure, 0);
    };
    return @intCast(handle.number());
}

pub fn connect(
    context: *Context,
    directory_path: [*]const u8,
    directory_bytes: u32,
    name: [*]const u8,
    name_bytes: u32,
    given: *const options.ConnectOptions,
) callconv(.c) i32 {
    context.inner.check() catch |failure| return context.failPlain(failure);
    const system = &context.inner.system;
    const name_given = name[0..name_bytes];
    const path = directory_path[0..directory_bytes];
    var directory = ipc.RunDirectory.open(system, path, .{ .shared = given.shared != 0 }) catch |failure|
        return context.fail(failure, options.directoryDetail(system, failure, path, name_given));
    defer directory.close(system);
    const fd = ipc.claim.connectTo(system, &directory, name_given) catch |failure|
        return context.fail(failure, options.nameDetail(failure, &directory, name_given));
    const handle = context.inner.addConnection(fd, given.limits) catch |failure| {
        const met = system.failure;
        system.close(fd);
        system.failure = met;
        return context.fail(failure, 0);
    };
    return @intCast(handle.number());
}

pub fn watch(context: *Context, fd: i32) callconv(.c) i32 {
    context.inner.system.failure = .{};
    const handle = context.inner.addExternal(fd) catch |failure| return context.fail(failure, 0);
    return @intCast(handle.number());
}

pub fn timer(context: *Context, first_ns: i64, period_ns: i64) callconv(.c) i32 {
    if (first_ns < 0 or period_ns < 0) return context.failPlain(error.InvalidArgument);
    const handle = context.inner.addTimer(@intCast(first_ns), @intCast(period_ns)) catch |failure|
        return context.failPlain(failure);
    return @intCast(handle.number());
}

// ---- sending ----

pub fn schedule(context: *Context, connection: Handle, bytes: [*]const u8, count: u32, token: i32) callconv(.c) i32 {
    const queued = context.inner.schedule(connection, bytes[0..count], token) catch |failure|
        return context.fail(failure, 0);
    return std.math.lossyCast(i32, queued);
}

pub fn write(context: *Context, connection: Handle, bytes: [*]const u8, count: u32) callconv(.c) i32 {
    const queued = context.inner.write(connection, bytes[0..count]) catch |failure| return context.fail(failure, 0);
    return std.math.lossyCast(i32, queued);
}

pub fn pause(context: *Context, connection: Handle, paused: u32) callconv(.c) i32 {
    context.inner.pause(connection, paused != 0) catch |failure| return context.failPlain(failure);
    return 0;
}

// ---- closing ----

pub fn closeHandle(context: *Context, handle: Handle, how: u32) callconv(.c) i32 {
    const close_how = std.enums.fromInt(ipc.context.CloseHow, how) orelse
        return context.failPlain(error.InvalidArgument);
    context.inner.close(handle, close_how) catch |failure| return context.failPlain(failure);
    return 0;
}

pub fn closeAll(context: *Context, how: u32) callconv(.c) i32 {
    const close_how = std.enums.fromInt(ipc.context.CloseHow, how) orelse
        return context.failPlain(error.InvalidArgument);
    context.inner.closeAll(close_how) catch |failure| return context.failPlain(failure);
    return 0;
}

// ---- asking ----

pub fn peer(context: *Context, connection: Handle, out: *options.Peer) callconv(.c) i32 {
    const credentials = context.inner.peer(connection) catch |failure| return context.failPlain(failure);
    out.* = .{ .uid = credentials.uid, .gid = credentials.gid, .pid = credentials.pid };
    return 0;
}

pub fn peerProcess(context: *Context, connection: Handle) callconv(.c) i32 {
    const fd = context.inner.peerProcess(connection) catch |failure| return context.failPlain(failure);
    return fd orelse context.failPlain(error.NotAvailable);
}

pub fn statistics(context: *Context, handle: Handle, out: *ipc.statistics.Statistics) callconv(.c) i32 {
    out.* = context.inner.statisticsOf(handle) catch |failure| return context.failPlain(failure);
    return 0;
}
