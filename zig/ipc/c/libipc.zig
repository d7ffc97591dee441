//! LibIPC's face: the calls of LibIPC 0.1 over a context, one event at a time, so that C programs written for it go on.
//! What they mean is documented in `libipc.h`.
//!
//! LibIPC knows its connections by their descriptors and by their places in one list, in which the last takes the place
//! of one that is removed. Both are kept here, beside the context's handles:
//!
//!     entries   | service | connection | connection | external |      the index of an event is a place here
//!     kept      events that came while the message of one connection was waited for
//!
//! What goes beyond LibIPC: a message may be as long as the context's limit allows, one that does not fit the program's
//! buffer stays, and what was written or scheduled is still sent when the context ends.

const std = @import("std");
const ipc = @import("ipc");
const sys = @import("sys");
const allocator = @import("memory.zig").allocator;
const Event = ipc.event.Event;
const Handle = ipc.handle.Handle;

// LibIPC's results.
const ok: c_int = 0;
const failed: c_int = -1;
const no_message: c_int = -2;
const buffer_too_small: c_int = -3;

/// Of what is kept for one connection; beyond it the peer is made to wait.
const kept_bytes_max = 1024 * 1024;
/// How long a context that ends goes on sending. Each connection has its own limit; this is beyond all of them.
const farewell_ns_max = 10 * std.time.ns_per_s;

const Entry = struct {
    fd: sys.Fd,
    handle: Handle,
    kind: Kind,
    /// Of a switch.
    at: u1 = 0,
    /// Bytes of messages kept for it, and whether it is paused because of them.
    kept_bytes: usize = 0,
    paused: bool = false,
    /// An external descriptor that was found readable and is not watched until that is told: it would be found again and
    /// again.
    asleep: bool = false,
    /// It has ended, its number is another's, and its end is still to be told.
    retired: bool = false,

    /// An external descriptor is the program's, and LibIPC closes it as it does all others.
    const Kind = enum { service, connection, external, switched, switched_external };

    fn isSwitched(entry: Entry) bool {
        return entry.kind == .switched or entry.kind == .switched_external;
    }
};

/// What a program is told.
const Item = struct {
    type: ipc.event.Type,
    handle: Handle,
    at: u1 = 0,
    /// Of a connection's service; of all else it follows from the handle.
    origin: sys.Fd = 0,
    payload: []u8 = &.{},
};

/// The functions that LibIPC's programs give for one end of a switch. In its header the payload that is filled is the
/// constant one. The result is a number of `Verdict`, as C has its enumerations.
const Input = *const fn (origin: c_int, payload: [*]const u8, length: *u32) callconv(.c) c_uint;
const Output = *const fn (destination: c_int, payload: [*]u8, length: u32) callconv(.c) c_uint;

const Callbacks = struct {
    input: ?Input,
    output: ?Output,

    fn read(argument: ?*anyopaque, fd: sys.Fd, bytes: [*]u8, length: *u32) callconv(.c) ipc.switches.Verdict {
        const callbacks: *const Callbacks = @ptrCast(@alignCast(argument.?));
        return @enumFromInt(@as(c_int, @bitCast(callbacks.input.?(fd, bytes, length))));
    }

    fn write(argument: ?*anyopaque, fd: sys.Fd, bytes: [*]const u8, length: u32) callconv(.c) ipc.switches.Verdict {
        const callbacks: *const Callbacks = @ptrCast(@alignCast(argument.?));
        return @enumFromInt(@as(c_int, @bitCast(callbacks.output.?(fd, @constCast(bytes), length))));
    }
};

pub const Context = struct {
    inner: ipc.Context,
    entries: std.ArrayList(Entry) = .empty,
    kept: std.Deque(Item) = .empty,
    /// One for each end of a switch that was given any, freed with the context: they may be called until then.
    callbacks: std.ArrayList(*Callbacks) = .empty,
    /// How far the batch has been walked, and how many events it has.
    at: u32 = 0,
    count: u32 = 0,
    /// An external descriptor may be asleep, so that the entries are looked through for it.
    has_sleepers: bool = false,
    /// In milliseconds; below zero for none.
    timer_ms: c_int = -1,

    fn enter(given: ?*Context) ?*Context {
        const context = given orelse return null;
        context.inner.check() catch return null; // A callback may not call its context either.
        return context;
    }

    // Entries

    fn indexOfFd(context: *const Context, fd: sys.Fd) ?usize {
        for (context.entries.items, 0..) |entry, index| if (entry.fd == fd and !entry.retired) return index;
        return null;
    }

    fn indexOf(context: *const Context, handle: Handle, at: u1) ?usize {
        for (context.entries.items, 0..) |entry, index| {
            if (entry.handle == handle and entry.at == at) return index;
        }
        return null;
    }

    /// Ends the entry, and what is bound to it. Its program is not told.
    fn close(context: *Context, index: usize) void {
        const entry = context.entries.items[index];
        context.inner.close(entry.handle, .drain) catch {}; // It may have ended by itself.
        context.forget(entry.handle);
    }

    /// Takes all entries of that handle away, and with them what was kept of it.
    fn forget(context: *Context, handle: Handle) void {
        var index: usize = 0;
        while (index < context.entries.items.len) {
            const entry = context.entries.items[index];
            if (entry.handle != handle) {
                index += 1;
                continue;
            }
            context.closeTheirs(entry);
            _ = context.entries.swapRemove(index);
        }
        context.dropKept(handle);
    }

    /// A descriptor of the program's is closed with its entry, as LibIPC does, unless the program has done so itself.
    fn closeTheirs(context: *Context, entry: Entry) void {
        const is_theirs = entry.kind == .external or entry.kind == .switched_external;
        if (is_theirs and context.inner.system.isOpen(entry.fd)) context.inner.system.close(entry.fd);
    }

    fn isTheirsOpen(context: *Context, handle: Handle) bool {
        return context.inner.system.isOpen(context.entries.items[context.indexOf(handle, 0).?].fd);
    }

    fn dropKept(context: *Context, handle: Handle) void {
        for (0..context.kept.len) |_| {
            const item = context.kept.popFront().?;
            if (item.handle == handle)
                allocator.free(item.payload)
            else
                context.kept.pushBackAssumeCapacity(item);
        }
    }

    // Events

    fn payloadOf(context: *Context, event: *const Event) []const u8 {
        if (event.flags & ipc.event.flag_loan == 0)
            return context.inner.batch.inbox[event.offset..][0..event.length];
        const start: [*]const u8 = @ptrFromInt(@as(usize, @intCast(event.data)));
        return start[0..event.length];
    }

    /// What LibIPC's programs are told of an event, without its payload; null for nothing.
    fn itemOf(context: *Context, event: *const Event) error{OutOfMemory}!?Item {
        switch (event.type) {
            .connection => {
                const service = context.indexOf(event.origin, 0) orelse {
                    // The program has closed it meanwhile, and would not know what to do with a connection of its.
                    context.inner.close(event.source, .now) catch {};
                    return null;
                };
                const fd: sys.Fd = @intCast(event.data);
                try context.entries.append(allocator, .{ .fd = fd, .handle = event.source, .kind = .connection });
                return .{
                    .type = .connection,
                    .handle = event.source,
                    .origin = context.entries.items[service].fd,
                };
            },
            .disconnection => {
                const at: u1 = @intCast(event.offset);
                const index = context.indexOf(event.source, at) orelse return null;
                const entry = context.entries.items[index];
                // A callback that failed is an error, as it is for LibIPC.
                const is_failure = entry.isSwitched() and event.reason == .malformed;
                return .{ .type = if (is_failure) .@"error" else .disconnection, .handle = event.source, .at = at };
            },
            .message_rx, .message_tx, .external => {
                if (context.indexOf(event.source, 0) == null) return null;
                return .{ .type = event.type, .handle = event.source };
            },
            .switch_rx, .switch_tx => {
                const at: u1 = @intCast(event.offset);
                if (context.indexOf(event.source, at) == null) return null;
                return .{ .type = event.type, .handle = event.source, .at = at };
            },
            // A peer that was refused, or a pause in accepting, is nothing a program for LibIPC can do anything about.
            .@"error", .timer, .drain => return null,
        }
    }

    /// The descriptor of one that has ended may be that of one that was accepted in the same wait. The old one's end is
    /// told first, so that each descriptor is one connection's at a time.
    fn endStale(context: *Context, event: *const Event) error{OutOfMemory}!void {
        if (event.type == .connection) try context.retire(@intCast(event.data));
    }

    /// Whether it is a connection that has ended, of which the program is yet to be told.
    fn hasEnded(context: *Context, index: usize) bool {
        const entry = context.entries.items[index];
        if (entry.kind != .connection) return false;
        const connection = context.inner.connectionOf(entry.handle) catch return true;
        return connection.state == .ended;
    }

    /// The number is about to be another's.
    fn retire(context: *Context, fd: sys.Fd) error{OutOfMemory}!void {
        const index = context.indexOfFd(fd) orelse return;
        const entry = context.entries.items[index];
        // Where its program has closed an external descriptor and not said so, the number is not that one's any more.
        if (entry.kind == .switched_external) {
            // What it stood for goes on in its switch.
            context.entries.items[index].kind = .switched;
            context.entries.items[index].fd = -1;
            return;
        }
        if (entry.kind == .external) {
            context.inner.close(entry.handle, .now) catch {};
            context.dropKept(entry.handle);
            _ = context.entries.swapRemove(index);
            return;
        }
        try context.kept.pushBack(allocator, .{ .type = .disconnection, .handle = entry.handle, .at = entry.at });
        context.entries.items[index].retired = true;
    }

    /// Keeps what is left of the batch, so that another wait can begin.
    fn keepRest(context: *Context) error{OutOfMemory}!void {
        while (context.at < context.count) {
            const event = &context.inner.batch.events[context.at];
            try context.endStale(event);
            try context.kept.ensureUnusedCapacity(allocator, 1);
            var kept = try context.itemOf(event) orelse {
                context.at += 1;
                continue;
            };
            // Until here nothing was taken from the batch, so that nothing is lost for want of memory.
            if (event.type == .message_rx) kept.payload = try allocator.dupe(u8, context.payloadOf(event));
            context.at += 1;
            switch (event.type) {
                .message_rx => context.countKept(kept),
                .external => context.putToSleep(kept.handle),
                // How often bytes passed is of no account.
                .switch_rx, .switch_tx => if (context.isKept(kept)) continue,
                else => {},
            }
            context.kept.pushBackAssumeCapacity(kept);
        }
    }

    fn countKept(context: *Context, item: Item) void {
        const entry = &context.entries.items[context.indexOf(item.handle, 0).?];
        entry.kept_bytes += item.payload.len;
        if (entry.kept_bytes <= kept_bytes_max or entry.paused) return;
        context.inner.pause(entry.handle, true) catch {};
        entry.paused = true;
    }

    fn isKept(context: *const Context, item: Item) bool {
        for (0..context.kept.len) |number| {
            const other = context.kept.at(number);
            if (other.type == item.type and other.handle == item.handle and other.at == item.at) return true;
        }
        return false;
    }

    fn putToSleep(context: *Context, handle: Handle) void {
        context.inner.close(handle, .now) catch {};
        context.entries.items[context.indexOf(handle, 0).?].asleep = true;
        context.has_sleepers = true;
    }

    /// Those that were told of are watched again; one that its program has closed is forgotten. For want of descriptors
    /// one sleeps on, and is tried again with the next wait.
    fn wakeSleepers(context: *Context) void {
        if (!context.has_sleepers) return;
        context.has_sleepers = false;
        var index: usize = 0;
        while (index < context.entries.items.len) {
            const entry = &context.entries.items[index];
            if (entry.asleep) {
                if (context.inner.addExternal(entry.fd)) |handle| {
                    entry.handle = handle;
                    entry.asleep = false;
                } else |failure| if (failure == error.Unexpected) {
                    _ = context.entries.swapRemove(index);
                    continue;
                } else {
                    context.has_sleepers = true;
                }
            }
            index += 1;
        }
    }

    fn wait(context: *Context, timeout_ns: i64) ipc.context.WaitError!void {
        context.at = 0;
        context.count = 0;
        context.count = try context.inner.wait(timeout_ns, -1, 0, noRun);
    }

    /// Nothing is sent by way of the outbox.
    fn noRun(_: ipc.context.SendError) i32 {
        return -1;
    }

    /// A message that was kept for a connection has been handed out.
    fn release(context: *Context, item: Item) void {
        allocator.free(item.payload);
        if (item.type != .message_rx) return;
        const entry = &context.entries.items[context.indexOf(item.handle, 0) orelse return];
        entry.kept_bytes -= item.payload.len;
        if (!entry.paused or entry.kept_bytes > kept_bytes_max / 2) return;
        context.inner.pause(entry.handle, false) catch {};
        entry.paused = false;
    }

    fn deinit(context: *Context) void {
        for (0..context.kept.len) |_| allocator.free(context.kept.popFront().?.payload);
        context.kept.deinit(allocator);
        for (context.entries.items) |entry| context.closeTheirs(entry);
        context.entries.deinit(allocator);
        context.inner.deinit() catch unreachable; // The caller has seen to the thread.
        for (context.callbacks.items) |callbacks| allocator.destroy(callbacks);
        context.callbacks.deinit(allocator);
        allocator.destroy(context);
    }

    /// What was taken is sent, as far as those at the other ends take it.
    fn sayFarewell(context: *Context) void {
        context.inner.closeAll(.drain) catch return;
        const end_ns = context.inner.system.monotonic() + farewell_ns_max;
        while (context.inner.statistics.connections_open > 0) {
            const now_ns = context.inner.system.monotonic();
            if (now_ns >= end_ns) return;
            context.wait(@intCast(end_ns - now_ns)) catch return;
        }
    }
};

/// Tells where what is told of stands, once it is told.
fn place(context: *const Context, item: Item) struct { index: usize, fd: sys.Fd } {
    // Whatever is told of has its entry until its end is told.
    const index = context.indexOf(item.handle, item.at).?;
    return .{ .index = index, .fd = if (item.type == .connection) item.origin else context.entries.items[index].fd };
}

// ---- the calls ----

pub fn init(out: ?*?*Context) callconv(.c) c_int {
    const made = out orelse return failed;
    made.* = null;
    const context = allocator.create(Context) catch return failed;
    context.* = .{ .inner = undefined };
    context.inner.init(allocator, .{}, .{}) catch {
        allocator.destroy(context);
        return failed;
    };
    made.* = context;
    return ok;
}

pub fn deinit(given: ?*?*Context) callconv(.c) void {
    const pointer = given orelse return;
    const context = Context.enter(pointer.*) orelse return;
    context.sayFarewell();
    context.deinit();
    pointer.* = null;
}

const Found = struct { directory: ipc.RunDirectory, name: []const u8 };

fn find(context: *Context, name: ?[*]const u8, name_bytes: u16, make: bool) ?Found {
    const bytes = name orelse return null;
    const system = &context.inner.system;
    var buffer: [ipc.run_directory.path_bytes_max]u8 = undefined;
    const path = ipc.run_directory.resolve(&buffer, null, .of(system), system.userId()) catch return null;
    return .{
        .directory = ipc.RunDirectory.open(system, path, .{ .make = make }) catch return null,
        .name = bytes[0..name_bytes],
    };
}

pub fn serve(given: ?*Context, fd_out: ?*c_int, name: ?[*]const u8, name_bytes: u16) callconv(.c) c_int {
    const context = Context.enter(given) orelse return failed;
    const out = fd_out orelse return failed;
    const system = &context.inner.system;
    var found = find(context, name, name_bytes, true) orelse return failed;
    defer found.directory.close(system);
    context.entries.ensureUnusedCapacity(allocator, 1) catch return failed;
    var claim = ipc.Claim.make(system, &found.directory, found.name, .{}) catch return failed;
    const fd = claim.listener();
    context.retire(fd) catch {
        claim.release(system);
        return failed;
    };
    const handle = context.inner.addService(claim, .{}, .{}) catch {
        claim.release(system);
        return failed;
    };
    context.entries.appendAssumeCapacity(.{ .fd = fd, .handle = handle, .kind = .service });
    out.* = fd;
    return ok;
}

/// A connection to a service here, or to one elsewhere by way of ipcd, which is waited for.
fn reach(system: *sys.System, found: *const Found) ?sys.Fd {
    const variable = ipc.lookup.variableOf(system);
    switch (ipc.lookup.whereIs(found.name, variable)) {
        .here => return ipc.claim.connectTo(system, &found.directory, found.name) catch null,
        .elsewhere => {
            const until_ns = system.monotonic() + ipc.lookup.timeout_default_ns;
            var reason: ipc.lookup.Reason = .{};
            return ipc.lookup.find(system, &found.directory, found.name, variable, until_ns, &reason) catch null;
        },
        .broken => return null,
    }
}

pub fn connect(given: ?*Context, fd_out: ?*c_int, name: ?[*]const u8, name_bytes: u16) callconv(.c) c_int {
    const context = Context.enter(given) orelse return failed;
    const out = fd_out orelse return failed;
    const system = &context.inner.system;
    var found = find(context, name, name_bytes, false) orelse return failed;
    defer found.directory.close(system);
    context.entries.ensureUnusedCapacity(allocator, 1) catch return failed;
    const fd = reach(system, &found) orelse return failed;
    context.retire(fd) catch {
        system.close(fd);
        return failed;
    };
    const handle = context.inner.adopt(fd, .{}, .{}) catch {
        system.close(fd);
        return failed;
    };
    context.entries.appendAssumeCapacity(.{ .fd = fd, .handle = handle, .kind = .connection });
    out.* = fd;
    return ok;
}

fn connectionOf(context: *Context, fd: c_int) ?Handle {
    const entry = context.entries.items[context.indexOfFd(fd) orelse return null];
    return if (entry.kind == .connection) entry.handle else null;
}

fn payloadFrom(bytes: ?[*]const u8, length: u32) ?[]const u8 {
    if (bytes) |pointer| return pointer[0..length];
    return if (length == 0) "" else null;
}

pub fn write(given: ?*Context, fd: c_int, bytes: ?[*]u8, length: u32) callconv(.c) c_int {
    const context = Context.enter(given) orelse return failed;
    const handle = connectionOf(context, fd) orelse return failed;
    _ = context.inner.write(handle, payloadFrom(bytes, length) orelse return failed) catch return failed;
    return ok;
}

pub fn schedule(given: ?*Context, fd: c_int, bytes: ?[*]const u8, length: u32) callconv(.c) c_int {
    const context = Context.enter(given) orelse return failed;
    const handle = connectionOf(context, fd) orelse return failed;
    // Any token has it reported.
    _ = context.inner.schedule(handle, payloadFrom(bytes, length) orelse return failed, 1) catch return failed;
    return ok;
}

pub fn waitEvent(
    given: ?*Context,
    type_out: ?*u8,
    index_out: ?*usize,
    fd_out: ?*c_int,
    buffer: ?[*]u8,
    length: ?*usize,
) callconv(.c) c_int {
    const context = Context.enter(given) orelse return failed;
    const told: Told = .{
        .type = type_out orelse return failed,
        .index = index_out orelse return failed,
        .fd = fd_out orelse return failed,
        .into = .{ .buffer = buffer, .length = length orelse return failed },
    };
    const system = &context.inner.system;
    const due_ns: ?u64 = if (context.timer_ms < 0)
        null
    else
        system.monotonic() + @as(u64, @intCast(context.timer_ms)) * std.time.ns_per_ms;
    var has_waited = false;
    outer: while (true) {
        while (context.kept.len > 0) if (tellKept(context, told)) |result| return result;
        while (context.at < context.count) {
            const event = &context.inner.batch.events[context.at];
            context.endStale(event) catch return failed;
            if (context.kept.len > 0) continue :outer;
            const payload = if (event.type == .message_rx) context.payloadOf(event) else "";
            const item = context.itemOf(event) catch return failed;
            const result = if (item) |known| told.tell(context, known, payload) else null;
            if (result == buffer_too_small) return result.?;
            context.at += 1;
            if (result) |code| return code;
        }
        const now_ns = if (due_ns == null) 0 else system.monotonic();
        // However short the time, what is there is told first.
        if (due_ns) |due| if (now_ns >= due and has_waited) {
            told.set(.timer, 0, 0);
            return ok;
        };
        // Nothing is kept any more, so that all of them have been told of.
        context.wakeSleepers();
        context.wait(if (due_ns) |due| @intCast(due -| now_ns) else -1) catch return failed;
        has_waited = true;
    }
}

const Into = struct {
    buffer: ?[*]u8,
    length: *usize,

    /// Below zero nothing was copied.
    fn put(into: Into, payload: []const u8) c_int {
        const room = if (into.buffer == null) 0 else into.length.*;
        into.length.* = payload.len;
        if (payload.len > room) return buffer_too_small;
        if (into.buffer) |buffer| @memcpy(buffer[0..payload.len], payload);
        return ok;
    }
};

/// Where a program wants to be told.
const Told = struct {
    type: *u8,
    index: *usize,
    fd: *c_int,
    into: Into,

    fn set(told: Told, kind: ipc.event.Type, index: usize, fd: c_int) void {
        told.type.* = @intFromEnum(kind);
        told.index.* = index;
        told.fd.* = fd;
        if (kind != .message_rx) told.into.length.* = 0;
    }

    fn tell(told: Told, context: *Context, item: Item, payload: []const u8) c_int {
        const found = place(context, item);
        told.set(item.type, found.index, found.fd);
        if (item.type == .message_rx) return told.into.put(payload);
        if (item.type == .disconnection or item.type == .@"error") context.forget(item.handle);
        return ok;
    }
};

/// Null if there is nothing to tell after all.
fn tellKept(context: *Context, told: Told) ?c_int {
    const item = context.kept.front().?;
    if (item.type == .external and !context.isTheirsOpen(item.handle)) {
        context.forget(item.handle);
        return null;
    }
    const result = told.tell(context, item, item.payload);
    if (result == buffer_too_small) return result;
    // An end has taken its own item away with all else that was kept of it.
    if (context.kept.front()) |left| if (left.handle == item.handle and left.type == item.type) {
        _ = context.kept.popFront();
        context.release(item);
    };
    return result;
}

pub fn readFd(given: ?*Context, fd: c_int, buffer: ?[*]u8, length: ?*usize) callconv(.c) c_int {
    const context = Context.enter(given) orelse return failed;
    return read(context, context.indexOfFd(fd) orelse return failed, buffer, length);
}

pub fn readIndex(given: ?*Context, index: usize, buffer: ?[*]u8, length: ?*usize) callconv(.c) c_int {
    const context = Context.enter(given) orelse return failed;
    if (index >= context.entries.items.len) return failed;
    return read(context, index, buffer, length);
}

/// The next message of one connection; what else happens meanwhile is told later.
fn read(context: *Context, index: usize, buffer: ?[*]u8, length: ?*usize) c_int {
    const into: Into = .{ .buffer = buffer, .length = length orelse return failed };
    const entry = context.entries.items[index];
    if (entry.kind != .connection) return failed;
    while (true) {
        context.keepRest() catch return failed;
        var left = context.kept.len;
        var result: ?c_int = null;
        // Once round, so that the others stay in their order.
        while (left > 0) : (left -= 1) {
            const item = context.kept.popFront().?;
            if (result == null and item.handle == entry.handle) switch (item.type) {
                .message_rx => {
                    result = into.put(item.payload);
                    if (result != buffer_too_small) {
                        context.release(item);
                        continue;
                    }
                },
                .disconnection => result = no_message,
                else => {},
            };
            context.kept.pushBackAssumeCapacity(item);
        }
        if (result) |code| return code;
        context.wait(-1) catch return failed;
    }
}

pub fn setTimer(given: ?*Context, ms: c_int) callconv(.c) void {
    const context = Context.enter(given) orelse return;
    context.timer_ms = ms;
}

pub fn closeFd(given: ?*Context, fd: c_int) callconv(.c) c_int {
    const context = Context.enter(given) orelse return failed;
    context.close(context.indexOfFd(fd) orelse return failed);
    return ok;
}

pub fn closeIndex(given: ?*Context, index: usize) callconv(.c) c_int {
    const context = Context.enter(given) orelse return failed;
    if (index >= context.entries.items.len) return failed;
    context.close(index);
    return ok;
}

pub fn closeAll(given: ?*Context) callconv(.c) c_int {
    const context = Context.enter(given) orelse return failed;
    while (context.entries.items.len > 0) context.close(0);
    return ok;
}

pub fn addExternal(given: ?*Context, fd: c_int) callconv(.c) c_int {
    const context = Context.enter(given) orelse return failed;
    if (context.indexOfFd(fd)) |index| {
        if (!context.hasEnded(index)) return failed;
        context.retire(fd) catch return failed;
    }
    context.entries.ensureUnusedCapacity(allocator, 1) catch return failed;
    const handle = context.inner.addExternal(fd) catch return failed;
    context.entries.appendAssumeCapacity(.{ .fd = fd, .handle = handle, .kind = .external });
    return ok;
}

pub fn addSwitch(given: ?*Context, one: c_int, other: c_int) callconv(.c) c_int {
    const context = Context.enter(given) orelse return failed;
    // What came before of either goes first.
    context.keepRest() catch return failed;
    const indexes = [_]usize{
        context.indexOfFd(one) orelse return failed,
        context.indexOfFd(other) orelse return failed,
    };
    var handles: [2]Handle = undefined;
    var early: [2]std.ArrayList(u8) = @splat(.empty);
    defer for (&early) |*bytes| bytes.deinit(allocator);
    for (indexes, &handles, &early) |index, *handle, *bytes| {
        const entry = &context.entries.items[index];
        if (entry.asleep) {
            const awake = context.inner.addExternal(entry.fd) catch return failed;
            context.dropKept(entry.handle);
            entry.handle = awake;
            entry.asleep = false;
        }
        handle.* = entry.handle;
        for (0..context.kept.len) |number| {
            const item = context.kept.at(number);
            if (item.handle != handle.* or item.type != .message_rx) continue;
            bytes.appendSlice(allocator, &ipc.frame.encodeHeader(@intCast(item.payload.len))) catch return failed;
            bytes.appendSlice(allocator, item.payload) catch return failed;
        }
    }
    const bound = context.inner.addSwitch(handles, .{ early[0].items, early[1].items }) catch return failed;
    for (handles) |handle| context.dropKept(handle);
    for (indexes, 0..) |index, at| {
        const entry = &context.entries.items[index];
        entry.kind = if (entry.kind == .external) .switched_external else .switched;
        entry.handle = bound;
        entry.at = @intCast(at);
    }
    return ok;
}

pub fn setSwitchCallbacks(given: ?*Context, fd: c_int, input: ?Input, output: ?Output) callconv(.c) c_int {
    const context = Context.enter(given) orelse return failed;
    const entry = context.entries.items[context.indexOfFd(fd) orelse return failed];
    if (!entry.isSwitched()) return failed;
    context.callbacks.ensureUnusedCapacity(allocator, 1) catch return failed;
    const callbacks = allocator.create(Callbacks) catch return failed;
    callbacks.* = .{ .input = input, .output = output };
    context.callbacks.appendAssumeCapacity(callbacks);
    context.inner.setCallbacks(entry.handle, entry.at, .{
        .input = if (input == null) null else Callbacks.read,
        .output = if (output == null) null else Callbacks.write,
        .argument = callbacks,
    }) catch return failed;
    return ok;
}
