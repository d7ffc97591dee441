//! A context as C sees it: an opaque pointer, and results below zero that are codes. Each function
//! is the thin shape of one in `context.zig`; what they mean is documented in `earshot/ipc.h`.
//!
//! A pointer that may be missing is an optional one, because C can always leave it out: what then
//! happens is a default, or a code, and never the end of the host's process.

const std = @import("std");
const ipc = @import("ipc");
const sys = @import("sys");
const process = sys.process;
const argument = @import("library").argument;
const codes = @import("code.zig");
const options = @import("options.zig");
const places = @import("place.zig");
const Code = codes.Code;
const Handle = ipc.handle.Handle;
const Place = places.Place;
const memory = @import("memory.zig");
const allocator = memory.allocator;

pub const Context = struct {
    inner: ipc.Context,
    waiter: ?*ipc.Waiter = null,
    /// In its stead, where the host's loop can do without a thread.
    guest: ?ipc.Guest = null,
    /// How far `next` has walked the batch.
    walked: u32 = 0,

    /// Where every call of the owner's begins. On any other thread it touches nothing, since the
    /// owner may be at work there.
    pub fn enter(given: ?*Context) error{ InvalidArgument, WrongThread }!*Context {
        const context = given orelse return error.InvalidArgument;
        try context.inner.check();
        // What the control page is to say is what this call meets, and not one before it.
        context.inner.system.failure = .{};
        return context;
    }

    fn end(context: *Context) void {
        context.takeBell();
        context.inner.deinit() catch unreachable; // The caller has seen to the thread.
        allocator.destroy(context);
    }

    /// Whether there is what sleeps in the owner's stead.
    fn hasBell(context: *const Context) bool {
        return context.waiter != null or context.guest != null;
    }

    fn takeBell(context: *Context) void {
        if (context.waiter) |waiter| {
            waiter.stop();
            allocator.destroy(waiter);
        }
        context.waiter = null;
        if (context.guest) |*guest| guest.leave(&context.inner.system);
        context.guest = null;
    }

    fn startWaiter(context: *Context, bell: ipc.waiter.Bell) ipc.Waiter.StartError!void {
        const waiter = try allocator.create(ipc.Waiter);
        errdefer allocator.destroy(waiter);
        try waiter.start(allocator, bell);
        context.waiter = waiter;
    }

    /// Until when a waiter may sleep. Memory that is held in vain is given back when nothing has come for a while.
    fn nextDeadline(context: *Context) ?u64 {
        const next_ns = context.inner.nextDeadline();
        if (!memory.mayRelax()) return next_ns;
        const relax_ns = memory.relax(context.inner.system.monotonic()) orelse return next_ns;
        return @min(relax_ns, next_ns orelse relax_ns);
    }

    /// What was closed is not kept by a waiter that sleeps on it.
    pub fn letGo(context: *Context) void {
        const waiter = context.waiter orelse return;
        const poller = &context.inner.poller;
        if (poller.takeRemoved()) waiter.renew(poller.descriptors().?);
    }

    /// Leaves in the control page what the call met, and returns the code.
    pub fn fail(context: *Context, failure: codes.Error, detail: i64) i32 {
        // An argument is refused by us, whatever the system said of something else in the same call.
        if (failure == error.InvalidArgument or failure == error.NotWritable) context.inner.system.failure = .{};
        const control = context.inner.batch.control;
        control.errno = context.inner.system.failure.errno;
        control.syscall = @intFromEnum(context.inner.system.failure.syscall);
        control.detail = detail;
        return codes.of(failure);
    }
};

// ---- making ----

/// Without options the context has the defaults.
pub fn open(
    given: ?*const options.ContextOptions,
    out: ?*?*Context,
    failure_out: ?*options.Failure,
) callconv(.c) i32 {
    const settings: options.ContextOptions = if (given) |pointer| pointer.* else .{};
    if (failure_out) |pointer| pointer.* = .{};
    const made = out orelse return codes.of(error.InvalidArgument);
    made.* = null;
    const kind: ?ipc.poller.Kind = if (settings.poller == 0)
        null
    else
        std.enums.fromInt(ipc.poller.Kind, settings.poller) orelse
            return codes.of(error.InvalidArgument);
    const context = allocator.create(Context) catch return codes.of(error.OutOfMemory);
    context.waiter = null;
    context.guest = null;
    context.walked = 0;
    // It may be refused before the context has a system of its own to ask what failed.
    context.inner.system = .{};
    var sizes: ipc.batch.Sizes = .{};
    if (settings.inbox_bytes != 0) sizes.inbox_bytes = settings.inbox_bytes;
    if (settings.outbox_bytes != 0) sizes.outbox_bytes = settings.outbox_bytes;
    context.inner.init(allocator, .{}, .{
        .poller = kind,
        .sizes = sizes,
        .spin_ns = if (settings.spin_ns < 0)
            ipc.context.Options.spin_ns_default
        else
            @intCast(settings.spin_ns),
        .poison = settings.poison != 0,
    }) catch |failure| {
        if (failure_out) |pointer| pointer.* = .of(context.inner.system.failure, 0);
        allocator.destroy(context);
        return codes.of(failure);
    };
    made.* = context;
    return 0;
}

pub fn close(given: ?*Context) callconv(.c) i32 {
    const context = Context.enter(given) catch |failure| return codes.of(failure);
    context.inner.batch.control.entrusted.store(0, .release);
    context.end();
    return 0;
}

/// From now on the context closes by itself when the last area that its host references is released.
pub fn entrust(given: ?*Context) callconv(.c) i32 {
    const context = Context.enter(given) catch |failure| return codes.of(failure);
    context.inner.batch.control.entrusted.store(@intFromPtr(context), .release);
    return 0;
}

pub fn areas(given: ?*Context, out: ?*options.Areas) callconv(.c) i32 {
    const context = Context.enter(given) catch |failure| return codes.of(failure);
    const found = out orelse return context.fail(error.InvalidArgument, 0);
    const batch = &context.inner.batch;
    found.* = .{
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
pub fn areaReference(control: ?*ipc.batch.Control) callconv(.c) void {
    ipc.batch.Batch.reference(control orelse return);
}

/// The first argument is the area's own address, as the host's finalizers pass it.
pub fn areaRelease(_: ?*anyopaque, given: ?*ipc.batch.Control) callconv(.c) void {
    const control = given orelse return;
    switch (ipc.batch.Batch.unreference(control)) {
        0 => {
            var system: sys.System = .{};
            system.unmapPages(ipc.batch.Batch.memoryOf(control));
        },
        // Only the context itself is left, and nobody who could close it.
        1 => {
            const entrusted = control.entrusted.swap(0, .acq_rel);
            if (entrusted == 0) return;
            const context: *Context = @ptrFromInt(@as(usize, @intCast(entrusted)));
            // Its owner's thread is gone or has forgotten it, so that this one may take its place.
            context.inner.owner_thread = context.inner.system.threadId();
            context.end();
        },
        else => {},
    }
}

pub fn loanTake(given: ?*Context, payload: ?[*]u8) callconv(.c) i32 {
    const context = Context.enter(given) catch |failure| return codes.of(failure);
    const taken = payload orelse return context.fail(error.InvalidArgument, 0);
    context.inner.take(taken) catch |failure| return context.fail(failure, 0);
    return 0;
}

/// Any thread may call this. The second argument is there for the host's finalizers, which pass two.
pub fn loanRelease(payload: ?[*]u8, _: ?*anyopaque) callconv(.c) void {
    ipc.loan.Loan.free(allocator, payload orelse return);
}

// ---- waiting ----

pub fn wait(
    given: ?*Context,
    timeout_ns: i64,
    spin_ns: i64,
    outbox_bytes: u32,
) callconv(.c) i32 {
    const context = Context.enter(given) catch |failure| return codes.of(failure);
    defer context.letGo();
    context.walked = 0;
    const count = context.inner.wait(timeout_ns, spin_ns, outbox_bytes, codes.of) catch |failure|
        return context.fail(failure, 0);
    return @intCast(count);
}

/// One event at a time.
pub fn next(
    given: ?*Context,
    timeout_ns: i64,
    event_out: ?*ipc.event.Event,
    message_out: ?*?[*]const u8,
) callconv(.c) i32 {
    const context = Context.enter(given) catch |failure| return codes.of(failure);
    const out = event_out orelse return context.fail(error.InvalidArgument, 0);
    const batch = &context.inner.batch;
    // What a switch has taken over is no event any more.
    while (context.walked < batch.events_count and batch.events[context.walked].source == .none) context.walked += 1;
    if (context.walked >= batch.events_count) {
        const count = wait(context, timeout_ns, -1, 0);
        if (count <= 0) return count;
    }
    const event = batch.events[context.walked];
    context.walked += 1;
    out.* = event;
    if (message_out) |message| message.* = if (event.type == .message_rx) batch.payloadOf(event).ptr else null;
    return 1;
}

pub fn flush(given: ?*Context, outbox_bytes: u32) callconv(.c) i32 {
    const context = Context.enter(given) catch |failure| return codes.of(failure);
    defer context.letGo();
    context.inner.flush(outbox_bytes, codes.of) catch |failure| return context.fail(failure, 0);
    return 0;
}

/// Starts the waiter, and returns a descriptor that it makes readable, a byte each time. The descriptor is the caller's.
pub fn openBell(given: ?*Context) callconv(.c) i32 {
    const context = Context.enter(given) catch |failure| return codes.of(failure);
    if (context.hasBell()) return context.fail(error.InvalidArgument, 0);
    const system = &context.inner.system;
    const pair = system.pair() catch |failure| return context.fail(failure, 0);
    context.startWaiter(.{ .descriptor = pair[0] }) catch |failure| {
        for (pair) |fd| system.close(fd);
        return context.fail(failure, 0);
    };
    return pair[1];
}

/// The same by one end of a pair that the caller has made, which becomes the waiter's.
pub fn openBellOn(given: ?*Context, descriptor: sys.Fd) callconv(.c) i32 {
    const context = Context.enter(given) catch |failure| return codes.of(failure);
    if (context.hasBell() or descriptor < 0) return context.fail(error.InvalidArgument, 0);
    context.startWaiter(.{ .descriptor = descriptor }) catch |failure| return context.fail(failure, 0);
    return 0;
}

/// The same for a host that has registered the other end with an epoll of its own: if that will do, there is no thread.
pub fn openBellBeside(given: ?*Context, descriptor: sys.Fd, registered: sys.Fd) callconv(.c) i32 {
    const context = Context.enter(given) catch |failure| return codes.of(failure);
    if (context.hasBell() or registered < 0) return context.fail(error.InvalidArgument, 0);
    if (context.inner.poller.descriptors() == null and process.isFirstThread()) {
        const watched = context.inner.poller.waitable().?;
        if (ipc.Guest.settle(&context.inner.system, registered, descriptor, watched)) |guest| {
            context.guest = guest;
            return 1;
        } else |_| {}
    }
    return openBellOn(context, descriptor);
}

/// The host has read what a bell without a thread made readable.
pub fn heardBell(given: ?*Context) callconv(.c) i32 {
    const context = Context.enter(given) catch |failure| return codes.of(failure);
    if (context.guest) |*guest| guest.heard();
    return 0;
}

/// The host polls the bell no more. It may hang another one.
pub fn endBell(given: ?*Context) callconv(.c) i32 {
    const context = Context.enter(given) catch |failure| return codes.of(failure);
    context.takeBell();
    return 0;
}

/// Returns 1 if there is something to report at once, so that nothing is waited for. A context with a bell takes no callback.
pub fn arm(given: ?*Context, callback: ?ipc.waiter.Callback) callconv(.c) i32 {
    const context = Context.enter(given) catch |failure| return codes.of(failure);
    const is_threaded = if (context.waiter) |waiter| waiter.bell == .descriptor else false;
    const has_bell = context.guest != null or is_threaded;
    if ((callback == null) != has_bell) return context.fail(error.InvalidArgument, 0);
    if (context.inner.pending()) return 1;
    if (context.guest) |*guest| {
        guest.arm(&context.inner.system, context.nextDeadline()) catch |failure| return context.fail(failure, 0);
        return 0;
    }
    if (context.waiter == null) context.startWaiter(.{ .callback = callback.? }) catch |failure|
        return context.fail(failure, 0);
    const poller = &context.inner.poller;
    const waiter = context.waiter.?;
    const deadline_ns = context.nextDeadline();
    const armed = if (poller.descriptors()) |descriptors|
        waiter.arm(descriptors, deadline_ns)
    else
        waiter.armOne(poller.waitable().?, deadline_ns);
    armed catch |failure| return context.fail(failure, 0);
    return 0;
}

/// Any thread may call this.
pub fn ring(given: ?*Context) callconv(.c) void {
    const context = given orelse return;
    context.inner.ring();
}

// ---- adding ----

/// Without options the service has the defaults.
pub fn serve(
    given: ?*Context,
    directory_path: ?[*]const u8,
    directory_bytes: u32,
    name: ?[*]const u8,
    name_bytes: u32,
    service_options: ?*const options.ServiceOptions,
    users: ?[*]const u32,
    users_count: u32,
    groups: ?[*]const u32,
    groups_count: u32,
) callconv(.c) i32 {
    const context = Context.enter(given) catch |failure| return codes.of(failure);
    const system = &context.inner.system;
    const settings: options.ServiceOptions = if (service_options) |pointer| pointer.* else .{};
    const place = Place.of(directory_path, directory_bytes, name, name_bytes) catch |failure|
        return context.fail(failure, 0);
    const allow = options.allowOf(&settings, users, users_count, groups, groups_count) catch |failure|
        return context.fail(failure, 0);
    if (settings.mode > 0o777) return context.fail(error.InvalidArgument, 0);
    const backlog = std.math.cast(u31, settings.backlog) orelse
        return context.fail(error.InvalidArgument, 0);
    // Before anything is made that a refusal would leave behind.
    if (!settings.limits.valid() or !allow.valid()) return context.fail(error.InvalidArgument, 0);
    if (ipc.name.find(place.name)) |fault| return context.fail(error.NameInvalid, @intFromEnum(fault));

    var directory = ipc.RunDirectory.open(system, place.path, .{
        .make = true,
        .shared = settings.shared != 0,
        .name_bytes = place.name.len,
    }) catch |failure|
        return context.fail(failure, place.directoryDetail(system, failure));
    defer directory.close(system);
    var owner: i32 = 0;
    var claim = ipc.Claim.make(system, &directory, place.name, .{
        .mode = @intCast(settings.mode),
        .backlog = backlog,
        .owner = &owner,
    }) catch |failure| return context.fail(failure, switch (failure) {
        error.AlreadyServed => owner,
        else => places.nameDetail(failure, &directory, place.name),
    });
    // Claiming asks the system for things that may well not be there.
    system.failure = .{};
    const handle = context.inner.addService(claim, settings.limits, allow) catch |failure| {
        const met = system.failure;
        claim.release(system);
        system.failure = met;
        return context.fail(failure, 0);
    };
    return @intCast(handle.number());
}

/// Without options the connection has the defaults.
pub fn connect(
    given: ?*Context,
    directory_path: ?[*]const u8,
    directory_bytes: u32,
    name: ?[*]const u8,
    name_bytes: u32,
    connect_options: ?*const options.ConnectOptions,
) callconv(.c) i32 {
    const context = Context.enter(given) catch |failure| return codes.of(failure);
    const system = &context.inner.system;
    const settings: options.ConnectOptions = if (connect_options) |pointer| pointer.* else .{};
    const place = Place.of(directory_path, directory_bytes, name, name_bytes) catch |failure|
        return context.fail(failure, 0);
    if (!settings.limits.valid()) return context.fail(error.InvalidArgument, 0);

    var directory = ipc.RunDirectory.open(system, place.path, .{
        .shared = settings.shared != 0,
    }) catch |failure|
        return context.fail(failure, place.directoryDetail(system, failure));
    defer directory.close(system);
    const fd = ipc.claim.connectTo(system, &directory, place.name) catch |failure|
        return context.fail(failure, places.nameDetail(failure, &directory, place.name));
    system.failure = .{};
    const handle = context.inner.addConnection(fd, settings.limits) catch |failure| {
        const met = system.failure;
        system.close(fd);
        system.failure = met;
        return context.fail(failure, 0);
    };
    return @intCast(handle.number());
}

pub fn watch(given: ?*Context, fd: i32) callconv(.c) i32 {
    const context = Context.enter(given) catch |failure| return codes.of(failure);
    const handle = context.inner.addExternal(fd) catch |failure| return context.fail(failure, 0);
    return @intCast(handle.number());
}

pub fn timer(given: ?*Context, first_ns: i64, period_ns: i64) callconv(.c) i32 {
    const context = Context.enter(given) catch |failure| return codes.of(failure);
    if (first_ns < 0 or period_ns < 0) return context.fail(error.InvalidArgument, 0);
    const handle = context.inner.addTimer(@intCast(first_ns), @intCast(period_ns)) catch |failure|
        return context.fail(failure, 0);
    return @intCast(handle.number());
}

// ---- switches ----

pub fn bind(given: ?*Context, one: Handle, other: Handle, seen: u32) callconv(.c) i32 {
    const context = Context.enter(given) catch |failure| return codes.of(failure);
    defer context.letGo();
    const had = if (seen == std.math.maxInt(u32)) context.walked else seen;
    const handle = context.inner.addSwitchBehind(.{ one, other }, had) catch |failure|
        return context.fail(failure, if (failure == error.NotWritable) context.inner.unwritable else 0);
    return @intCast(handle.number());
}

pub fn bindCallbacks(
    given: ?*Context,
    bound: Handle,
    end: u32,
    input: ?ipc.switches.Input,
    output: ?ipc.switches.Output,
    callback_argument: ?*anyopaque,
) callconv(.c) i32 {
    const context = Context.enter(given) catch |failure| return codes.of(failure);
    const at = std.math.cast(u1, end) orelse return context.fail(error.InvalidArgument, 0);
    context.inner.setCallbacks(bound, at, .{
        .input = input,
        .output = output,
        .argument = callback_argument,
    }) catch |failure| return context.fail(failure, 0);
    return 0;
}

pub fn bindConverters(
    given: ?*Context,
    bound: Handle,
    end: u32,
    decode: ?ipc.switches.Converter,
    encode: ?ipc.switches.Converter,
    callback_argument: ?*anyopaque,
) callconv(.c) i32 {
    const context = Context.enter(given) catch |failure| return codes.of(failure);
    const at = std.math.cast(u1, end) orelse return context.fail(error.InvalidArgument, 0);
    context.inner.setCallbacks(bound, at, .{
        .decode = decode,
        .encode = encode,
        .argument = callback_argument,
    }) catch |failure| return context.fail(failure, 0);
    return 0;
}

/// A converter calls this in the middle of a wait, where every other call is refused.
pub fn convert(given: ?*Context, bytes: ?[*]const u8, count: u32) callconv(.c) i32 {
    const context = given orelse return codes.of(error.InvalidArgument);
    if (context.inner.system.threadId() != context.inner.owner_thread) return codes.of(error.WrongThread);
    const made = argument.list(u8, bytes, count) catch |failure| return codes.of(failure);
    context.inner.convert(made) catch |failure| return codes.of(failure);
    return 0;
}

// ---- sending ----

pub fn schedule(
    given: ?*Context,
    connection: Handle,
    bytes: ?[*]const u8,
    count: u32,
    token: i32,
) callconv(.c) i32 {
    const context = Context.enter(given) catch |failure| return codes.of(failure);
    defer context.letGo();
    const payload = argument.list(u8, bytes, count) catch |failure|
        return context.fail(failure, 0);
    const queued = context.inner.schedule(connection, payload, token) catch |failure|
        return context.fail(failure, 0);
    return std.math.lossyCast(i32, queued);
}

pub fn write(
    given: ?*Context,
    connection: Handle,
    bytes: ?[*]const u8,
    count: u32,
) callconv(.c) i32 {
    const context = Context.enter(given) catch |failure| return codes.of(failure);
    defer context.letGo();
    const payload = argument.list(u8, bytes, count) catch |failure|
        return context.fail(failure, 0);
    const queued = context.inner.write(connection, payload) catch |failure|
        return context.fail(failure, 0);
    return std.math.lossyCast(i32, queued);
}

pub fn pause(given: ?*Context, connection: Handle, paused: u32) callconv(.c) i32 {
    const context = Context.enter(given) catch |failure| return codes.of(failure);
    defer context.letGo();
    context.inner.pause(connection, paused != 0) catch |failure| return context.fail(failure, 0);
    return 0;
}

pub fn limitMessages(given: ?*Context, connection: Handle, bytes_max: u32) callconv(.c) i32 {
    const context = Context.enter(given) catch |failure| return codes.of(failure);
    defer context.letGo();
    context.inner.limitMessages(connection, bytes_max) catch |failure| return context.fail(failure, 0);
    return 0;
}

// ---- closing ----

pub fn closeHandle(given: ?*Context, handle: Handle, how: u32) callconv(.c) i32 {
    const context = Context.enter(given) catch |failure| return codes.of(failure);
    defer context.letGo();
    const close_how = std.enums.fromInt(ipc.context.CloseHow, how) orelse
        return context.fail(error.InvalidArgument, 0);
    context.inner.close(handle, close_how) catch |failure| return context.fail(failure, 0);
    return 0;
}

pub fn closeAll(given: ?*Context, how: u32) callconv(.c) i32 {
    const context = Context.enter(given) catch |failure| return codes.of(failure);
    defer context.letGo();
    const close_how = std.enums.fromInt(ipc.context.CloseHow, how) orelse
        return context.fail(error.InvalidArgument, 0);
    context.inner.closeAll(close_how) catch |failure| return context.fail(failure, 0);
    return 0;
}

// ---- asking ----

pub fn peer(given: ?*Context, connection: Handle, out: ?*options.Peer) callconv(.c) i32 {
    const context = Context.enter(given) catch |failure| return codes.of(failure);
    const found = out orelse return context.fail(error.InvalidArgument, 0);
    const credentials = context.inner.peer(connection) catch |failure|
        return context.fail(failure, 0);
    found.* = .{ .uid = credentials.uid, .gid = credentials.gid, .pid = credentials.pid };
    return 0;
}

pub fn peerProcess(given: ?*Context, connection: Handle) callconv(.c) i32 {
    const context = Context.enter(given) catch |failure| return codes.of(failure);
    const fd = context.inner.peerProcess(connection) catch |failure|
        return context.fail(failure, 0);
    return fd orelse context.fail(error.NotAvailable, 0);
}

pub fn statistics(
    given: ?*Context,
    handle: Handle,
    out: ?*ipc.statistics.Statistics,
) callconv(.c) i32 {
    const context = Context.enter(given) catch |failure| return codes.of(failure);
    const found = out orelse return context.fail(error.InvalidArgument, 0);
    found.* = context.inner.statisticsOf(handle) catch |failure| return context.fail(failure, 0);
    if (handle == .none) {
        if (context.waiter) |waiter| found.descriptors += waiter.held();
        if (context.guest != null) found.descriptors += ipc.Guest.held;
    }
    return 0;
}
